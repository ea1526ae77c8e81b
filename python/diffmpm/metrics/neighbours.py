# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Distances between particles and their target, by nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    """Return a search tree of points."""
    from scipy.spatial import cKDTree

    return cKDTree(points)


def nearest(tree: Any, points: Array) -> Array:
    """Return the distance [m] from each point to the nearest one of the tree."""
    distance: Array = tree.query(points, k=1)[0]
    return distance


def neighbour_distance(tree: Any, k: int) -> Array:
    """Return the distance [m] from each point of the tree to its k-th neighbour, itself not counted.

    With k points or fewer, the farthest one counts.
    """
    points = tree.data
    rank = min(k, len(points) - 1)
    if rank < 1:
        return np.zeros(len(points))
    distance: Array = tree.query(points, k=[rank + 1])[0][:, 0]
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


def outer_points(points: object, tree: Any = None) -> Array:
    """Return which points of a sampled solid lie at its surface, shape (N,), bool.

    A point is outer if in at least one of 26 directions (to the faces, edges and corners of a cube) a ball beside it
    is empty: its centre 2 mean spacings away, its radius 1.25. So the points within 0.5 to 0.75 spacings of the surface
    are outer, about one layer; on thin parts both sides are, and no void smaller than that ball makes a surface.
    The mean spacing h is the edge of the cube that each point has for itself, taken from the median distance r to the
    8th neighbour: 4/3 pi r^3 = 8 h^3.

    Args:
        points: Positions [m] of a sample of the solid, shape (N, 3).
        tree: Their search tree, if there is one already.

    Raises:
        ConfigError: If shape or values do not fit.
    """
    points = as_points(points, "points").astype(np.float64)
    tree = tree_of(points) if tree is None else tree
    mean_spacing = float(np.median(neighbour_distance(tree, 8))) * (np.pi / 6.0) ** (1.0 / 3.0)
    directions = [d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)]
    outer = np.zeros(len(points), dtype=bool)
    for direction in directions:
        step = np.array(direction, dtype=np.float64) - 1.0
        step *= _PROBE_DISTANCE * mean_spacing / np.linalg.norm(step)
        left = np.flatnonzero(~outer)
        reach = _PROBE_RADIUS * mean_spacing
        distance = tree.query(points[left] + step, k=1, distance_upper_bound=reach)[0]
        outer[left[~np.isfinite(distance)]] = True
    return outer
