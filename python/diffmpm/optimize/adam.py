# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Adam (Kingma and Ba, 2015) on the normalised gradient."""

from __future__ import annotations

from typing import ClassVar

from .. import _core
from .._arrays import Array, as_positive, contiguous
from ..errors import ConfigError
from .base import Optimizer, State

_UNIT_RMS = 1e-3
"""Root mean square of a million entries of norm 1."""


class Adam(Optimizer):
    """Adam on the gradient divided by its norm.

    The norm is scaled to an array of a million entries, so that `eps` has one meaning for all particle counts.

    Args:
        beta1: Decay of the mean, in [0, 1).
        beta2: Decay of the mean square, in [0, 1).
        eps: Added to the root of the mean square; relative to a gradient of norm 1.
        normalize: Whether to divide the gradient by its norm first.
    """

    START: ClassVar[State] = {"steps": 0, "mean": None, "square": None}

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-3, normalize: bool = True) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not as_positive(beta, name, zero=True) < 1.0:
                raise ConfigError(f"{name}: expected a number in [0, 1), got {beta!r}")
        self.beta1, self.beta2, self.eps = beta1, beta2, as_positive(eps, "eps")
        self.normalize = normalize
        super().__init__()

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return `mean / (sqrt(square) + eps)` of the bias-corrected moments."""
        old, steps = self._state, self._state["steps"] + 1
        options = (self.beta1, self.beta2, self.eps, steps, _UNIT_RMS if self.normalize else 0.0)
        step: Array
        step, mean, square = _core.adam(contiguous(gradient), old["mean"], old["square"], *options)
        self._state = {"steps": steps, "mean": mean, "square": square}
        return step
