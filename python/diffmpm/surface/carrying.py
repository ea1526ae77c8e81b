# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A mesh of constant topology that follows the motion of a body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, as_array, as_points, as_triangles, to_host
from .._repr import short_repr
from ..errors import ConfigError
from .fitting import fit_surface

_SMOOTHING = 2.0
"""Length over which displacements are smoothed along the mesh, in spacings."""
_LARGEST_SHIFT = 0.5
"""Largest displacement onto the surface per frame, in spacings."""
_LARGEST_OFFSET = 1.5
"""Largest distance between mesh and body at rest that is kept, in spacings."""
_RAMP = 0.2
"""Fraction of the frames over which the mesh approaches the surface of the body."""
_NEAR = 1.5
"""Distance, in spacings, within which a vertex has a particle; the metric "gap" uses the same."""
_STRETCH = 4.0
"""Ratio of lengths at which a triangle counts as stretched; below its reciprocal, as collapsed."""
_COTANGENTS = 0.05, 20.0
"""Range of cotangent weights: positive, so that smoothing never overshoots, and bounded in degenerate triangles."""
_GROUP = 8
"""Vertices whose numbers follow each other because they are near."""
_TINY = 1e-12
"""Least area of a triangle or vertex, over the largest one, in the operators."""


@short_repr
@dataclass(frozen=True)
class CarryReport:
    """Quality of a carried mesh. Lists have one entry per frame."""

    vertices: int
    """Number of vertices."""
    triangles: int
    """Number of triangles."""
    far_vertices: int
    """Vertices at rest without a particle within 1.5 particle spacings. Their motion is extrapolated."""
    stretched: list[int]
    """Triangles that some direction of the surface stretches to more than 4 times its length at rest."""
    collapsed: list[int]
    """Triangles that some direction of the surface compresses to less than a quarter of its length at rest."""
    folded: list[int]
    """Triangles turned against the mean normal at their vertices."""
    crossing: list[int]
    """Triangles that cross another one with which they share no vertex: the mesh intersects itself."""
    stretch: list[float]
    """Largest singular value of the map from the triangle at rest, 99th percentile of the triangles."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


@short_repr
@dataclass(frozen=True, eq=False)
class CarriedMesh:
    """A mesh in the frames of a motion, made by `carry`."""

    frames: tuple[Array, ...]
    """Vertex positions [m] of each frame, shape (V, 3), float64; those at rest are the vertices themselves."""
    triangles: Array
    """Vertex indices, shape (T, 3), int32."""
    spacing: float
    """Particle spacing [m]."""
    far: Array
    """Whether each vertex has no particle within 1.5 spacings at rest, shape (V,), bool."""
    rest: int
    """Index of the frame at rest."""

    owners: Array
    """Nearest particle of each vertex at rest, shape (V,)."""

    def normals(self, frame: int | Array) -> Array:
        """Return unit vertex normals, shape (V, 3), float64. Coinciding vertices share theirs.

        Args:
            frame: Index of a frame, or other vertex positions, shape (V, 3).
        """
        points = frame if isinstance(frame, np.ndarray) else self.frames[frame]
        return vertex_normals(points, self.triangles, self._welded[1])

    @cached_property
    def _welded(self) -> tuple[Array, Array]:
        return _weld(self.frames[self.rest])

    def report(self) -> CarryReport:
        """Count stretched, collapsed, folded and crossing triangles of each frame, and vertices without a particle."""
        rest, rows = self.frames[self.rest], []
        first, welded = self._welded
        joined = welded[self.triangles].astype(np.int32)
        search = _core.CrossingSearch(rest[first], joined)
        before = _gram(*_edges(rest, self.triangles))
        for points in self.frames:
            edges = _edges(points, self.triangles)
            largest, smallest = _singular_values(before, _gram(*edges))
            vectors = _cross(*edges)
            normals = _vertex_normals(vectors, joined, len(first)).T
            inward = sum(v * sum(n[column] for column in joined.T) for v, n in zip(vectors, normals, strict=True))
            flags = (largest > _STRETCH, smallest < 1.0 / _STRETCH, inward < 0.0, search.flags(points[first]))
            rows.append((*map(np.count_nonzero, flags), np.percentile(largest, 99.0)))
        stretched, collapsed, folded, crossing = ([int(row[k]) for row in rows] for k in range(4))
        return CarryReport(
            vertices=len(rest),
            triangles=len(self.triangles),
            far_vertices=int(np.count_nonzero(self.far)),
            stretched=stretched,
            collapsed=collapsed,
            folded=folded,
            crossing=crossing,
            stretch=[round(float(row[4]), 4) for row in rows],
        )


def carry(
    frames: Sequence[ArrayLike], vertices: ArrayLike, triangles: ArrayLike, *, rest: int = -1, loop: bool = False
) -> CarriedMesh:
    """Carry a mesh through the motion of a body, from the frame in which it is the surface of the body.

    From frame to frame, away from `rest`, each vertex moves with the local affine maps of the nearest particles.
    Deviations from those maps are smoothed along the mesh, over two particle spacings of its shape at rest, so that
    vertices whose particles part do not form needles. Then the mesh is moved onto the fitted surface of the frame by
    displacements that are as smooth. The distance between mesh and body at rest fades over a fifth of the frames.

    In a loop the mesh is at rest in the first and in the last frame. As the particles return in another order, a mesh
    that is carried forwards from the first frame ends beside itself. It is blended with one that is carried backwards
    from the last frame, by a smooth weight over all frames.

    Args:
        frames: Particle positions of each frame [m], shape (N, 3).
        vertices: Vertex positions in the frame `rest` [m], shape (V, 3).
        triangles: Vertex indices, shape (T, 3), counter-clockwise seen from outside.
        rest: Index of the frame at rest.
        loop: Whether the last frame has the body of the first one, and the frame at rest is one of these.

    Raises:
        ConfigError: If an array or the index does not fit, or the particles have no surface.

    References:
        Sumner, Schmid, Pauly 2007, Embedded deformation for shape manipulation (blended affine maps);
        Desbrun et al. 1999, Implicit fairing of irregular meshes (implicit smoothing).
    """
    bodies = [as_points(to_host(as_array(x, "frames", (None, 3), device="any")), "frames") for x in frames]
    if not bodies or any(len(x) != len(bodies[0]) for x in bodies):
        raise ConfigError(f"frames: expected at least one, all with the same particles, got {[*map(len, bodies)]}")
    if not -len(bodies) <= rest < len(bodies):
        raise ConfigError(f"rest: expected the index of one of {len(bodies)} frames, got {rest}")
    if loop and rest % len(bodies) not in (0, len(bodies) - 1):
        raise ConfigError(f"rest: expected the first or last frame of a loop, got {rest}")
    points = as_points(vertices, "vertices").astype(np.float64)
    faces = np.ascontiguousarray(as_triangles(triangles, len(points)), np.int32)
    if not len(faces):
        raise ConfigError("triangles: expected at least one, got none")
    return _Carrier([np.ascontiguousarray(x, np.float64) for x in bodies], points, faces, rest % len(bodies)).run(loop)


def vertex_normals(points: Array, triangles: Array, welded: Array | None = None) -> Array:
    """Return unit vertex normals, weighted by area, shape (V, 3); those of welded vertices are shared."""
    vectors = _cross(*_edges(points, triangles))
    if welded is None:
        return _vertex_normals(vectors, triangles, len(points))
    return _vertex_normals(vectors, welded[triangles], int(welded.max(initial=-1)) + 1)[welded]


def singular_values(rest: Array, points: Array, triangles: Array) -> tuple[Array, Array]:
    """Return the larger and smaller singular value of the map of each triangle from rest, shape (T,) each.

    They are the roots of the eigenvalues of G0^-1 G1, with the Gram matrices G0 and G1 of the edges.
    """
    return _singular_values(_gram(*_edges(rest, triangles)), _gram(*_edges(points, triangles)))


def _vertex_normals(vectors: Sequence[Array], triangles: Array, count: int) -> Array:
    """Return the unit normals of `count` vertices from the area vectors of the triangles."""
    total = np.stack([_scatter(triangles, np.repeat(v, 3), count) for v in vectors], axis=1)
    normals: Array = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return normals


def _singular_values(before: tuple[Array, ...], after: tuple[Array, ...]) -> tuple[Array, Array]:
    """Implement `singular_values` for the entries of Gram matrices."""
    (a, b, c), (d, e, f) = before, after
    det = np.maximum(a * c - b * b, np.finfo(np.float64).tiny)
    half = 0.5 * (c * d - 2.0 * b * e + a * f) / det
    product = np.maximum(d * f - e * e, 0.0) / det
    root = np.sqrt(np.maximum(half * half - product, 0.0))
    largest = half + root
    return np.sqrt(largest), np.sqrt(product / np.maximum(largest, np.finfo(np.float64).tiny))


def _edges(points: Array, triangles: Array) -> tuple[list[Array], list[Array]]:
    """Return the components x, y, z of two edges of each triangle, shape (T,) each."""
    corners = [np.ascontiguousarray(column) for column in triangles.T]
    components = [np.ascontiguousarray(column) for column in points.T]
    u, v = ([c[corners[k]] - c[corners[0]] for c in components] for k in (1, 2))
    return u, v


def _gram(u: Sequence[Array], v: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return the entries uu, uv, vv of the Gram matrix of the edges of each triangle."""
    uu, uv, vv = (p[0] * q[0] + p[1] * q[1] + p[2] * q[2] for p, q in ((u, u), (u, v), (v, v)))
    return uu, uv, vv


