# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""How well a body fills its target; on raw particles, never on a rendering."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .. import _core
from .._arrays import Array, as_array, as_points, as_positive
from . import neighbours, silhouette

_SUBSET_SEED = 7
"""Seed of the choice where body and target differ in number."""


def evaluate(
    x: object,
    target_x: object,
    *,
    F: object = None,
    spacing: float | None = None,
    x_start: object = None,
) -> dict[str, float]:
    """Judge a body against a sample of its target.

    Everything but the chamfer distances is free of units: positions scaled together give the same values.

    Args:
        x: Positions of the body's particles [m], shape (N, 3).
        target_x: Positions of a sample of the target solid [m], shape (M, 3); best with M = N.
        F: Deformation gradients, shape (N, 3, 3), for `det_F_min`.
        spacing: Target spacing [m]. Default: median nearest-neighbour distance of the target sample.
        x_start: Positions of the body before the morph [m], shape (N, 3), for `com_drift`.

    Returns:
        A dictionary with
        `chamfer`: mean distance [m] from body to target plus mean distance from target to body, nearest neighbours,
        equal counts (the larger set is thinned at random);
        `chamfer_squared`: the same with squared distances [m^2], as some libraries define it;
        `silhouette_iou`: mean over 24 views of the intersection over union of 128 x 128 silhouettes, in 0 to 1;
        `surface_gap`: share of the outer target points (`outer_points`) with no particle within 1.5 spacings;
        `off_target`: share of particles farther than 2 spacings from the target sample;
        `stray`: share of particles whose 8th neighbour is farther than 3 times the median of that distance;
        `hole_fraction`: mean share of the body's filled silhouettes that is hole;
        `det_F_min`: smallest determinant of F, NaN without F;
        `com_drift`: distance in spacings of the mean position from that of `x_start`, or from the target's without it.

    Raises:
        ConfigError: If an argument does not fit.
    """
    return Target(target_x, spacing=spacing).judge(x, F=F, x_start=x_start)


class Target:
    """A sample of a target that judges bodies; what depends on it alone is worked out once.

    Args:
        x: Positions of the sample [m], shape (M, 3).
        spacing: Its spacing [m]; its median nearest-neighbour distance if None.

    Raises:
        ConfigError: If an argument does not fit.
    """

    def __init__(self, x: object, *, spacing: float | None = None) -> None:
        self._x = _positions(x, "target_x")
        self._tree = neighbours.tree_of(self._x)
        self._spacing = None if spacing is None else as_positive(spacing, "spacing")

    @cached_property
    def _width(self) -> float:
        return neighbours.median_spacing(self._tree) if self._spacing is None else self._spacing

    @cached_property
    def _outer(self) -> Array:
        return neighbours.outer_of(self._tree)

    @cached_property
    def _view(self) -> tuple[Array, float, Array]:
        """Middle and half width of the pictures, and the target's silhouettes."""
        center = self._x.mean(axis=0)
        radius = float(np.sqrt(((self._x - center) ** 2).sum(axis=1).max()))
        extent = silhouette.EXTENT_FACTOR * (radius if radius > 0 else 1.0)
        return center, extent, silhouette.silhouettes(self._x, center, extent)

    def judge(self, x: object, *, F: object = None, x_start: object = None) -> dict[str, float]:
        """Return what `evaluate` returns."""
        body, target = _positions(x, "x"), self._x
        start = target if x_start is None else _positions(x_start, "x_start")
        width, body_tree = self._width, neighbours.tree_of(body)
        to_target = neighbours.nearest(self._tree, body)
        to_body = neighbours.nearest(body_tree, target)
        eighth = neighbours.neighbour_distance(body_tree, neighbours.STRAY_NEIGHBOUR)
        center, extent, target_seen = self._view
        seen = silhouette.silhouettes(body, center, extent)
        drift = float(np.linalg.norm(body.mean(axis=0) - start.mean(axis=0)))
        if len(body) != len(target):
            to_target_equal, to_body_equal = _both_ways(*_equal_counts(body, target))
        else:
            to_target_equal, to_body_equal = to_target, to_body
        return {
            "chamfer": _sum_of_means(to_target_equal, to_body_equal),
            "chamfer_squared": _sum_of_means(to_target_equal**2, to_body_equal**2),
            "silhouette_iou": silhouette.intersection_over_union(seen, target_seen),
            "surface_gap": _share(to_body[self._outer] > neighbours.GAP_SPACINGS * width),
            "off_target": _share(to_target > neighbours.OFF_TARGET_SPACINGS * width),
            "stray": _share(eighth > neighbours.STRAY_FACTOR * np.median(eighth)),
            "hole_fraction": silhouette.hole_fraction(seen),
            "det_F_min": _smallest_determinant(F, len(body)),
            "com_drift": drift / width,
        }


def chamfer(x: object, target_x: object, *, squared: bool = False) -> float:
    """Return the sum of both mean nearest-neighbour distances [m], of equal counts.

    Two independent samples of one solid do not reach 0 but about 1.1 times their mean spacing.

    Args:
        x: Positions [m], shape (N, 3).
        target_x: Positions [m], shape (M, 3). The larger set is thinned at random to the size of the other.
        squared: Whether to average squared distances [m^2] instead.

    Raises:
        ConfigError: If an argument does not fit.
    """
    there, back = _both_ways(*_equal_counts(_positions(x, "x"), _positions(target_x, "target_x")))
    return _sum_of_means(there**2, back**2) if squared else _sum_of_means(there, back)


def _both_ways(a: Array, b: Array) -> tuple[Array, Array]:
    return neighbours.nearest(neighbours.tree_of(b), a), neighbours.nearest(neighbours.tree_of(a), b)


def _sum_of_means(a: Array, b: Array) -> float:
    return float(a.mean() + b.mean())


def _equal_counts(a: Array, b: Array) -> tuple[Array, Array]:
    count = min(len(a), len(b))
    return _subset(a, count), _subset(b, count)


def _positions(value: object, name: str) -> Array:
    return as_points(value, name).astype(np.float64)


def _subset(points: Array, count: int) -> Array:
    if len(points) == count:
        return points
    chosen = np.random.default_rng(_SUBSET_SEED).permutation(len(points))[:count]
    return points[np.sort(chosen)]


def _share(flags: Array) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _smallest_determinant(F: object, count: int) -> float:
    if F is None:
        return float("nan")
    smallest: float = _core.determinant_range(as_array(F, "F", (count, 3, 3)))[0]
    return smallest
