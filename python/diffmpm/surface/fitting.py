# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surface fitted to the positions of one frame, for images and files."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, as_array, points_on_host
from .._options import Range, as_number
from .._repr import short_repr
from ..errors import ConfigError

RESOLUTION = Range(least=0.05, most=2.0)
_MOST_NODES = 100_000_000
"""Grid nodes inside of the body, each 24 bytes; more are most likely a mistake in the resolution."""


@short_repr
class FittedSurface:
    """Closed mesh of quadrilaterals around a body, made by `fit_surface`. Its arrays are copies without gradient."""

    _shown = ("quad_count", "spacing")

    def __init__(self, native: Any) -> None:
        self._native = native

    @property
    def spacing(self) -> float:
        """Particle spacing [m]."""
        return float(self._native.spacing)

    @property
    def quad_count(self) -> int:
        """Number of quadrilaterals Q."""
        return int(self._native.quad_count)

    @cached_property
    def vertices(self) -> Array:
        """Positions [m], shape (V, 3), float64."""
        return np.asarray(self._native.vertices)

    @cached_property
    def normals(self) -> Array:
        """Outward unit normals of the vertices, shape (V, 3), float32."""
        return np.asarray(self._native.normals)

    @cached_property
    def colors(self) -> Array | None:
        """Colours of the vertices, blended from nearby particles, shape (V, 3), float32; None without colours."""
        colors = self._native.colors
        return None if colors is None else np.asarray(colors)

    @cached_property
    def quads(self) -> Array:
        """Vertex indices, shape (Q, 4), int32, counter-clockwise seen from outside."""
        return np.asarray(self._native.quads)

    def cover(self, splits: int, *, sigma: float, flatness: float) -> dict[str, Array]:
        """Split each quadrilateral into splits^2 parts and cover each by a flat Gaussian, M in total.

        Args:
            splits: Parts along each edge, at least 1.
            sigma: Standard deviation over the edge of a part.
            flatness: Thickness along the normal over the width.

        Returns:
            `means` [m] (M, 3), `scales` [m] (M, 3), longest first and the last along the normal, `quats` (w, x, y, z)
            (M, 4), `normals` (M, 3) and, with colours, `colors` (M, 3); float32.
        """
        arrays: dict[str, Array] = self._native.cover(splits, sigma, flatness)
        return arrays


def fit_surface(
    x: ArrayLike,
    *,
    colors: ArrayLike | None = None,
    spacing: float | None = None,
    resolution: float = 1.0,
    smoothing: float = 4.0,
) -> FittedSurface:
    """Fit a smooth closed surface to the particles of one frame.

    The fill fraction around the nodes of a sparse grid is estimated from the density of the particles and from the
    asymmetry of each neighbourhood; the surface is a level set of it as a dual mesh. Normals are smoothed along the
    surface except across edges, and vertices move until the mesh follows the normals. Sheets of one particle layer have
    two sides; groups of up to about three particles are left out. The result does not depend on the number of threads.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64; CUDA arrays are copied to the CPU.
        colors: Colours of the particles, shape (N, 3); None for a surface without colours.
        spacing: Particle spacing [m], the cube root of the volume of a particle; measured if None.
        resolution: Edge of a grid cell, in particle spacings, from 0.05 to 2.
        smoothing: Radius over which the noise of the positions is removed, in spacings; 0 for none.

    Raises:
        ConfigError: If an argument is invalid, the grid would be too large, or the particles have no surface.

    References:
        docs/method.md, section 6; Zhu and Bridson 2005, Animating sand as a fluid (mean position of the neighbours);
        Gibson 1998, Constrained elastic surface nets (dual mesh).
    """
    points = points_on_host(x).astype(np.float64, copy=False)
    as_number(resolution, "resolution", RESOLUTION)
    if len(points) / resolution**3 > _MOST_NODES:
        raise ConfigError(
            f"resolution: expected a grid of at most {_MOST_NODES} nodes, got about {len(points) / resolution**3:.3g}; "
            "choose a larger resolution"
        )
    paint = None if colors is None else as_array(colors, "colors", (len(points), 3)).astype(np.float32)
    contiguous = np.ascontiguousarray(points)
    return FittedSurface(_core.surface_fit(contiguous, paint, spacing or 0.0, float(resolution), float(smoothing)))
