# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes as PLY, OBJ and GLB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import as_array
from ..errors import ConfigError
from .atomic import PathLike, write_bytes

MESH_FORMATS: tuple[str, ...] = (".ply", ".obj", ".glb")


def write_mesh(path: PathLike, vertices: object, triangles: object, normals: object = None) -> Path:
    """Write a triangle mesh; the extension chooses the format.

    Args:
        path: File ending in .ply, .obj or .glb.
        vertices: Positions [m], shape (V, 3).
        triangles: Vertex indices, shape (T, 3), integers.
        normals: Unit normals of the vertices, shape (V, 3), or None.

    Returns:
        The file.

    Raises:
        ConfigError: If the extension, a shape or an index does not fit.
        OutputError: If it cannot be written.
    """
    kind = Path(path).suffix.lower()
    if kind not in MESH_FORMATS:
        raise ConfigError(f"path: expected a file ending in {', '.join(MESH_FORMATS)}, got {str(path)!r}")
    points = as_array(vertices, "vertices", (None, 3))
    faces = np.asarray(triangles)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ConfigError(f"triangles: expected integers of shape (T, 3), got {faces.dtype} of shape {faces.shape}")
    if faces.size and not 0 <= faces.min() <= faces.max() < len(points):
        raise ConfigError(f"triangles: expected indices below {len(points)}, got {faces.min()} to {faces.max()}")
    directions = None if normals is None else as_array(normals, "normals", points.shape)
    import trimesh

    mesh = trimesh.Trimesh(points, faces, vertex_normals=directions, process=False)
    options = (
        {"vertex_normal": directions is not None} if kind == ".ply" else {"include_normals": directions is not None}
    )
    content: Any = mesh.export(None, kind[1:], **options)
    return write_bytes(path, content.encode() if isinstance(content, str) else content)
