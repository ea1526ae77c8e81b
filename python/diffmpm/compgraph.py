# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Documented import path of `diffmpm.legacy`."""

from .legacy import *  # noqa: F403
from .legacy import __all__ as __all__
