# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Readers of mesh files: one module a format, one function in each, and the table of them.

A reader takes the content of the file and its name for messages, and returns a `Surface`. It opens nothing, asks for
no more memory than the content justifies, and raises `MeshError` alone; a message on a text file names the line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .glb import read_glb, read_with_trimesh
from .surface import Surface

READERS: dict[str, Callable[[bytes, str], Surface]] = {
    **{f".{kind}": partial(read_with_trimesh, kind=kind) for kind in ("obj", "ply", "stl", "off")},
    ".glb": read_glb,
}
"""Reader of each suffix, in lower case."""

__all__ = ["READERS", "Surface"]
