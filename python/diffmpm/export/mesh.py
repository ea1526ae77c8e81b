# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes as PLY, OBJ and GLB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from .._color import linear_light
from .._placement import Triple
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .glb import TRIANGLES, container, pack
from .ply import file_bytes, origin_comment, vertex_element


def write_mesh(
    path: PathLike,
    vertices: object,
    triangles: object,
    normals: object = None,
    *,
    colors: object = None,
    origin: Triple = (0.0, 0.0, 0.0),
) -> Path:
    """Write a triangle mesh in the format of the suffix.

    Args:
        path: File ending in .ply, .obj or .glb.
        vertices: Positions [m], shape (V, 3).
        triangles: Vertex indices, shape (T, 3), integers.
        normals: Unit vertex normals, shape (V, 3), or None.
        colors: Vertex colours as displayed, in [0, 1], shape (V, 3), or None. OBJ files hold them after the coordinates
            of each vertex, as most programs read them.
        origin: Point that the vertices are relative to.

    Raises:
        ConfigError: If the suffix, a shape or an index does not fit.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in MESH_FORMATS:
        raise ConfigError(f"path: expected a file ending in {', '.join(MESH_FORMATS)}, got {str(path)!r}")
    points = as_array(vertices, "vertices", (None, 3))
    faces = np.asarray(triangles)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ConfigError(f"triangles: expected integers of shape (T, 3), got {faces.dtype} of shape {faces.shape}")
    if faces.size and not 0 <= faces.min() <= faces.max() < len(points):
        raise ConfigError(f"triangles: expected indices below {len(points)}, got {faces.min()} to {faces.max()}")
    directions = None if normals is None else as_array(normals, "normals", points.shape)
    paint = None if colors is None else np.clip(as_array(colors, "colors", points.shape), 0.0, 1.0)
    return write_bytes(path, MESH_FORMATS[suffix](points, faces, directions, paint, origin))


def _obj(points: Array, faces: Array, normals: Array | None, colors: Array | None, origin: Triple) -> bytes:
    """Return text with all significant digits and world coordinates."""
    lines = _rows("v", points.astype(np.float64) + origin if any(origin) else points)
    if colors is not None:
        lines = [f"{line} {r:.4f} {g:.4f} {b:.4f}" for line, (r, g, b) in zip(lines, colors.tolist(), strict=True)]
    if normals is None:
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    else:
        lines += _rows("vn", normals)
        lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _rows(name: str, values: Array) -> list[str]:
    digits = 9 if values.dtype == np.float32 else 17
    return [f"{name} {a:.{digits}g} {b:.{digits}g} {c:.{digits}g}" for a, b, c in values.tolist()]


def _ply(points: Array, faces: Array, normals: Array | None, colors: Array | None, origin: Triple) -> bytes:
    """Return little-endian binary; a header comment holds the origin."""
    columns = [(axis, points[:, k]) for k, axis in enumerate("xyz")]
    if normals is not None:
        columns += [(f"n{axis}", normals[:, k]) for k, axis in enumerate("xyz")]
    if colors is not None:
        shades = np.rint(255.0 * colors).astype(np.uint8)
        columns += [(name, shades[:, k]) for k, name in enumerate(("red", "green", "blue"))]
    corners = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    corners["count"], corners["corners"] = 3, faces
    lines, records = vertex_element(columns)
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    return file_bytes([*origin_comment(origin), *lines], records, corners.tobytes())


def _glb(points: Array, faces: Array, normals: Array | None, colors: Array | None, origin: Triple) -> bytes:
    """Return binary glTF; the node translation holds the origin."""
    columns: dict[str, Array] = {"POSITION": points, **({} if normals is None else {"NORMAL": normals})}
    if colors is not None:
        columns["COLOR_0"] = linear_light(colors)
    return container(*pack(columns, TRIANGLES, indices=faces, origin=origin))


MESH_FORMATS = {".ply": _ply, ".obj": _obj, ".glb": _glb}
