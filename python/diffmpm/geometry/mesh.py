# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes and the solids that they enclose."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, as_array, as_positive
from .._options import LARGEST, SMALLEST
from .._repr import pictured, short_repr
from ..errors import ConfigError, MeshError, MeshWarning
from ._winding import doubled_areas, flipped, wind
from .appearance import Appearance

_FIRST_CELLS = 250_000
"""Number of cells of the first volume estimate: relative error about 1e-3 for a compact body."""
_ENOUGH_INSIDE = 5_000
"""Number of interior cells below which the estimate is refined, for thin bodies."""
_MOST_CELLS = 20_000_000
"""Maximum number of cells of a refined estimate."""
_VOLUME_SEED = 0x5EED
"""Seed of the volume estimate, independent of the particle seed."""
_NOTEWORTHY = 0.05
"""Relative difference between the sampled volume and that of the divergence theorem that causes a warning."""
_FLAT = 1e-9
"""Volume relative to the cubed diagonal of the bounding box that is attributed to rounding of the vertices."""


@short_repr
@dataclass(frozen=True)
class Solid:
    """Volume and centroid of the points with winding number above 1/2."""

    volume: float
    """Volume [m^3]."""
    centroid: tuple[float, float, float]
    """Centroid [m]."""


@pictured("mesh")
@short_repr
@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh; its solid is the set of points with generalised winding number above 1/2.

    Open, non-manifold and self-intersecting meshes define solids as well. `load_mesh` also orients the triangles.

    Raises:
        ConfigError: If an array has the wrong shape or dtype.
        MeshError: If the mesh has no triangle, a vertex that is not finite or out of range, or an invalid index.
    """

    vertices: Array
    """Vertex positions [m], shape (V, 3), float64."""
    triangles: Array
    """Vertex indices, shape (T, 3), int32, counter-clockwise as seen from outside."""
    name: str = "mesh"
    """Name for messages and files."""
    up: str | None = None
    """Up axis, "x", "y" or "z", if the file format defines it."""
    appearance: Appearance | None = None
    """Vertex colours, texture coordinates and materials, if the file has any."""

    def __post_init__(self) -> None:
        points = as_array(self.vertices, f"{self.name}: vertices", (None, 3), finite=False)
        faces = _index_array(self.triangles, f"{self.name}: triangles")
        _check(points, faces, self.name)
        object.__setattr__(self, "vertices", np.ascontiguousarray(points, dtype=np.float64))
        object.__setattr__(self, "triangles", np.ascontiguousarray(faces, dtype=np.int32))
        if self.appearance is not None:
            self.appearance.check(len(points), len(faces), self.name)

    @property
    def bounds(self) -> Array:
        """Lower and upper corner [m] of the box around the referenced vertices, shape (2, 3)."""
        return np.array(self._bounds)

    @cached_property
    def _bounds(self) -> Array:
        used = _in_use(self.vertices, self.triangles)
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @cached_property
    def _edges(self) -> tuple[int, int, int]:
        unbalanced, boundary, non_manifold = _core.mesh_topology(self.vertices, self.triangles)
        return int(boundary), int(unbalanced.shape[0]) - int(boundary), int(non_manifold)

    @cached_property
    def _first_estimate(self) -> tuple[Array, int, float]:
        """Stratified interior points, the number in inverted regions, and the cell size."""
        spacing = _cell_size(self, _FIRST_CELLS)
        return *_stratified(self, spacing), spacing

    @property
    def is_colored(self) -> bool:
        """Whether the mesh has colours other than one grey."""
        return self.appearance is not None and not self.appearance.is_uniform_grey

    @property
    def boundary_edges(self) -> int:
        """Number of boundary edges; 0 for a closed mesh."""
        return self._edges[0]

    @property
    def non_manifold_edges(self) -> int:
        """Number of edges with three triangles or more."""
        return self._edges[2]

    @property
    def one_sided_edges(self) -> int:
        """Number of edges with an even number of triangles that cannot be wound in pairs, as in a Moebius strip."""
        return self._edges[1]

    @property
    def is_closed(self) -> bool:
        """Whether the winding number is an integer everywhere off the surface."""
        return self.boundary_edges == self.one_sided_edges == 0

    @cached_property
    def area(self) -> float:
        """Surface area [m^2]."""
        return float(0.5 * np.linalg.norm(doubled_areas(self.vertices[self.triangles]), axis=1).sum())

    @cached_property
    def solid(self) -> Solid:
        """Volume and centroid of the solid.

        Exact (divergence theorem) for a closed mesh without overlaps; otherwise estimated from the winding numbers of
        250,000 stratified points, with a relative error of about 1e-3.

        Raises:
            MeshError: If the mesh encloses no volume.
        """
        return measure(self)

    @property
    def volume(self) -> float:
        """Volume [m^3] of the solid; see `solid`."""
        return self.solid.volume

    @property
    def centroid(self) -> tuple[float, float, float]:
        """Centroid [m] of the solid; see `solid`."""
        return self.solid.centroid

    def colors_at(self, points: ArrayLike) -> Array:
        """Return the colours of the surface points that are nearest to given points.

        Args:
            points: Positions [m], shape (N, 3).

        Returns:
            Colours in linear light, in [0, 1], shape (N, 3), float32; white for a mesh without `appearance`.

        Raises:
            ConfigError: If the shape or a value does not fit.
        """
        queries = np.ascontiguousarray(as_array(points, "points", (None, 3)), np.float64)
        look = self.appearance or Appearance()
        return look.at(self.triangles, *_core.closest_on_mesh(self.vertices, self.triangles, queries))

    def transformed(self, scale: float = 1.0, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> Mesh:
        """Return the mesh with every vertex at scale * vertex + offset.

        Args:
            scale: Factor, above 0.
            offset: Translation [m] after scaling, three numbers.

        Raises:
            ConfigError: If an argument is invalid.
        """
        factor = as_positive(scale, "scale")
        shift = as_array(offset, "offset", (3,), np.float64 if not isinstance(offset, np.ndarray) else None)
        shift = shift.astype(np.float64)
        with np.errstate(over="ignore"):  # `Mesh` checks the vertices
            moved = self.vertices * factor + shift
        result = Mesh(moved, self.triangles, self.name, self.up, self.appearance)
        if "_edges" in self.__dict__:
            result.__dict__["_edges"] = self._edges
        if "solid" in self.__dict__:
            centroid = triple(factor * np.array(self.centroid) + shift)
            result.__dict__["solid"] = Solid(self.volume * factor**3, centroid)
        return result


def checked_mesh(
    vertices: object, triangles: object, name: str, up: str | None = None, appearance: Appearance | None = None
) -> Mesh:
    """Return an oriented mesh of copies of arrays; warns once if it is open, non-manifold or inside out."""
    # Copies, so that the caller can change the arrays.
    points = np.array(as_array(vertices, f"{name}: vertices", (None, 3), finite=False))
    return _oriented(Mesh(points, np.array(_index_array(triangles, f"{name}: triangles")), name, up, appearance))


def triple(values: Array) -> tuple[Any, Any, Any]:
    """Return the three entries of an array as Python numbers."""
    x, y, z = values.tolist()
    return x, y, z


def _in_use(points: Array, faces: Array) -> Array:
    """Return the vertices that a triangle refers to."""
    used = np.zeros(len(points), bool)
    used[faces] = True
    return points[used]


def _check(points: Array, faces: Array, name: str) -> None:
    if points.shape[0] == 0:
        raise MeshError(f"{name}: expected a mesh with vertices, got an empty one; check the file or the export")
    if faces.shape[0] == 0:
        raise MeshError(
            f"{name}: expected a mesh with faces, got {points.shape[0]} vertices and no face; "
            "a point cloud has no inside, reconstruct its surface first"
        )
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        v = int(np.argmax(bad))
        raise MeshError(f"{name}: expected finite vertices, got {points[v].tolist()} at vertex {v}; repair the mesh")
    wrong = (faces < 0) | (faces >= points.shape[0])
    if wrong.any():
        t, k = (int(i) for i in np.argwhere(wrong)[0])
        raise MeshError(
            f"{name}: expected vertex indices from 0 to {points.shape[0] - 1}, got {int(faces[t, k])} in triangle {t}; "
            "repair the mesh"
        )
    used = _in_use(points, faces)
    extent, largest = float(np.max(used.max(axis=0) - used.min(axis=0))), float(np.abs(used).max())
    if largest > LARGEST or 0.0 < extent < SMALLEST:
        raise MeshError(
            f"{name}: expected coordinates below {LARGEST:g} and a size above {SMALLEST:g}, got "
            f"{largest:g} and {extent:g}; repair the mesh or scale it"
        )


def _index_array(triangles: object, name: str) -> Array:
    try:
        faces = np.asarray(triangles)
    except ValueError as error:
        raise ConfigError(f"{name}: expected shape (T, 3), got rows of different length: {error}") from None
    if faces.dtype.kind not in "iu" and faces.size > 0:
        raise ConfigError(f"{name}: expected integers, got dtype {faces.dtype}; convert with .astype('int32')")
    if faces.size == 0:
        return np.zeros((0, 3), np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3:
        remedy = f"; pass {name.split(': ')[-1]}.T.copy()" if faces.ndim == 2 and faces.shape[0] == 3 else ""
        raise ConfigError(f"{name}: expected shape (T, 3), got {faces.shape}{remedy}")
    if faces.dtype == np.uint64 and faces.max() > np.iinfo(np.int64).max:
        raise ConfigError(f"{name}: expected indices below the number of vertices, got {faces.max()}")
    return faces.astype(np.int64)


def _oriented(mesh: Mesh) -> Mesh:
    """Wind a mesh consistently and outward; report everything unusual about it in one warning."""
    winding = wind(mesh.vertices, mesh.triangles)
    if winding.inconsistent or winding.inverted:
        mesh = _rewound(mesh, winding.triangles)
    findings = []
    if mesh.boundary_edges:
        findings.append(f"open ({mesh.boundary_edges} boundary edges)")
    if mesh.non_manifold_edges:
        findings.append(f"non-manifold ({mesh.non_manifold_edges} edges with more than two triangles)")
    if mesh.one_sided_edges:
        findings.append(f"one-sided ({mesh.one_sided_edges} edges across which it cannot be wound consistently)")
    if winding.inconsistent:
        findings.append(f"wound inconsistently ({winding.inconsistent} of {len(mesh.triangles)} triangles turned over)")
    flip = False
    if not mesh.is_closed and winding.loose.any():
        inside, inverted, _ = mesh._first_estimate
        flip = inverted > len(inside)
    if flip:
        mesh = _rewound(mesh, flipped(mesh.triangles, winding.loose))
    if flip or winding.inverted:
        partial = winding.inverted < winding.shells or (winding.loose.any() and not flip)
        findings.append(f"inside out{' in parts' if partial else ''} (turned over)")
    if findings:
        warnings.warn(
            f"{mesh.name}: the mesh is {', '.join(findings)}; the winding number decides what is inside",
            MeshWarning,
            stacklevel=4,
        )
    return mesh


def _rewound(mesh: Mesh, triangles: Array) -> Mesh:
    """Return a mesh with some triangles in the opposite corner order, and their texture coordinates with them."""
    look = mesh.appearance
    if look is not None:
        look = look.reversed((triangles != mesh.triangles).any(axis=1))
    return replace(mesh, triangles=triangles, appearance=look)


def _cell_size(mesh: Mesh, cells: int) -> float:
    extent = mesh._bounds[1] - mesh._bounds[0]
    longest = float(extent.max())
    if longest <= 0:
        return 1.0  # a single point: any size works
    # A flat box needs cells too: each edge counts as at least a hundredth of the longest.
    box = float(np.prod(np.maximum(extent, 0.01 * longest)))
    return math.pow(box / cells, 1.0 / 3.0)


def cell_grid(mesh: Mesh, spacing: float) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Return origin and dims of a grid that covers the mesh, centred on its bounding box."""
    low, high = mesh._bounds
    dims = np.maximum(np.ceil((high - low) / spacing), 1.0)
    origin = 0.5 * (low + high) - 0.5 * spacing * dims
    return triple(origin), triple(dims.astype(int))


