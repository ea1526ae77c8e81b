# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Match the size and position of two solids."""

from __future__ import annotations

import numpy as np

from .._arrays import Array
from .mesh import Mesh
from .reading import MeshLike, load_mesh

_BLOCK = 500
"""Most points that are assigned optimally at once; the time grows with the square."""
_ROUNDS = 4
"""Rounds that improve an assignment across the borders of its blocks."""


def fit(source: MeshLike, target: MeshLike) -> Mesh:
    """Scale and translate the source so that its solid has the volume and centroid of the target.

    A volume-preserving body can then fill its target exactly. Open meshes work too (see `Mesh.solid`). The source is
    not rotated.

    Args:
        source: Mesh to transform, or any argument of `load_mesh`.
        target: Mesh to match, or any argument of `load_mesh`.

    Returns:
        The transformed source.

    Raises:
        MeshError: If a mesh cannot be loaded or encloses no volume.
    """
    body, goal = load_mesh(source), load_mesh(target)
    return body.transformed(*scale_and_offset(body, goal))


def scale_and_offset(source: Mesh, target: Mesh) -> tuple[float, list[float]]:
    """Return the scale and the subsequent offset of `fit`."""
    scale = (target.volume / source.volume) ** (1.0 / 3.0)
    return scale, [g - scale * b for g, b in zip(target.centroid, source.centroid, strict=True)]


def assign(points: Array, goals: Array) -> Array:
    """Assign one of as many goals to each point so that the sum of squared distances is small.

    Both sets are divided into blocks of equal numbers by medians, within which the assignment is optimal. Further
    rounds with other blocks then improve it across their borders.

    Args:
        points: Positions, shape (N, 3).
        goals: Positions, shape (N, 3), about as dense.

    Returns:
        Index of the goal of each point, each once, shape (N,), int64.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.transform import Rotation

    x, y = points.astype(np.float64), goals.astype(np.float64)
    index = np.empty(len(x), np.int64)

    def match(rows: Array, columns: Array) -> None:
        a, b = x[rows], y[columns]
        costs = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
        index[rows] = columns[linear_sum_assignment(costs)[1]]

    def divide(rows: Array, columns: Array, along: Array) -> None:
        if len(rows) <= _BLOCK:
            match(rows, columns)
            return
        projected = along @ x[rows].T
        axis = int(np.ptp(projected, axis=1).argmax())
        half = len(rows) // 2
        a, b = np.argsort(projected[axis], kind="stable"), np.argsort(along[axis] @ y[columns].T, kind="stable")
        for part in (slice(None, half), slice(half, None)):
            divide(rows[a[part]], columns[b[part]], along)

    def improve(rows: Array, along: Array) -> None:
        if len(rows) <= _BLOCK:
            match(rows, index[rows])
            return
        projected = along @ x[rows].T
        order = np.argsort(projected[int(np.ptp(projected, axis=1).argmax())], kind="stable")
        improve(rows[order[: len(rows) // 2]], along)
        improve(rows[order[len(rows) // 2 :]], along)

    every = np.arange(len(x))
    divide(every, every, np.eye(3))
    if len(x) > _BLOCK:
        for along in Rotation.random(_ROUNDS, random_state=0).as_matrix():
            improve(every, along)
    return index
