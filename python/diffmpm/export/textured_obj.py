# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Textured meshes as OBJ, with one material library for all frames of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array
from .._color import display_color
from ..errors import ConfigError
from .atomic import write_bytes
from .moment import Moment
from .parts import mesh_parts, plain_name, texture_file

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
                name, content, _ = texture_file(part.material.texture, number)
                write_bytes(path.parent / name, content)
                library += [f"map_Kd {name}"]
        write_bytes(path.parent / LIBRARY, ("\n".join(library) + "\n").encode("ascii"))
    return write_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))


def _rows(name: str, values: Array) -> list[str]:
    digits = 9 if values.dtype == np.float32 else 17
    return [" ".join([name, *(f"{a:.{digits}g}" for a in row)]) for row in values.tolist()]
