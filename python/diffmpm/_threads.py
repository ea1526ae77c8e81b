# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Number of threads of the native core."""

from __future__ import annotations

from . import _core
from ._options import Range, as_integer

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(count: int | None) -> None:
    """Set the number of threads of the native core; results do not depend on it.

    Args:
        count: Number of threads, at least 1; None for the OpenMP default (OMP_NUM_THREADS, or one per core).

    Raises:
        ConfigError: If the count is not an integer from 1 to 4096.
    """
    _core.set_thread_count(0 if count is None else as_integer(count, "count", Range(least=1, most=4096)))


def get_num_threads() -> int:
    """Return the number of threads of the next native call."""
    return int(_core.thread_count())
