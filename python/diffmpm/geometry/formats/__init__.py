# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Readers of mesh files: one module a format, one function in each, and the table of them.

A reader takes the content of the file and its name for messages, and returns a `Surface`. It opens nothing, asks for
no more memory than the content justifies, and raises `MeshError` alone; a message on a text file names the line.
"""

from __future__ import annotations

from collections.abc import Callable

from .gltf import read_gltf
from .obj import read_obj
from .off import read_off
from .ply import read_ply
from .stl import read_stl
from .surface import Surface

READERS: dict[str, Callable[[bytes, str], Surface]] = {
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
    ".off": read_off,
    ".glb": read_gltf,
    ".gltf": read_gltf,
}
"""Reader of each suffix, in lower case."""

UP: dict[str, str] = {".glb": "y", ".gltf": "y", ".stl": "z"}
"""Axis that is up by suffix: glTF defines it, .stl files come from CAD and printing. In .obj, .ply and .off files
either is common, and nothing says which."""

__all__ = ["READERS", "UP", "Surface"]
