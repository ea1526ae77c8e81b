# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One frame as the exporters take it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array
from .._placement import Similarity, Triple
from .._repr import short_repr
from .splats import Splats


@short_repr
@dataclass(frozen=True, eq=False)
class Moment:
    """One frame to export. Parts that the format does not use may be None."""

    time: float
    """Time since the start."""
    x: Array
    """Particle positions, shape (N, 3)."""
    F: Array | None = None
    """Deformation gradients, shape (N, 3, 3)."""
    G: Array | None = None
    """Motion gradients, shape (N, 3, 3)."""
    splats: Splats | None = None
    """Gaussians on the surface."""
    normals: Array | None = None
    """Unit normals of the Gaussians, shape (M, 3)."""
    mesh: tuple[Array, Array, Array] | None = None
    """Vertices (V, 3), triangles (T, 3) and vertex normals (V, 3) of the surface."""
    mesh_colors: Array | None = None
    """Colours of the vertices in [0, 1], shape (V, 3)."""
    colors: Array | None = None
    """Particle colours as displayed (sRGB), in [0, 1], shape (N, 3)."""
    origin: Triple = (0.0, 0.0, 0.0)
    """Point that all positions are relative to."""

    def moved(self, by: Similarity) -> Moment:
        """Return the moment in other coordinates with the same origin."""
        if by == Similarity():
            return self
        R = by.matrix
        F, G = (None if a is None else (R @ a.astype(np.float64) @ R.T).astype(a.dtype) for a in (self.F, self.G))
        normals = None if self.normals is None else (self.normals @ R.T).astype(self.normals.dtype)
        splats = None if self.splats is None else self.splats.moved(by)
        mesh = self.mesh
        if mesh is not None:
            mesh = (by(mesh[0]).astype(mesh[0].dtype), mesh[1], (mesh[2] @ R.T).astype(mesh[2].dtype))
        x = by(self.x).astype(self.x.dtype)
        return replace(self, x=x, F=F, G=G, normals=normals, splats=splats, mesh=mesh)
