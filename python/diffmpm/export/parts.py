# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Parts of a textured mesh by material, with the vertices split at seams, and texture files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import Array
from .._color import display_color, to_bytes

if TYPE_CHECKING:
    from ..geometry import Appearance, MeshMaterial

ROUGHNESS = 0.8
"""Roughness of materials: files of meshes rarely have one, and glossy is not the default look of any program."""
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}


@dataclass(frozen=True, eq=False)
class MeshPart:
    """Triangles of one material."""

    rows: Array
    """Triangles of the mesh, shape (P,)."""
    owners: Array
    """Vertex of the mesh of each vertex of the part, shape (S,)."""
    triangles: Array
    """Indices of vertices of the part, shape (P, 3)."""
    uvs: Array | None
    """Texture coordinates, shape (S, 2); (0, 0) is the lower left corner of the image."""
    material: MeshMaterial | None
    """Material, if the mesh has any."""


def mesh_parts(triangles: Array, look: Appearance | None) -> Iterator[MeshPart]:
    """Yield the parts of a mesh that have triangles. A vertex with several texture coordinates is split."""
    materials = () if look is None else look.materials
    owner = np.zeros(len(triangles), np.int32) if look is None or look.material is None else look.material
    for number in range(max(len(materials), 1)):
        rows = np.flatnonzero(owner == number)
        if not len(rows):
            continue
        corners, uvs = triangles[rows].reshape(-1), None
        if look is not None and look.uvs is not None:
            uvs = look.uvs[rows].reshape(-1, 2)
            keys = np.column_stack([corners.astype(np.float64), uvs])
            _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            owners, uvs = corners[first], uvs[first]
        else:
            owners, index = np.unique(corners, return_inverse=True)
        yield MeshPart(rows, owners, index.reshape(-1, 3), uvs, materials[number] if materials else None)


def texture_file(material: MeshMaterial, number: int) -> tuple[str, bytes, str]:
    """Return name, content and media type of the texture of a material; one pixel of its colour if it has none.

    The content is that of the file that was read, or PNG.
    """
    texture = material.texture
    content, mime = (b"", "") if texture is None else (texture.content, texture.mime)
    if not content or mime not in _SUFFIXES:
        from PIL import Image

        pixel = to_bytes(display_color(np.array(material.color))).reshape(1, 1, 3)
        stream, mime = io.BytesIO(), "image/png"
        Image.fromarray(pixel if texture is None else texture.pixels).save(stream, "PNG")
        content = stream.getvalue()
    name = material.name if texture is None else texture.name.rpartition(".")[0] or texture.name
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name) or "texture"
    return f"{stem}_{number}{_SUFFIXES[mime]}", content, mime


def plain_name(name: str, number: int) -> str:
    """Return a name of letters, digits and underscores for a material."""
    return f"{re.sub(r'[^A-Za-z0-9_]+', '_', name) or 'material'}_{number}"
