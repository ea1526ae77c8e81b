# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs: configuration, windows and their chain, checkpoints and results."""

from typing import TYPE_CHECKING

from .._deprecated import renamed_names
from .api import Progress, morph, run_morph
from .config import PRESETS, MorphConfig, preset
from .frames import Frame, Leg
from .guidance import RenderGuidance
from .result import MorphResult
from .run_file import MorphRun, read_run
from .sequence import morph_chain, run_chain
from .target_views import TargetViews

__all__ = [
    "PRESETS",
    "Frame",
    "Leg",
    "MorphConfig",
    "MorphResult",
    "MorphRun",
    "Progress",
    "RenderGuidance",
    "TargetViews",
    "morph",
    "morph_chain",
    "preset",
    "read_run",
    "run_chain",
    "run_morph",
]

if not TYPE_CHECKING:  # or type checkers would accept any name
    __getattr__ = renamed_names(__name__, Views="TargetViews")
