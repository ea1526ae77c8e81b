# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes as PLY, OBJ and GLB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from .._placement import Triple
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .glb import container, pack
from .ply import comments


def write_mesh(
    path: PathLike,
    vertices: object,
    triangles: object,
    normals: object = None,
    *,
    origin: Triple = (0.0, 0.0, 0.0),
) -> Path:
    """Write a triangle mesh; the extension chooses the format.

    Args:
        path: File ending in .ply, .obj or .glb.
        vertices: Positions [m], shape (V, 3).
        triangles: Vertex indices, shape (T, 3), integers.
        normals: Unit normals of the vertices, shape (V, 3), or None.
        origin: Point that the vertices are relative to.

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
    return write_bytes(path, _ENCODERS[kind](points, faces, directions, origin))


def _obj(points: Array, faces: Array, normals: Array | None, origin: Triple) -> bytes:
    """Return text with all digits; vertices are in the world."""
    world = points.astype(np.float64) + origin if any(origin) else points
    lines = _rows("v", world)
    if normals is None:
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    else:
        lines += _rows("vn", normals)
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _rows(name: str, values: Array) -> list[str]:
    digits = 9 if values.dtype == np.float32 else 17
    return [f"{name} {a:.{digits}g} {b:.{digits}g} {c:.{digits}g}" for a, b, c in values.tolist()]


def _ply(points: Array, faces: Array, normals: Array | None, origin: Triple) -> bytes:
    """Return little-endian binary; a comment holds the origin."""
    columns = [("x", points[:, 0]), ("y", points[:, 1]), ("z", points[:, 2])]
    if normals is not None:
        columns += [(f"n{axis}", normals[:, k].astype(np.float32)) for k, axis in enumerate("xyz")]
    table = np.empty(len(points), [(name, "<" + values.dtype.str[1:]) for name, values in columns])
    for name, values in columns:
        table[name] = values
    corners = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    corners["count"], corners["corners"] = 3, faces
    kinds = {"f4": "float", "f8": "double"}
    lines = ["ply", "format binary_little_endian 1.0", *comments(origin), f"element vertex {len(points)}"]
    lines += [f"property {kinds[values.dtype.str[1:]]} {name}" for name, values in columns]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(lines) + "\n").encode("ascii") + table.tobytes() + corners.tobytes()


def _glb(points: Array, faces: Array, normals: Array | None, origin: Triple) -> bytes:
    """Return binary glTF; the translation of the node is the origin."""
    columns: dict[str, Array] = {"POSITION": points, **({} if normals is None else {"NORMAL": normals})}
    document, binary = pack(columns, 4, indices=faces, origin=origin)
    return container(document, binary)


_ENCODERS = {".ply": _ply, ".obj": _obj, ".glb": _glb}
MESH_FORMATS: tuple[str, ...] = tuple(_ENCODERS)
