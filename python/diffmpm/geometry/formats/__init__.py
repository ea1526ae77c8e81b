# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mesh file readers: one module with one function per format.

A reader takes the file content, the file name for messages and the files that it may refer to, and returns a
`Surface`. It opens no other file, limits its memory use by the size of the content, and raises only `MeshError`; for
text files, the message gives the line.
"""

from __future__ import annotations

from collections.abc import Callable

from .._surfaces import Surface
from .companions import Companions
from .gltf import read_gltf
from .obj import read_obj
from .off import read_off
from .ply import read_ply
from .stl import read_stl

READERS: dict[str, Callable[[bytes, str, Companions], Surface]] = {
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": lambda content, name, _: read_stl(content, name),
    ".off": lambda content, name, _: read_off(content, name),
    ".glb": read_gltf,
    ".gltf": read_gltf,
}
"""Reader by lower-case suffix."""

UP: dict[str, str] = {".glb": "y", ".gltf": "y", ".stl": "z"}
"""Up axis by suffix: defined by glTF, and the convention of CAD and printing for .stl. Other formats have none."""

__all__ = ["READERS", "UP", "Companions"]
