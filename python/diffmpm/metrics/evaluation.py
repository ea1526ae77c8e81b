# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Measures of how well a body fills its target, computed on the raw particles."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .. import _core
from .._arrays import Array, as_array, as_points, as_positive
from ..errors import ConfigError
from ..surface import fit_surface
from . import neighbours, silhouette

_SUBSET_SEED = 7
"""Seed of the random subset if body and target differ in particle count."""


def evaluate(
    x: object, target_x: object, *, F: object = None, spacing: float | None = None, x_start: object = None
) -> dict[str, float]:
    """Compare a body with a sample of its target.

    All measures except the chamfer distances are dimensionless and do not depend on the scale.

    Args:
        x: Positions of the body's particles [m], shape (N, 3).
        target_x: Positions of a sample of the target solid [m], shape (M, 3); best with M = N.
        F: Deformation gradients, shape (N, 3, 3), for `det_F_min`.
        spacing: Target spacing [m]; the median nearest-neighbour distance of the target sample if None.
        x_start: Positions of the body before the morph [m], shape (N, 3), for `com_drift`.

    Returns:
        A dictionary with
        `chamfer`: mean nearest-neighbour distance [m] from body to target plus that from target to body, for equal
        counts (see `chamfer`);
        `chamfer_squared`: the same with squared distances [m^2];
        `silhouette_iou`: mean over 24 views of the intersection over union of 128 x 128 silhouettes, in 0 to 1;
        `surface_gap`: fraction of the outer target points (`outer_points`) with no particle within 1.5 spacings;
        `off_target`: fraction of particles farther than 2 spacings from the target sample;
        `stray`: fraction of particles whose 8th neighbour is farther than 3 times the median of that distance;
        `floaters`: fraction of the Gaussians in images of the body that are farther than 4 target spacings from every
        particle (see `floaters`), NaN if the body has no surface;
        `hole_fraction`: mean fraction of holes in the filled silhouettes of the body;
        `det_F_min`: smallest determinant of F, NaN without F;
        `com_drift`: distance in spacings from the mean position to that of `x_start`, or of the target if None.

    Raises:
        ConfigError: If an argument is invalid.
    """
    return Target(target_x, spacing=spacing).evaluate(x, F=F, x_start=x_start)


class Target:
    """A target sample that bodies are compared with. Quantities that depend on it alone are cached.

    Args:
        x: Sample positions [m], shape (M, 3).
        spacing: Sample spacing [m]; the median nearest-neighbour distance if None.

    Raises:
        ConfigError: If an argument is invalid.
    """

    def __init__(self, x: object, *, spacing: float | None = None) -> None:
        self._x = _positions(x, "target_x")
        self._tree = _core.PointTree(self._x)
        self._spacing = None if spacing is None else as_positive(spacing, "spacing")

    @cached_property
    def _width(self) -> float:
        return neighbours.median_spacing(self._tree) if self._spacing is None else self._spacing

    @cached_property
    def _outer(self) -> Array:
        return neighbours.outer_of(self._tree)

    @cached_property
    def _view(self) -> tuple[Array, float, Array]:
        """Centre and half width of the images, and the silhouettes of the target."""
        center = self._x.mean(axis=0)
        radius = float(np.sqrt(((self._x - center) ** 2).sum(axis=1).max()))
        extent = silhouette.EXTENT_FACTOR * (radius if radius > 0 else 1.0)
        return center, extent, silhouette.silhouettes(self._x, center, extent)

    def silhouette_iou(self, x: object) -> float:
        """Return the silhouette IoU of a body."""
        center, extent, expected = self._view
        return silhouette.intersection_over_union(silhouette.silhouettes(_positions(x, "x"), center, extent), expected)

    def evaluate(self, x: object, *, F: object = None, x_start: object = None) -> dict[str, float]:
        """Return what `evaluate` returns."""
        body, target = _positions(x, "x"), self._x
        start = target if x_start is None else _positions(x_start, "x_start")
        width, body_tree = self._width, _core.PointTree(body)
        to_target = self._tree.nearest(body)
        to_body = body_tree.nearest(target)
        eighth = neighbours.neighbour_distance(body_tree, neighbours.STRAY_NEIGHBOUR)
        center, extent, target_silhouettes = self._view
        silhouettes = silhouette.silhouettes(body, center, extent)
        drift = float(np.linalg.norm(body.mean(axis=0) - start.mean(axis=0)))
        equal = (to_target, to_body) if len(body) == len(target) else _nearest_distances(body, target)
        return {
            "chamfer": sum(float(d.mean()) for d in equal),
            "chamfer_squared": sum(float((d**2).mean()) for d in equal),
            "silhouette_iou": silhouette.intersection_over_union(silhouettes, target_silhouettes),
            "surface_gap": _fraction(to_body[self._outer] > neighbours.GAP_SPACINGS * width),
            "off_target": _fraction(to_target > neighbours.OFF_TARGET_SPACINGS * width),
            "stray": _fraction(eighth > neighbours.STRAY_FACTOR * np.median(eighth)),
            "floaters": _drawn_floaters(body, width),
            "hole_fraction": silhouette.hole_fraction(silhouettes),
            "det_F_min": _smallest_determinant(F, len(body)),
            "com_drift": drift / width,
        }


def chamfer(x: object, target_x: object, *, squared: bool = False) -> float:
    """Return the sum of the mean nearest-neighbour distances [m] in both directions, for equal counts.

    For two independent samples of one solid it is not 0 but about 1.1 times the mean spacing.

    Args:
        x: Positions [m], shape (N, 3).
        target_x: Positions [m], shape (M, 3). The larger set is reduced to a random subset.
        squared: Whether to average squared distances [m^2] instead.

    Raises:
        ConfigError: If an argument is invalid.
    """
    distances = _nearest_distances(_positions(x, "x"), _positions(target_x, "target_x"))
    return sum(float((d**2 if squared else d).mean()) for d in distances)


def floaters(means: object, x: object, *, spacing: float | None = None) -> float:
    """Return the fraction of Gaussians that are farther than 4 spacings from every particle.

    Args:
        means: Centres of the Gaussians [m], shape (M, 3).
        x: Particle positions [m], shape (N, 3).
        spacing: Particle spacing [m]; the median nearest-neighbour distance if None.

    Raises:
        ConfigError: If an argument is invalid.
    """
    tree = _core.PointTree(_positions(x, "x"))
    width = neighbours.median_spacing(tree) if spacing is None else as_positive(spacing, "spacing")
    return _fraction(tree.nearest(_positions(means, "means")) > neighbours.FLOATER_SPACINGS * width)


def _drawn_floaters(x: Array, spacing: float) -> float:
    try:
        discs = fit_surface(x).cover(1, sigma=1.0, flatness=1.0)
    except ConfigError:
        return float("nan")
    return floaters(discs["means"], x, spacing=spacing)


def _nearest_distances(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the distances from a to b and from b to a, for equal counts."""
    count = min(len(a), len(b))
    a, b = _subset(a, count), _subset(b, count)
    return _core.PointTree(b).nearest(a), _core.PointTree(a).nearest(b)


def _positions(value: object, name: str) -> Array:
    return as_points(value, name).astype(np.float64)


def _subset(points: Array, count: int) -> Array:
    if len(points) == count:
        return points
    chosen = np.random.default_rng(_SUBSET_SEED).permutation(len(points))[:count]
    return points[np.sort(chosen)]


def _fraction(flags: Array) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _smallest_determinant(F: object, count: int) -> float:
    if F is None:
        return float("nan")
    smallest: float = _core.determinant_range(as_array(F, "F", (count, 3, 3)))[0]
    return smallest
