# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Limited-memory BFGS (Nocedal and Wright, 2006, algorithm 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, add_scaled, as_positive, contiguous, dot
from .._options import Range, as_integer
from .base import State


class LBFGS:
    """L-BFGS with two-loop recursion; pairs without positive curvature are skipped.

    The first direction has entries of root mean square `first`, and later ones have the length of a quasi-Newton step:
    the natural step is 1 throughout.

    Args:
        memory: Number of (step, gradient change) pairs, at least 1.
        first: Root mean square of the entries of the first direction, above 0.
    """

    def __init__(self, *, memory: int = 5, first: float = 0.01) -> None:
        self.memory = as_integer(memory, "memory", Range(least=1, most=1 << 20))
        self.first = as_positive(first, "first")
        self.reset()

    def reset(self) -> None:
        """Discard the pairs."""
        self._pairs: tuple[tuple[Array, Array], ...] = ()
        self._control: Array | None = None
        self._gradient: Array | None = None

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the inverse Hessian estimate times the gradient."""
        control, gradient = control.copy(), contiguous(gradient)
        if self._control is not None and self._gradient is not None:
            step, change = add_scaled(control, -1.0, self._control), add_scaled(gradient, -1.0, self._gradient)
            if dot(step, change) > 1e-10 * np.sqrt(dot(step, step)) * np.sqrt(dot(change, change)):
                self._pairs = (*self._pairs, (step, change))[-self.memory :]
        self._control, self._gradient = control, gradient
        if self._pairs:
            direction: Array = _core.lbfgs(gradient, *zip(*self._pairs, strict=True))
            if dot(direction, gradient) > 0.0:
                return direction
            self._pairs = ()  # no longer positive definite, by rounding
        return _core.scale_to_rms(gradient, self.first)

    def state(self) -> State:
        """Return the pairs and the last point."""
        return {"pairs": self._pairs, "control": self._control, "gradient": self._gradient}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the state to one that `state` returned."""
        self._pairs, self._control, self._gradient = tuple(state["pairs"]), state["control"], state["gradient"]
