# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Documented import path of `diffmpm.legacy.surface`."""

from .legacy.surface import *  # noqa: F403
from .legacy.surface import __all__ as __all__
