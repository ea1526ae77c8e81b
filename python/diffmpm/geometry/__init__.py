# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Meshes, built-in shapes, and particles inside them."""

from __future__ import annotations

from . import shapes
from .matching import fit
from .mesh import Mesh, Solid
from .reading import EXTENSIONS, MeshLike, load_mesh
from .sampling import sample

__all__ = ["EXTENSIONS", "Mesh", "MeshLike", "Solid", "fit", "load_mesh", "sample", "shapes"]