def _cross(u: Sequence[Array], v: Sequence[Array]) -> list[Array]:
    """Return the components of the normals of the triangles, twice as long as their areas, from their edges."""
    return [u[i] * v[j] - u[j] * v[i] for i, j in ((1, 2), (2, 0), (0, 1))]


def _scatter(index: Array, values: Array, count: int) -> Array:
    return np.bincount(index.ravel(), values.ravel(), count)


def _weld(points: Array) -> tuple[Array, Array]:
    """Return one index for each distinct position, and for each vertex the number of its position.

    Positions near each other have near numbers: searches around one after the other take less time.
    """
    _, first, inverse = np.unique(points, axis=0, return_index=True, return_inverse=True)
    order = _core.compact_groups(np.ascontiguousarray(points[first], np.float64), _GROUP, np.inf)[0]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


class _Carrier:
    """State of `carry`: the welded mesh and its smoothing operators."""

    def __init__(self, bodies: list[Array], points: Array, triangles: Array, rest: int) -> None:
        self._bodies, self._points, self._triangles, self._rest = bodies, points, triangles, rest
        first, self._index = _weld(points)
        self._welded = points[first]
        self._at_rest = _Shape(bodies[rest])
        self._spacing = self._at_rest.spacing
        self._smooth = _Smoother(self._welded, self._index[triangles], _SMOOTHING * self._spacing)
        limit = _LARGEST_OFFSET * self._spacing
        self._offset = np.clip(self._at_rest.distance(self._welded)[0], -limit, limit)

    def run(self, loop: bool) -> CarriedMesh:
        last, positions = len(self._bodies) - 1, [self._points] * len(self._bodies)
        if loop:
            ahead = {k: points for k, points, _ in self._follow(0, range(1, last))}
            for k, points, shape in self._follow(last, range(last - 1, 0, -1)):
                weight = k / last
                weight *= weight * (3.0 - 2.0 * weight)
                points = (1.0 - weight) * ahead[k] + weight * points
                positions[k] = self._onto(points, shape, min(k, last - k))[self._index]
        else:
            for order in (range(self._rest - 1, -1, -1), range(self._rest + 1, last + 1)):
                for k, points, _ in self._follow(self._rest, order):
                    positions[k] = points[self._index]
        distances, owners = self._at_rest.particles.nearest_points(np.ascontiguousarray(self._points))
        far = distances > _NEAR * self._spacing
        return CarriedMesh(tuple(positions), self._triangles, self._spacing, far, self._rest, owners)

    def _follow(self, start: int, order: range) -> Iterator[tuple[int, Array, _Shape]]:
        """Yield the number of each frame in an order that begins beside `start`, the vertices in it, and its body."""
        current, before = self._welded, self._at_rest if start == self._rest else _Shape(self._bodies[start])
        with ThreadPoolExecutor(1) as pool:  # fits the surface of the next frame meanwhile
            shapes = pool.map(_Shape, [self._bodies[k] for k in order])
            for k, shape in zip(order, shapes, strict=True):
                moved = current + self._smooth.along(current, *before.displacement(current, shape.x))
                current, before = self._onto(moved, shape, abs(k - start)), shape
                yield k, current, shape

    def _onto(self, points: Array, shape: _Shape, count: int) -> Array:
        """Return vertices moved towards the surface of a body, `count` frames away from rest."""
        fraction = max(0.0, 1.0 - count / max(1.0, _RAMP * len(self._bodies)))
        kept = fraction * fraction * (3.0 - 2.0 * fraction) * self._offset
        distance, normals = shape.distance(points)
        limit = _LARGEST_SHIFT * self._spacing
        shift = np.clip(kept - distance, -limit, limit)
        return points + self._smooth(shift[:, None] * normals)


