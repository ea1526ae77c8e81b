# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Textured meshes as OBJ and PLY. All frames in a folder share the textures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from .._color import display_color
from ..errors import ConfigError
from .atomic import write_bytes
from .moment import Moment
from .parts import mesh_parts, plain_name, texture_file
from .ply import file_bytes, origin_comment, vertex_element

LIBRARY = "materials.mtl"


def write_textured_obj(path: Path, moment: Moment) -> Path:
    """Write the mesh of a frame as .obj with texture coordinates and materials, all coordinates in world space.

    `materials.mtl` and the textures are written beside it, unless an earlier frame has done so.
    """
    if moment.mesh is None or moment.appearance is None:
        raise ConfigError("moment: expected a mesh with an appearance, got none; use write_mesh")
    (points, triangles, normals), look = moment.mesh, moment.appearance
    lines = _rows("v", points.astype(np.float64) + moment.origin)
    if look.colors is not None:
        shades = display_color(look.colors).tolist()
        lines = [f"{line} {r:.4f} {g:.4f} {b:.4f}" for line, (r, g, b) in zip(lines, shades, strict=True)]
    lines += _rows("vn", normals)
    corners = [[f"{v + 1}//{v + 1}" for v in triangle] for triangle in triangles.tolist()]
    if look.uvs is not None:
        uvs, index = np.unique(look.uvs.reshape(-1, 2), axis=0, return_inverse=True)
        lines += _rows("vt", uvs)
        pairs = zip(triangles.tolist(), (index.reshape(-1, 3) + 1).tolist(), strict=True)
        corners = [[f"{v + 1}/{t}/{v + 1}" for v, t in zip(*pair, strict=True)] for pair in pairs]
    parts = list(mesh_parts(triangles, look))
    if look.materials:
        lines.insert(0, f"mtllib {LIBRARY}")
    for number, part in enumerate(parts):
        if part.material is not None:
            lines.append(f"usemtl {plain_name(part.material.name, number)}")
        lines += [f"f {' '.join(corners[row])}" for row in part.rows.tolist()]
    if look.materials and not (path.parent / LIBRARY).exists():
        library = []
        for number, part in enumerate(parts):
            assert part.material is not None
            shade = " ".join(f"{c:.6g}" for c in display_color(np.array(part.material.color)))
            library += [f"newmtl {plain_name(part.material.name, number)}", f"Kd {shade}"]
            if part.material.texture is not None:
                name, content, _ = texture_file(part.material, number)
                write_bytes(path.parent / name, content)
                library += [f"map_Kd {name}"]
        write_bytes(path.parent / LIBRARY, ("\n".join(library) + "\n").encode("ascii"))
    return write_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))


def write_textured_ply(path: Path, moment: Moment) -> Path:
    """Write the mesh of a frame as .ply with texture coordinates of the corners, as MeshLab does.

    The textures are written beside it, unless an earlier frame has done so. A material without one gets a texture of a
    single pixel; the factor of a material with one is left out.
    """
    if moment.mesh is None or moment.appearance is None:
        raise ConfigError("moment: expected a mesh with an appearance, got none; use write_mesh")
    (points, triangles, normals), look = moment.mesh, moment.appearance
    columns = [(f"{name}{axis}", a[:, k]) for name, a in (("", points), ("n", normals)) for k, axis in enumerate("xyz")]
    if look.colors is not None:
        shades = np.rint(255.0 * display_color(look.colors)).astype(np.uint8)
        columns += [(name, shades[:, k]) for k, name in enumerate(("red", "green", "blue"))]
    fields: list[tuple[Any, ...]] = [("count", "u1"), ("corners", "<i4", 3)]
    lines, records = vertex_element(columns)
    lines += [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
    parts = [part for part in mesh_parts(triangles, look) if part.material is not None]
    if look.uvs is not None:
        fields += [("numbers", "u1"), ("uvs", "<f4", 6)]
        lines.append("property list uchar float texcoord")
    if look.uvs is not None and parts:
        fields.append(("texture", "<i4"))
        lines.append("property int texnumber")
    faces = np.zeros(len(triangles), fields)
    faces["count"], faces["corners"] = 3, triangles
    comments = origin_comment(moment.origin)
    if look.uvs is not None:
        faces["numbers"], faces["uvs"] = 6, look.uvs.reshape(-1, 6)
        for number, part in enumerate(parts):
            faces["texture"][part.rows] = number
            assert part.material is not None
            name, content, _ = texture_file(part.material, number)
            comments.append(f"comment TextureFile {name}")
            if not (path.parent / name).exists():
                write_bytes(path.parent / name, content)
    return write_bytes(path, file_bytes([*comments, *lines], records, faces.tobytes()))


def _rows(name: str, values: Array) -> list[str]:
    digits = 9 if values.dtype == np.float32 else 17
    return [" ".join([name, *(f"{a:.{digits}g}" for a in row)]) for row in values.tolist()]
