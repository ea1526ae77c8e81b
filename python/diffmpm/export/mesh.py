# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes as PLY, OBJ and GLB, with textures beside them or, in GLB, inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._arrays import Array, as_array, as_triangles
from .._color import display_color, linear_light, to_bytes
from .._placement import Triple
from ..errors import ConfigError
from .animated_glb import encode_animated_glb
from .atomic import PathLike, write_bytes
from .moment import MeshFrames
from .parts import mesh_parts, plain_name, texture_file
from .ply import file_bytes, origin_comment, vertex_element

if TYPE_CHECKING:
    from ..geometry import Appearance

LIBRARY = "materials.mtl"
"""File of the materials of all .obj files in a folder."""


class _Mesh(NamedTuple):
    """A checked mesh."""

    points: Array
    faces: Array
    normals: Array | None
    colors: Array | None
    """Vertex colours as displayed, in [0, 1]."""
    look: Appearance | None
    origin: Triple


def write_mesh(
    path: PathLike,
    vertices: object,
    triangles: object,
    normals: object = None,
    *,
    colors: object = None,
    appearance: Appearance | None = None,
    origin: Triple = (0.0, 0.0, 0.0),
) -> Path:
    """Write a triangle mesh in the format of the suffix.

    OBJ files hold vertex colours after the coordinates of each vertex, as most programs read them, and all coordinates
    in world space. PLY files hold the texture coordinates of the corners, as MeshLab does; a material without texture
    gets one of a single pixel, and the factor of a material with one is left out.

    Args:
        path: File ending in .ply, .obj or .glb.
        vertices: Positions [m], shape (V, 3).
        triangles: Vertex indices, shape (T, 3), integers.
        normals: Unit vertex normals, shape (V, 3), or None.
        colors: Vertex colours as displayed, in [0, 1], shape (V, 3), or None.
        appearance: Texture coordinates and materials, and vertex colours instead of `colors`. OBJ and PLY have
            `materials.mtl` and the textures beside them, unless an earlier mesh in the folder has them.
        origin: Point that the vertices are relative to.

    Raises:
        ConfigError: If the suffix, a shape or an index does not fit.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in MESH_FORMATS:
        raise ConfigError(f"path: expected a file ending in {', '.join(MESH_FORMATS)}, got {str(path)!r}")
    points = as_array(vertices, "vertices", (None, 3))
    faces = as_triangles(triangles, len(points))
    directions = None if normals is None else as_array(normals, "normals", points.shape)
    paint = None if colors is None else np.clip(as_array(colors, "colors", points.shape), 0.0, 1.0)
    if appearance is not None and appearance.colors is not None:
        paint = display_color(appearance.colors)
    mesh = _Mesh(points, faces, directions, paint, appearance, origin)
    return write_bytes(path, MESH_FORMATS[suffix](Path(path).parent, mesh))


def _obj(folder: Path, mesh: _Mesh) -> bytes:
    """Return text with all significant digits; write the materials and textures unless an earlier mesh has done so."""
    look = mesh.look
    points = mesh.points.astype(np.float64) + mesh.origin if any(mesh.origin) else mesh.points
    if mesh.colors is None:
        text = _lines(f"v{_digits(points)}\n", points)
    else:
        table = np.concatenate([points.astype(np.float64), mesh.colors], axis=1)
        text = _lines(f"v{_digits(points)} %.4f %.4f %.4f\n", table)
    indices, corner = [mesh.faces], "%d"
    if look is not None and look.uvs is not None:
        pairs = np.ascontiguousarray(look.uvs, np.float32).reshape(-1, 2)
        _, first, place = np.unique(pairs.view(np.int64), return_index=True, return_inverse=True)
        text += _lines("vt %.9g %.9g\n", pairs[first])
        indices, corner = [*indices, place.reshape(-1, 3)], "%d/%d"
    if mesh.normals is not None:
        text += _lines(f"vn{_digits(mesh.normals)}\n", mesh.normals)
        corner += "/%d" if len(indices) == 2 else "//%d"
        indices.append(mesh.faces)
    corners, face = 1 + np.stack(indices, axis=2), f"f {corner} {corner} {corner}\n"
    if look is None or not look.materials:
        text += _lines(face, corners)
    else:
        library = []
        for number, part in enumerate(mesh_parts(mesh.faces, look)):
            assert part.material is not None
            name = plain_name(part.material.name, number)
            text += f"usemtl {name}\n{_lines(face, corners[part.rows])}"
            shade = " ".join(f"{c:.6g}" for c in display_color(np.array(part.material.color)))
            library += [f"newmtl {name}", f"Kd {shade}"]
            if part.material.texture is not None:
                library += [f"map_Kd {_write_texture(folder, part.material, number)}"]
        text = f"mtllib {LIBRARY}\n{text}"
        if not (folder / LIBRARY).exists():
            write_bytes(folder / LIBRARY, ("\n".join(library) + "\n").encode("ascii"))
    return text.encode("ascii")


def _lines(pattern: str, table: Array) -> str:
    """Return one line per row, formatted in one call."""
    return (pattern * len(table)) % tuple(table.ravel().tolist())


def _digits(values: Array) -> str:
    """Return the pattern of three numbers that reading restores."""
    return 3 * (" %.9g" if values.dtype == np.float32 else " %.17g")


def _write_texture(folder: Path, material: Any, number: int) -> str:
    """Write the texture of a material, unless an earlier file has done so, and return its name."""
    name, content, _ = texture_file(material, number)
    if not (folder / name).exists():
        write_bytes(folder / name, content)
    return name


def _ply(folder: Path, mesh: _Mesh) -> bytes:
    """Return little-endian binary, with the origin in a header comment; write the textures likewise."""
    columns = [(axis, mesh.points[:, k]) for k, axis in enumerate("xyz")]
    if mesh.normals is not None:
        columns += [(f"n{axis}", mesh.normals[:, k]) for k, axis in enumerate("xyz")]
    if mesh.colors is not None:
        shades = to_bytes(mesh.colors)
        columns += [(name, shades[:, k]) for k, name in enumerate(("red", "green", "blue"))]
    lines, records = vertex_element(columns)
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    fields: list[tuple[Any, ...]] = [("count", "u1"), ("corners", "<i4", 3)]
    uvs = None if mesh.look is None else mesh.look.uvs
    materials = uvs is not None and mesh.look is not None and bool(mesh.look.materials)
    if uvs is not None:
        fields += [("numbers", "u1"), ("uvs", "<f4", 6)]
        lines.append("property list uchar float texcoord")
    if materials:
        fields.append(("texture", "<i4"))
        lines.append("property int texnumber")
    faces = np.zeros(len(mesh.faces), fields)
    faces["count"], faces["corners"] = 3, mesh.faces
    comments = origin_comment(mesh.origin)
    if uvs is not None:
        faces["numbers"], faces["uvs"] = 6, uvs.reshape(-1, 6)
    for number, part in enumerate(mesh_parts(mesh.faces, mesh.look) if materials else ()):
        faces["texture"][part.rows] = number
        comments.append(f"comment TextureFile {_write_texture(folder, part.material, number)}")
    return file_bytes([*comments, *lines], records, faces.tobytes())


def _glb(folder: Path, mesh: _Mesh) -> bytes:
    """Return binary glTF, with the origin as node translation and the textures embedded."""
    if not len(mesh.faces):
        raise ConfigError("triangles: expected at least one in a .glb file, got none")
    colors = None if mesh.look is None else mesh.look.colors
    if colors is None and mesh.colors is not None:
        colors = linear_light(mesh.colors)
    normals = [] if mesh.normals is None else [mesh.normals]
    return encode_animated_glb(MeshFrames([mesh.points], normals, mesh.faces, mesh.look, colors, mesh.origin))


MESH_FORMATS = {".ply": _ply, ".obj": _obj, ".glb": _glb}
