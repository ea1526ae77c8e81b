# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Meshes, built-in shapes, and particles inside them."""

from __future__ import annotations

from . import shapes
from .appearance import Appearance, MeshMaterial, Texture
from .matching import fit
from .mesh import Mesh, Solid
from .reading import EXTENSIONS, MeshLike, load_mesh
from .sampling import sample

__all__ = [
    "Appearance",
    "EXTENSIONS",
    "Mesh",
    "MeshLike",
    "MeshMaterial",
    "Solid",
    "Texture",
    "fit",
    "load_mesh",
    "sample",
    "shapes",
]