def _stratified(mesh: Mesh, spacing: float) -> tuple[Array, int]:
    origin, dims = cell_grid(mesh, spacing)
    inside, inverted = _core.sample_cells(mesh.vertices, mesh.triangles, origin, spacing, dims, 1.0, _VOLUME_SEED)
    return inside, int(inverted)


def divergence(mesh: Mesh) -> tuple[float, Array]:
    """Return signed volume and centroid by the divergence theorem, about the centre of the bounding box."""
    middle = mesh._bounds.mean(axis=0)
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] - middle for k in range(3))
    sixths = np.einsum("ij,ij->i", a, np.cross(b, c))
    volume = float(sixths.sum() / 6.0)
    if volume == 0.0:
        return 0.0, middle
    return volume, middle + (sixths[:, None] * (a + b + c)).sum(axis=0) / (24.0 * volume)


def cut_cell_deviation(mesh: Mesh, spacing: float) -> float:
    """Return the standard deviation of the number of stratified interior points.

    The surface cuts about 1.5 area / spacing^2 cells. Each has its point inside with probability p, and p (1 - p)
    averages 1/6.
    """
    return math.sqrt(1.5 * mesh.area / spacing**2 / 6.0)


def measure(mesh: Mesh) -> Solid:
    """Compute `Mesh.solid`."""
    diagonal = float(np.linalg.norm(mesh._bounds[1] - mesh._bounds[0]))
    inside, _, spacing = mesh._first_estimate
    while len(inside) < _ENOUGH_INSIDE and 8 * math.prod(cell_grid(mesh, spacing)[1]) <= _MOST_CELLS:
        spacing *= 0.5
        inside, _ = _stratified(mesh, spacing)
        if len(inside) == 0:
            break  # a sheet without thickness has no interior at any cell size
    estimate = len(inside) * spacing**3
    if mesh.is_closed:
        volume, center = divergence(mesh)
        deviation = cut_cell_deviation(mesh, spacing) * spacing**3
        if volume > _FLAT * diagonal**3 and abs(volume - estimate) <= 5.0 * deviation:
            return Solid(volume, triple(center))
        if len(inside) > 0 and abs(volume - estimate) > _NOTEWORTHY * max(abs(volume), estimate):
            warnings.warn(
                f"{mesh.name}: the surface is closed, but its solid has the volume {estimate:.4g} and the divergence "
                f"theorem gives {volume:.4g}; pieces overlap or are nested; their common volume counts once",
                MeshWarning,
                stacklevel=2,
            )
    if estimate <= _FLAT * diagonal**3:
        raise MeshError(
            f"{mesh.name}: expected a mesh that encloses a volume, got none (a flat or open sheet, or faces that "
            "cancel); close the surface or give it thickness"
        )
    return Solid(estimate, triple(inside.mean(axis=0)))
