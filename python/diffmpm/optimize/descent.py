# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gradient descent, by default on the normalised gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arrays import Array
from .base import State, unit_rms


class GradientDescent:
    """Step along the negative gradient.

    Args:
        normalize: Whether the gradient is divided by its norm, as in Xu et al.
    """

    def __init__(self, *, normalize: bool = True) -> None:
        self.normalize = normalize

    def reset(self) -> None:
        """Do nothing: there is no past."""

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the gradient, normalised if asked."""
        return unit_rms(gradient) if self.normalize else gradient

    def state(self) -> State:
        """Return the empty state."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""
