# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs: windows, their chain, checkpoints and results."""

from .api import Progress, morph, run_morph
from .config import PRESETS, MorphConfig, preset
from .frames import Frame
from .guidance import RenderGuidance
from .result import MorphResult
from .run import MorphRun, read_run
from .views import Views

__all__ = [
    "PRESETS",
    "Frame",
    "MorphConfig",
    "MorphResult",
    "MorphRun",
    "Progress",
    "RenderGuidance",
    "Views",
    "morph",
    "preset",
    "read_run",
    "run_morph",
]
