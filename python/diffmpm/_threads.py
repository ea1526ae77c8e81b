# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Number of threads of the native core."""

from __future__ import annotations

import operator

from . import _core
from .errors import ConfigError

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(count: int | None) -> None:
    """Set the number of threads of all native work; results do not depend on it.

    Args:
        count: Number of threads, at least 1; None returns to the default of OpenMP (OMP_NUM_THREADS, else one
            thread a core).

    Raises:
        ConfigError: If the count is no integer of at least 1.
    """
    if count is None:
        _core.set_thread_count(0)
        return
    try:
        value = operator.index(count)
    except TypeError:
        value = 0
    if isinstance(count, bool) or not 1 <= value <= 4096:
        raise ConfigError(
            f"count: expected an integer from 1 to 4096, or None for the default, got {count!r}; "
            "pass the number of threads to use"
        )
    _core.set_thread_count(value)


def get_num_threads() -> int:
    """Return the number of threads that the next native call uses."""
    return int(_core.thread_count())
