# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Files of particles, meshes and Gaussians.

Writers are atomic and return the path. If a file cannot be written they raise an `OutputError`, and existing files stay
as they are.
"""

from .alembic import write_alembic
from .animated_glb import write_animated_glb
from .atomic import Stage, check_folder, encode_json, write_bytes, write_file, write_json, write_together
from .formats import FORMATS, Format, export_moments, format_of
from .gaussians import write_gaussian_glb, write_gaussian_ply, write_splat
from .html import write_html
from .lock import is_locked, lock_folder
from .manifest import Entry, Manifest, own_manifest, read_manifest, refuse_foreign
from .mesh import write_mesh
from .moment import Moment
from .npz import decode_npz, encode_npz, read_npz, write_npz
from .pc2 import write_pc2
from .ply import encode_ply, read_ply, write_ply, write_ply_sequence
from .splats import Splats, decompose
from .usd import write_usd
from .usd_mesh import write_usd_mesh
from .vtk import write_pvd, write_vtp

__all__ = [
    "FORMATS",
    "Entry",
    "Format",
    "Manifest",
    "Moment",
    "Splats",
    "Stage",
    "check_folder",
    "decode_npz",
    "decompose",
    "encode_json",
    "encode_npz",
    "encode_ply",
    "export_moments",
    "format_of",
    "is_locked",
    "lock_folder",
    "own_manifest",
    "read_manifest",
    "read_npz",
    "read_ply",
    "refuse_foreign",
    "write_alembic",
    "write_animated_glb",
    "write_bytes",
    "write_file",
    "write_gaussian_glb",
    "write_gaussian_ply",
    "write_html",
    "write_json",
    "write_mesh",
    "write_npz",
    "write_pc2",
    "write_ply",
    "write_ply_sequence",
    "write_pvd",
    "write_splat",
    "write_together",
    "write_usd",
    "write_usd_mesh",
    "write_vtp",
]
