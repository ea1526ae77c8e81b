# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Documented import path of `diffmpm.legacy.renderer`."""

from .legacy.renderer import *  # noqa: F403
from .legacy.renderer import __all__ as __all__
