# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Match the size and position of two solids."""

from __future__ import annotations

from .mesh import Mesh
from .reading import MeshLike, load_mesh


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
