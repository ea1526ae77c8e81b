# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Distances between particles and their target, by nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, as_points
from ..errors import ConfigError

GAP_SPACINGS = 1.5
"""A target point is covered by a particle within this many target spacings."""
OFF_TARGET_SPACINGS = 2.0
"""A particle is off target beyond this many spacings from every target point."""
STRAY_NEIGHBOUR = 8
"""Neighbour whose distance tells whether a particle is stray."""
STRAY_FACTOR = 3.0
"""Stray: that distance is above this many medians."""

_PROBE_DISTANCE = 2.0
_PROBE_RADIUS = 1.25
"""A target point is outer if a ball of this radius, at that distance from it, is empty; in mean spacings."""


def tree_of(points: Array) -> Any:
    """Return a search tree of float64 points."""
    return _core.PointTree(np.ascontiguousarray(points))


def nearest(tree: Any, points: Array) -> Array:
    """Return the distance [m] from each point to the nearest one of the tree."""
    distance: Array = tree.nearest(np.ascontiguousarray(points))
    return distance


def neighbour_distance(tree: Any, k: int) -> Array:
    """Return the distance [m] from each point of the tree to its k-th neighbour, itself not counted.

    With k points or fewer, the farthest one counts.
    """
    rank = min(k, tree.count - 1)
    if rank < 1:
        return np.zeros(tree.count)
    distance: Array = tree.neighbour_distance(rank)
    return distance


def median_spacing(tree: Any) -> float:
    """Return the median distance [m] to the nearest other point."""
    spacing = float(np.median(neighbour_distance(tree, 1)))
    if spacing <= 0:
        raise ConfigError(
            "target_x: expected points apart from each other, got a median nearest-neighbour distance of 0; "
            "remove the duplicates or pass spacing"
        )
    return spacing


def outer_points(points: object) -> Array:
    """Return which points of a sampled solid lie at its surface, shape (N,), bool.

    A point is outer if in at least one of 26 directions (to the faces, edges and corners of a cube) a ball beside it
    is empty: its centre 2 mean spacings away, its radius 1.25. So the points within 0.5 to 0.75 spacings of the surface
    are outer, about one layer; on thin parts both sides are, and no void smaller than that ball makes a surface.
    The mean spacing h is the edge of the cube that each point has for itself, taken from the median distance r to the
    8th neighbour: 4/3 pi r^3 = 8 h^3.

    Args:
        points: Positions [m] of a sample of the solid, shape (N, 3).

    Raises:
        ConfigError: If shape or values do not fit.
    """
    return outer_of(tree_of(as_points(points, "points").astype(np.float64)))


def outer_of(tree: Any) -> Array:
    """Return which points of a tree are outer, as `outer_points` does."""
    mean_spacing = float(np.median(neighbour_distance(tree, 8))) * (np.pi / 6.0) ** (1.0 / 3.0)
    directions = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)], dtype=np.float64) - 1.0
    steps = directions * (_PROBE_DISTANCE * mean_spacing / np.linalg.norm(directions, axis=1))[:, None]
    outer: Array = tree.outer(steps, _PROBE_RADIUS * mean_spacing)
    return outer.astype(bool)
