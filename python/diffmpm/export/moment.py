# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One frame as the exporters take it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import Array
from .._color import linear_light
from .._placement import Similarity, Triple
from .._repr import short_repr
from ..errors import ConfigError
from .splats import Splats

if TYPE_CHECKING:
    from ..geometry import Appearance


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
    appearance: Appearance | None = None
    """Texture coordinates and materials of the mesh, and its vertex colours instead of `mesh_colors`."""
    colors: Array | None = None
    """Particle colours as displayed (sRGB), in [0, 1], shape (N, 3)."""
    origin: Triple = (0.0, 0.0, 0.0)
    """Point that all positions are relative to."""
    number: int | None = None
    """Number in the names of files per frame; None: that in the sequence, from 0."""

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


@dataclass(frozen=True, eq=False)
class MeshFrames:
    """The meshes of a sequence of frames, with the same triangles in each."""

    positions: list[Array]
    """Vertex positions of each frame, shape (V, 3), float64."""
    normals: list[Array]
    """Unit vertex normals of each frame, shape (V, 3); empty for a single frame without normals."""
    triangles: Array
    """Vertex indices, shape (T, 3)."""
    appearance: Appearance | None
    """Colours, texture coordinates and materials."""
    colors: Array | None
    """Vertex colours in linear light, shape (V, 3), float32."""
    origin: Triple
    """Point that the positions are relative to."""

    @staticmethod
    def collect(moments: Iterable[Moment]) -> MeshFrames:
        """Return the meshes of some frames; refuse none, and another topology than that of the first."""
        positions, normals = [], []
        first: Moment | None = None
        for moment in moments:
            if moment.mesh is None:
                raise ConfigError("moments: expected a mesh in each of them, got none; pass mesh")
            first = first or moment
            assert first.mesh is not None
            if moment.mesh[0].shape != first.mesh[0].shape or not np.array_equal(moment.mesh[1], first.mesh[1]):
                raise ConfigError("moments: expected meshes with the same triangles, got different ones")
            positions.append(moment.mesh[0].astype(np.float64))
            normals.append(moment.mesh[2])
        if first is None or first.mesh is None:
            raise ConfigError("moments: expected at least one frame, got none")
        look = first.appearance
        colors = None if first.mesh_colors is None else linear_light(first.mesh_colors)
        if look is not None and look.colors is not None:
            colors = look.colors
        return MeshFrames(positions, normals, first.mesh[1], look, colors, first.origin)

    def velocities(self, fps: float) -> list[Array]:
        """Return the vertex velocities of each frame per second, by central differences."""
        last = len(self.positions) - 1
        pairs = [(max(k - 1, 0), min(k + 1, last)) for k in range(last + 1)]
        return [(self.positions[b] - self.positions[a]) * (fps / max(b - a, 1)) for a, b in pairs]
