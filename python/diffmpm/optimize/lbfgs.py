# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Limited-memory BFGS (Nocedal and Wright, 2006, algorithm 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arrays import Array, as_positive, dot
from .._options import Range, as_integer
from .base import State, unit_rms


class LBFGS:
    """L-BFGS with two-loop recursion; pairs without positive curvature are skipped.

    The first direction has entries of root mean square `first`, later ones carry their own length: a step of 1 is the
    natural one throughout.

    Args:
        memory: Number of (step, gradient change) pairs kept, at least 1.
        first: Root mean square of the entries of the first direction, above 0.
    """

    def __init__(self, *, memory: int = 5, first: float = 0.01) -> None:
        self.memory = as_integer(memory, "memory", Range(least=1, most=1 << 20))
        self.first = as_positive(first, "first")
        self.reset()

    def reset(self) -> None:
        """Forget the pairs."""
        self._pairs: tuple[tuple[Array, Array], ...] = ()
        self._control: Array | None = None
        self._gradient: Array | None = None

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the inverse Hessian estimate times the gradient."""
        control = control.copy()
        if self._control is not None and self._gradient is not None:
            moved, changed = control - self._control, gradient - self._gradient
            curvature = dot(moved, changed)
            if curvature > 1e-10 * np.sqrt(dot(moved, moved)) * np.sqrt(dot(changed, changed)):
                self._pairs = (*self._pairs, (moved, changed))[-self.memory :]
        self._control, self._gradient = control, gradient
        if not self._pairs:
            return self._first(gradient)
        step = self._two_loops(gradient)
        if dot(step, gradient) <= 0.0:  # lost positive definiteness to rounding
            self._pairs = ()
            return self._first(gradient)
        return step

    def _first(self, gradient: Array) -> Array:
        first: Array = unit_rms(gradient) * gradient.dtype.type(self.first)
        return first

    def _two_loops(self, gradient: Array) -> Array:
        kind = gradient.dtype.type
        step = gradient.copy()
        factors = []
        for moved, changed in reversed(self._pairs):
            rho = 1.0 / dot(moved, changed)
            factor = rho * dot(moved, step)
            factors.append((rho, factor))
            step -= kind(factor) * changed
        moved, changed = self._pairs[-1]
        step *= kind(dot(moved, changed) / dot(changed, changed))
        for (moved, changed), (rho, factor) in zip(self._pairs, reversed(factors), strict=True):
            step += kind(factor - rho * dot(changed, step)) * moved
        return step

    def state(self) -> State:
        """Return the pairs and the last point."""
        return {"pairs": self._pairs, "control": self._control, "gradient": self._gradient}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._pairs, self._control, self._gradient = tuple(state["pairs"]), state["control"], state["gradient"]
