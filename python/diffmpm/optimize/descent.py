# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gradient descent, by default on the normalised gradient."""

from __future__ import annotations

from .. import _core
from .._arrays import Array, contiguous
from .base import Optimizer


class GradientDescent(Optimizer):
    """Step along the negative gradient.

    Args:
        normalize: Whether to divide the gradient by the root mean square of its entries, as in Xu et al.
    """

    def __init__(self, *, normalize: bool = True) -> None:
        self.normalize = normalize
        super().__init__()

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the gradient, normalised if `normalize` is set."""
        return _core.scale_to_rms(contiguous(gradient), 1.0) if self.normalize else gradient
