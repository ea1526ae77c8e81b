# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of the distances between the body and the surface of its target."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arrays import Array, DeviceCopies, as_points, as_positive
from .base import Loss

if TYPE_CHECKING:
    from ..mpm import Rollout


@dataclass(frozen=True, eq=False)
class Proximity(Loss):
    """Mean over target points of the penalty of the distance to the nearest particle, beyond `reach` spacings.

    The penalty of an excess of t spacings is sqrt(1 + t^2) - 1. Only the nearest particle of a point receives a
    gradient; of several at the same distance it is the first one in memory. The value is continuous everywhere. It is
    differentiable wherever the nearest particle of each point beyond its reach is unique, and the gradient is exact
    there; elsewhere it is that of one of the branches that meet.

    Args:
        points: Target points [m], shape (K, 3), such as the outer points of a sample (`diffmpm.metrics.outer_points`).
        spacing: Particle spacing [m], above 0.
        reach: Distance in spacings within which a particle covers a point, at least 0.
        weight: Factor of the loss, at least 0, or a schedule.
    """

    name = "proximity"
    points: Array = field(repr=False)
    spacing: float = field(kw_only=True)
    reach: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "points", as_points(self.points, "points"))
        object.__setattr__(self, "spacing", as_positive(self.spacing, "spacing"))
        object.__setattr__(self, "reach", as_positive(self.reach, "reach", zero=True))

    @cached_property
    def _points(self) -> dict[np.dtype[Any], DeviceCopies]:
        """Points by dtype."""
        return {}

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the positions."""
        body = roll.particles
        if body.dtype not in self._points:
            self._points[body.dtype] = DeviceCopies(np.ascontiguousarray(self.points, dtype=body.dtype))
        points = self._points[body.dtype].on(body.device)
        value, adj = _core.loss_proximity(roll.x, points, self.spacing, self.reach)
        return value, {"adj_x": adj}
