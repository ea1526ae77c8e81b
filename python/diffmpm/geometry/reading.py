# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Load meshes from files, arrays and names."""

from __future__ import annotations

import difflib
import os
import warnings
from pathlib import Path
from typing import Any, TypeAlias

from .._files import read_file
from ..errors import ConfigError, MeshError, MeshWarning
from . import shapes
from ._surfaces import Surface
from .formats import READERS, UP, Companions
from .mesh import Mesh, checked_mesh

EXTENSIONS: tuple[str, ...] = tuple(READERS)
"""Suffixes of the formats that `load_mesh` reads."""

MeshLike: TypeAlias = "Mesh | str | os.PathLike[str] | tuple[Any, Any]"
"""A mesh, a mesh file path, the name of a built-in shape, or arrays (vertices, triangles)."""


def load_mesh(source: MeshLike, *, name: str | None = None) -> Mesh:
    """Load a mesh from a file, from arrays, or by the name of a built-in shape.

    Vertex colours, base-colour textures and texture coordinates of .obj, .ply and glTF files are in `Mesh.appearance`.
    Textures are read from the folder of the mesh or below it only; a missing one causes a `MeshWarning`.

    Polygons are triangulated, and the parts of a scene are transformed and merged. Vertices keep their positions and
    order. A mesh that is open, non-manifold, inconsistently wound or inside out causes one `MeshWarning`. Each
    connected part is wound consistently, and closed parts outward; a nested part keeps its orientation, since it may
    bound a cavity.

    Args:
        source: Path of a .obj, .ply, .stl, .off, .glb or .gltf file, one of `shapes.names()`, a pair of arrays
            (vertices (V, 3), triangles (T, 3)), which are copied, or a `Mesh`, which is returned unchanged.
        name: Mesh name for messages; by default that of the file or shape.

    Raises:
        MeshError: If the file is missing, damaged or of an unknown format, or the mesh is invalid.
        ConfigError: If `source` has another type, or an array has the wrong shape or dtype.
    """
    if isinstance(source, Mesh):
        return source
    if isinstance(source, tuple | list):
        if len(source) != 2:
            raise ConfigError(f"mesh: expected a pair (vertices, triangles), got {len(source)} items")
        return checked_mesh(source[0], source[1], name or "mesh")
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"mesh: expected a path, the name of a shape, a pair (vertices, triangles) or a Mesh, "
            f"got {type(source).__name__}"
        )
    if isinstance(source, str) and source in shapes.names():
        return shapes.make(source)
    path = Path(source)
    surface = _read(path)
    up = UP.get(path.suffix.lower())
    return checked_mesh(surface.vertices, surface.triangles, name or path.name, up, surface.appearance)


def _names(folder: Path) -> list[str]:
    """Return the names of the mesh files in a folder, none if it cannot be read."""
    try:
        return sorted(name for name in os.listdir(folder) if Path(name).suffix.lower() in READERS)
    except OSError:
        return []


def _read(path: Path) -> Surface:
    """Read a file with the reader for its suffix."""
    suffix = path.suffix.lower()
    reader = READERS.get(suffix)
    if reader is None:
        suffixes = " ".join(EXTENSIONS)
        if not suffix and not os.path.exists(path):
            near = difflib.get_close_matches(str(path), shapes.names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"the shapes are {', '.join(shapes.names())}"
            raise MeshError(f"mesh: expected a built-in shape or a mesh file ({suffixes}), got {str(path)!r}; {hint}")
        if path.is_dir():
            raise MeshError(
                f"mesh: expected a built-in shape or a mesh file ({suffixes}), got the folder {str(path)!r}"
            )
        raise MeshError(
            f"mesh: expected a file with suffix {suffixes}, got {str(path)!r}; convert it to one of these formats"
        )
    try:
        content = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        near = difflib.get_close_matches(path.name, _names(path.parent), n=1)
        hint = f"did you mean {str(path.parent / near[0])!r}?" if near else "check the path"
        raise MeshError(f"mesh: expected an existing file, got {str(path)!r}; {hint}") from None
    except (OSError, ValueError) as error:  # no permission, a pipe, a name that is too long or contains NUL
        reason = getattr(error, "strerror", None) or error
        raise MeshError(f"mesh: expected a readable file, got {str(path)!r} ({reason}); check the path") from None
    if not content:
        raise MeshError(f"{path.name}: expected a mesh, got an empty file")
    companions = Companions(path.parent, path.name)
    surface = reader(content, path.name, companions)
    if companions.missing:
        count = len(companions.missing)
        more = "" if count == 1 else f" (and {count - 1} more)"
        warnings.warn(
            f"{path.name}: expected its materials and textures beside it, but {companions.missing[0]}{more}; these "
            "parts are read without a texture",
            MeshWarning,
            stacklevel=3,
        )
    return surface
