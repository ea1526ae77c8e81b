# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Binary glTF files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ...errors import MeshError
from .surface import Surface


def read_glb(content: bytes, name: str) -> Surface:
    """Read a .glb file; the parts of its scene are merged, with their placement.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If it is damaged.
    """
    at = 12
    while at + 8 <= len(content):  # the reader would ask for as much memory as a part claims to need
        at += 8 + int.from_bytes(content[at : at + 4], "little")
    if at > len(content):
        raise MeshError(f"{name}: expected a complete .glb file, got one that ends early; export the mesh again")
    return read_with_trimesh(content, name, "glb")


def read_with_trimesh(content: bytes, name: str, kind: str) -> Surface:
    """Read a file of any kind with trimesh, unprocessed, from memory: it has no files beside it."""
    try:
        import trimesh
    except ImportError as error:
        raise MeshError(
            f"{name}: reading mesh files needs the package trimesh; install it with pip install trimesh"
        ) from error
    try:
        # process and maintain_order: no merging, no reordering of vertices.
        loaded: Any = trimesh.load(
            io.BytesIO(content), file_type=kind, process=False, maintain_order=True, skip_materials=True
        )
        if isinstance(loaded, trimesh.Scene):
            loaded = loaded.to_geometry() if len(loaded.geometry) > 0 else None
    except Exception as error:  # the reader raises whatever it stumbles over
        raise MeshError(
            f"{name}: expected a readable .{kind} file, got {type(error).__name__}: {error}; export the mesh again"
        ) from error
    vertices = getattr(loaded, "vertices", np.zeros((0, 3)))
    return Surface(np.asarray(vertices), np.asarray(getattr(loaded, "faces", np.zeros((0, 3), np.int64))))
