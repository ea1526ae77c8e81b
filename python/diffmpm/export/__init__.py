# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Files of particles and meshes, written whole or not at all."""

from .atomic import check_folder, write_bytes, write_folder, write_json
from .mesh import write_mesh
from .npz import read_npz, write_npz
from .ply import read_ply, write_ply, write_ply_sequence

__all__ = [
    "check_folder",
    "read_npz",
    "read_ply",
    "write_bytes",
    "write_folder",
    "write_json",
    "write_mesh",
    "write_npz",
    "write_ply",
    "write_ply_sequence",
]