class _Shape:
    """One frame of the body: search tree of the particles, and fitted surface."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self.particles = _core.PointTree(x)
        surface = fit_surface(x)
        self.spacing = surface.spacing
        self._points, self._normals = surface.vertices, surface.normals
        self._tree = _core.PointTree(self._points)

    def displacement(self, points: Array, after: Array) -> tuple[Array, Array]:
        """Return displacements of points, shape (V, 3), and their gradients when the particles move to `after`."""
        moved: tuple[Array, Array] = _core.displacements(self.particles, self.x, after, np.ascontiguousarray(points))
        return moved

    def distance(self, points: Array) -> tuple[Array, Array]:
        """Return signed distances to the surface, shape (V,), positive outside, and its normals, shape (V, 3)."""
        points = np.ascontiguousarray(points)
        far: tuple[Array, Array] = _core.surface_distances(self._tree, self._points, self._normals, points)
        return far


class _Smoother:
    """Implicit smoothing along a mesh at rest, with lumped masses M and the cotangent Laplacian K = diag(W 1) - W."""

    def __init__(self, points: Array, triangles: Array, length: float) -> None:
        from scipy import sparse
        from scipy.sparse import linalg

        count = len(points)
        areas = np.linalg.norm(_cross(*_edges(points, triangles)), axis=0)
        areas = np.maximum(areas, max(_TINY * float(areas.max()), np.finfo(np.float64).tiny))
        masses = _scatter(triangles, np.repeat(areas / 6.0, 3), count)
        self._masses = np.maximum(masses, _TINY * masses.max())[:, None]
        rows, columns, values = [], [], []
        for k in range(3):
            corner, i, j = (triangles[:, (k + n) % 3] for n in range(3))
            u, v = points[i] - points[corner], points[j] - points[corner]
            weight = 0.5 * length * length * np.clip(np.einsum("ti,ti->t", u, v) / areas, *_COTANGENTS)
            rows += [i, j]
            columns += [j, i]
            values += [weight, weight]
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        self._weights = sparse.coo_matrix(entries, (count, count)).tocsr()
        self._sums = np.asarray(self._weights.sum(axis=1))
        matrix = (sparse.diags((self._masses + self._sums).ravel()) - self._weights).tocsc()
        options = {"SymmetricMode": True}
        factors = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        below = sparse.tril(factors.L, -1).tocsc()  # positive definite: the pivots are on the diagonal
        self._solver = _core.Solver(
            below.indptr.astype(np.int32),
            below.indices.astype(np.int32),
            below.data,
            factors.U.diagonal(),
            factors.perm_c.astype(np.int32),
        )

    def __call__(self, values: Array) -> Array:
        """Return (M + K)^-1 M values, shape (V, K)."""
        smooth: Array = self._solver.solve(self._masses * values)
        return smooth

    def along(self, points: Array, displacements: Array, gradients: Array) -> Array:
        """Return smooth displacements of points, shape (V, 3); affine motions are returned as they are.

        They minimise the sum of M |d - displacements|^2 and, over the edges, W |d_i - d_j - B (x_i - x_j)|^2, with the
        mean B of the smoothed gradients at both ends.
        """
        gradients = self(gradients.reshape(-1, 9)).reshape(-1, 3, 3)
        moved = np.einsum("vij,vj->vi", gradients, points)
        own = np.einsum("vij,vj->vi", gradients, self._sums * points - self._weights @ points)
        others = (self._weights @ gradients.reshape(-1, 9)).reshape(-1, 3, 3)
        load = 0.5 * (own + np.einsum("vij,vj->vi", others, points) - self._weights @ moved)
        smooth: Array = self._solver.solve(self._masses * displacements + load)
        return smooth
