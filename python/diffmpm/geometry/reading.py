# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Meshes from files, arrays and names."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._arrays import Array
from ..errors import ConfigError, MeshError
from . import shapes
from .mesh import Mesh, checked_mesh

EXTENSIONS: tuple[str, ...] = (".obj", ".ply", ".stl", ".off", ".glb")
"""File formats that `load_mesh` reads."""

MeshLike: TypeAlias = "Mesh | str | os.PathLike[str] | tuple[Any, Any]"
"""A mesh, the path of a mesh file, the name of a built-in shape, or arrays (vertices, triangles)."""


def load_mesh(source: MeshLike, *, name: str | None = None) -> Mesh:
    """Load a mesh from a file, from arrays, or by the name of a built-in shape.

    Polygons are cut into triangles and the parts of a scene are merged, with their placement. Vertex positions
    and their order stay as they came. A mesh that is open, non-manifold or inside out works and brings one
    `MeshWarning`; one that is inside out is turned over.

    Args:
        source: Path of a .obj, .ply, .stl, .off or .glb file, a name out of `shapes.names()`, a pair of arrays
            (vertices (V, 3), triangles (T, 3)), which are copied, or a `Mesh`, which is returned as it is.
        name: Name of the mesh for messages; by default that of the file or shape.

    Raises:
        MeshError: If the file is missing, of an unknown kind or damaged, or the mesh is not usable.
        ConfigError: If `source` is something else, or an array has the wrong shape or dtype.
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
    _check_path(path)
    vertices, triangles = _read(path)
    return checked_mesh(vertices, triangles, name or path.name)


def _check_path(path: Path) -> None:
    kinds = " ".join(EXTENSIONS)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise MeshError(f"mesh: expected a readable file, got {str(path)!r} ({reason}); check the path") from None
    if path.suffix.lower() not in EXTENSIONS:
        if not path.suffix and found is None:
            raise MeshError(
                f"mesh: expected a built-in shape or a mesh file ({kinds}), got {str(path)!r}; "
                f"the shapes are {', '.join(shapes.names())}"
            )
        raise MeshError(f"mesh: expected a file of kind {kinds}, got {str(path)!r}; convert it to one of these")
    if found is None:
        raise MeshError(f"mesh: expected an existing file, got {str(path)!r}; check the path")
    if path.is_dir():
        raise MeshError(f"mesh: expected a file, got the folder {str(path)!r}")
    if found.st_size == 0:
        raise MeshError(f"{path.name}: expected a mesh, got an empty file")


def _read_plain_obj(path: Path) -> tuple[Array, Array] | None:
    """Read an .obj file of one object with triangles and no texture; None if it is another one, or damaged.

    The result is that of trimesh, whose import takes longer than all of a small morph.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return None
    vertices = [line[2:] for line in lines if line.startswith(b"v ")]
    faces = [line[2:] for line in lines if line.startswith(b"f ")]
    others = [line for line in lines if line and not line.startswith((b"v ", b"f ", b"vn ", b"s ", b"#"))]
    names = [line.split()[0] for line in others if line.split()]
    if len(names) != len(set(names)) or not set(names) <= {b"o", b"mtllib", b"usemtl"}:
        return None
    try:
        points = _numbers(vertices, np.float64)
        triangles = _numbers(faces, np.int64) - 1
    except ValueError:
        return None
    whole = triangles.size > 0 and triangles.min() >= 0 and triangles.max() < len(points)
    return (points, triangles) if whole else None


def _numbers(rows: list[bytes], dtype: npt.DTypeLike) -> Array:
    """Return three numbers a row; those of normals behind // are left out.

    Raises:
        ValueError: If there are fewer or more, or something else.
    """
    text = b" ".join(rows)
    if b"/" in text:
        text = re.sub(rb"//[0-9]+", b"", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of text that is none: there are fewer numbers then
        return np.fromstring(text.decode("ascii"), dtype=dtype, sep=" ").reshape(len(rows), 3)


def _check_glb(path: Path) -> None:
    """Refuse a binary glTF file whose parts are longer than it is: its reader would ask for as much memory."""
    size, at = path.stat().st_size, 12
    with path.open("rb") as stream:
        while at + 8 <= size:
            stream.seek(at)
            at += 8 + int.from_bytes(stream.read(4), "little")
    if at > size:
        raise MeshError(f"{path.name}: expected a complete .glb file, got one that ends early; export the mesh again")


def _read(path: Path) -> tuple[Any, Any]:
    """Read the vertices and triangles of a file: plain .obj files here, all others with trimesh, unprocessed."""
    plain = _read_plain_obj(path) if path.suffix.lower() == ".obj" else None
    if plain is not None:
        return plain
    try:
        import trimesh
    except ImportError as error:
        raise MeshError(
            f"{path.name}: reading mesh files needs the package trimesh; install it with pip install trimesh"
        ) from error
    if path.suffix.lower() == ".glb":
        _check_glb(path)
    try:
        # process and maintain_order: no merging, no reordering of vertices.
        loaded: Any = trimesh.load(str(path), process=False, maintain_order=True, skip_materials=True)
        if isinstance(loaded, trimesh.Scene):
            loaded = loaded.to_geometry() if len(loaded.geometry) > 0 else None
    except Exception as error:  # the readers of trimesh raise whatever they stumble over
        raise MeshError(
            f"{path.name}: expected a readable {path.suffix.lower()} file, got {type(error).__name__}: {error}; "
            "export the mesh again"
        ) from error
    return getattr(loaded, "vertices", np.zeros((0, 3))), getattr(loaded, "faces", np.zeros((0, 3), np.int64))
