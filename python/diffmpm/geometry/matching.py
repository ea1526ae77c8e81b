# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Bring two solids to one size and place."""

from __future__ import annotations

from .mesh import Mesh
from .reading import MeshLike, load_mesh


def fit(source: MeshLike, target: MeshLike) -> Mesh:
    """Scale and move the source so that its solid has the volume and the centroid of the target's.

    A volume-preserving body can then fill its target exactly. Volume and centroid are those of the solids
    (`Mesh.solid`): open meshes work too. Nothing is rotated.

    Args:
        source: The mesh to move, or what `load_mesh` takes.
        target: The mesh to match, or what `load_mesh` takes.

    Returns:
        The moved source; the target stays as it is.

    Raises:
        MeshError: If one of them cannot be loaded or encloses no volume.
    """
    body, goal = load_mesh(source), load_mesh(target)
    return body.transformed(*scale_and_offset(body, goal))


def scale_and_offset(source: Mesh, target: Mesh) -> tuple[float, list[float]]:
    """Return what `fit` scales the source by and then moves it by."""
    scale = (target.volume / source.volume) ** (1.0 / 3.0)
    return scale, [g - scale * b for g, b in zip(target.centroid, source.centroid, strict=True)]
