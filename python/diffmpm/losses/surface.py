# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of the distances between the body and the surface of its target."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import _core
from .._arrays import Array, DeviceCopies, as_array, as_points, as_positive
from .._options import as_triple
from ..errors import ConfigError
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
    def _points(self) -> DeviceCopies:
        return DeviceCopies(self.points)

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the positions."""
        body = roll.particles
        points = self._points.on(body.device, body.dtype)
        value, adj = _core.loss_proximity(roll.x, points, self.spacing, self.reach)
        return value, {"adj_x": adj}


@dataclass(frozen=True, eq=False)
class Skin(Loss):
    """Mean over particles of the penalty of their distance outside of a solid, in spacings.

    The penalty of a distance of t spacings is sqrt(1 + t^2) - 1; inside of the solid it is 0. Unlike `OutsideMass` it
    also sees particles within a cell of the surface.

    Args:
        distance: Signed distance [m] at the nodes of a grid, positive outside, shape (I, J, K), at least two nodes per
            axis. It is interpolated linearly; beyond the grid, the distance to the grid is added.
        origin: Position [m] of node (0, 0, 0).
        cell: Cell size [m], above 0.
        spacing: Particle spacing [m], above 0.
        weight: Factor of the loss, at least 0, or a schedule.
    """

    name = "skin"
    distance: Array = field(repr=False)
    origin: tuple[float, float, float] = field(kw_only=True)
    cell: float = field(kw_only=True)
    spacing: float = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        distance = as_array(self.distance, "distance", (None, None, None))
        if min(distance.shape) < 2:
            raise ConfigError(f"distance: expected at least two nodes per axis, got shape {distance.shape}")
        object.__setattr__(self, "distance", distance)
        object.__setattr__(self, "origin", as_triple(self.origin, "origin"))
        for name in ("cell", "spacing"):
            object.__setattr__(self, name, as_positive(getattr(self, name), name))

    @cached_property
    def _distance(self) -> DeviceCopies:
        return DeviceCopies(self.distance)

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the positions."""
        body = roll.particles
        value, adj = _core.loss_skin(
            roll.x, self._distance.on(body.device, body.dtype), self.origin, self.cell, self.spacing
        )
        return value, {"adj_x": adj}
