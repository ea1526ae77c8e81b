# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Limited-memory BFGS (Nocedal and Wright, 2006, algorithm 7.4)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .. import _core
from .._arrays import Array, add_scaled, as_positive, contiguous, dot
from .._options import Range, as_integer
from .base import Optimizer, State

Pairs = tuple[tuple[Array, Array], ...]
"""Pairs of a step and the change of the gradient along it."""


class LBFGS(Optimizer):
    """L-BFGS with two-loop recursion; pairs without positive curvature are skipped.

    The first direction has entries of root mean square `first`, and later ones have the length of a quasi-Newton step:
    the natural step is 1 throughout.

    Args:
        memory: Number of (step, gradient change) pairs, at least 1.
        first: Root mean square of the entries of the first direction, above 0.
    """

    START: ClassVar[State] = {"pairs": (), "control": None, "gradient": None}

    def __init__(self, *, memory: int = 5, first: float = 0.01) -> None:
        self.memory = as_integer(memory, "memory", Range(least=1, most=1 << 20))
        self.first = as_positive(first, "first")
        super().__init__()

    def start_from(self, pairs: Pairs) -> None:
        """Start with pairs of an earlier run on a similar objective, the oldest first, instead of `first`."""
        self._state = {**self.START, "pairs": pairs[-self.memory :]}

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the inverse Hessian estimate times the gradient."""
        control, gradient = control.copy(), contiguous(gradient)
        old, pairs = self._state, self._state["pairs"]
        if old["control"] is not None:
            step, change = add_scaled(control, -1.0, old["control"]), add_scaled(gradient, -1.0, old["gradient"])
            if dot(step, change) > 1e-10 * np.sqrt(dot(step, step)) * np.sqrt(dot(change, change)):
                pairs = (*pairs, (step, change))[-self.memory :]
        self._state = {"pairs": pairs, "control": control, "gradient": gradient}
        if pairs:
            direction: Array = _core.lbfgs(gradient, *zip(*pairs, strict=True))
            if dot(direction, gradient) > 0.0:
                return direction
            self._state["pairs"] = ()  # no longer positive definite, by rounding
        return _core.scale_to_rms(gradient, self.first)

    @property
    def pairs(self) -> Pairs:
        """The pairs, the oldest first."""
        pairs: Pairs = self._state["pairs"]
        return pairs
