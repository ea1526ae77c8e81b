# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The vertices of a mesh over time as a PC2 point cache."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .atomic import PathLike, write_bytes
from .moment import MeshFrames, Moment


def write_pc2(path: PathLike, moments: Iterable[Moment]) -> Path:
    """Write the vertex positions of some frames for a modifier that moves the vertices of an existing mesh.

    The file has no triangles: the mesh that it is applied to has the vertices of the file of the source or target, in
    their order. Positions are float32, so those far from the origin are rounded.

    Args:
        path: File.
        moments: Frames whose meshes have the same triangles.

    Raises:
        ConfigError: If there is no frame, or a mesh is missing or differs.
        OutputError: If the file cannot be written.

    References:
        Blender manual, Mesh Cache modifier; Autodesk 3ds Max, Point Cache modifier.
    """
    frames = MeshFrames.collect(moments)
    count, vertices = len(frames.positions), len(frames.positions[0])
    header = struct.pack("<12siiffi", b"POINTCACHE2\0", 1, vertices, 0.0, 1.0, count)  # version, start, frames per row
    rows = np.stack(frames.positions) + np.asarray(frames.origin)
    return write_bytes(path, header + rows.astype("<f4").tobytes())
