# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What a mesh file holds."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays import Array


@dataclass(frozen=True, eq=False)
class Surface:
    """Vertices and triangles of a file, in its order and its own coordinates; `checked_mesh` makes a solid of them."""

    vertices: Array
    """Vertex positions, shape (V, 3), float64."""
    triangles: Array
    """Vertex indices, shape (T, 3), integers; each is checked, or named, by the reader."""
