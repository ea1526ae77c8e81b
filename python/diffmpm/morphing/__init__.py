# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs: windows, their chain, checkpoints and results."""

from .api import Progress, morph, run_morph
from .config import PRESETS, MorphConfig, preset
from .frames import Frame
from .guidance import RenderGuidance
from .result import MorphResult
from .views import Views

__all__ = [
    "PRESETS",
    "Frame",
    "MorphConfig",
    "MorphResult",
    "Progress",
    "RenderGuidance",
    "Views",
    "morph",
    "preset",
    "run_morph",
]
