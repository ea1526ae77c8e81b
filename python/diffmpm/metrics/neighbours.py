# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Nearest-neighbour distances between particles and their target."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, as_points
from ..errors import ConfigError

GAP_SPACINGS = 1.5
"""A target point is covered if a particle is within this many target spacings."""
OFF_TARGET_SPACINGS = 2.0
"""A particle is off target if it is farther than this many spacings from every target point."""
FLOATER_SPACINGS = 4.0
"""A Gaussian is a floater if it is farther than this many spacings from every particle."""
STRAY_NEIGHBOUR = 8
"""Rank of the neighbour whose distance decides whether a particle is stray."""
STRAY_FACTOR = 3.0
"""A particle is stray if that distance exceeds this multiple of its median."""

_PROBE_DISTANCE = 2.0
_PROBE_RADIUS = 1.25
"""A target point is outer if a ball of this radius at this distance is empty; in mean spacings."""


def neighbour_distance(tree: Any, k: int) -> Array:
    """Return the distance [m] from each point of the tree to its k-th neighbour, or to the last with fewer points."""
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
    """Return whether each point of a sampled solid lies at its surface, shape (N,), bool.

    A point is outer if a ball of radius 1.25 mean spacings, centred 2 mean spacings away, is empty in at least one of
    26 directions (to the faces, edges and corners of a cube). Points within 0.5 to 0.75 spacings of the surface are
    outer, about one layer; on thin parts both sides are. Voids smaller than the ball do not count as surface. The mean
    spacing h is the edge of a cube of the volume per point, from the median distance r to the 8th neighbour:
    4/3 pi r^3 = 8 h^3.

    Args:
        points: Positions [m] of a sample of the solid, shape (N, 3).

    Raises:
        ConfigError: If the array is invalid.
    """
    return outer_of(_core.PointTree(as_points(points, "points").astype(np.float64)))


def outer_of(tree: Any) -> Array:
    """Return whether each point of a tree is outer; see `outer_points`."""
    mean_spacing = float(np.median(neighbour_distance(tree, 8))) * (np.pi / 6.0) ** (1.0 / 3.0)
    directions = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)], dtype=np.float64) - 1.0
    steps = directions * (_PROBE_DISTANCE * mean_spacing / np.linalg.norm(directions, axis=1))[:, None]
    outer: Array = tree.outer(steps, _PROBE_RADIUS * mean_spacing)
    return outer.astype(bool)
