# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles as binary PLY, which Blender, MeshLab, Houdini and most viewers open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from .._files import read_file
from .._placement import Triple
from ..errors import ConfigError, MeshError
from .atomic import PathLike, write_bytes, write_together
from .lock import lock_folder
from .manifest import EVERYTHING

_TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int"}


def write_ply(path: PathLike, x: object, properties: Mapping[str, object] | None = None) -> Path:
    """Write particle positions and scalars as little-endian binary PLY.

    Args:
        path: File.
        x: Positions [m], shape (N, 3), float32 or float64; the dtype is kept.
        properties: Scalars per particle by name, shape (N,): uint8 (for colours: red, green, blue), int32 or floats.

    Raises:
        ConfigError: If a shape or dtype does not fit.
    """
    return write_bytes(path, encode_ply(x, properties))


def write_ply_sequence(folder: PathLike, frames: Sequence[object], name: str = "frame", *, force: bool = False) -> Path:
    """Write one PLY per frame, `name_0000.ply` and so on, in place of an earlier sequence in the folder.

    Args:
        folder: Folder for this sequence alone, made if needed.
        frames: Positions of each frame, shape (N, 3).
        name: First part of the file names.
        force: Replace files that DiffMPM did not write.

    Raises:
        ConfigError: If a frame has another shape.
        OutputError: If it cannot be written, or the folder holds other files.
    """
    with lock_folder(folder) as locked, write_together(locked, whole=[EVERYTHING], force=force) as stage:
        for index, x in enumerate(frames):
            stage.write(f"{name}_{index:04d}.ply", encode_ply(x))
    return locked


def read_ply(path: PathLike) -> dict[str, Array]:
    """Read particles from a file that `write_ply` wrote.

    Returns:
        "x" with shape (N, 3), and each other property with shape (N,).

    Raises:
        MeshError: If it is not such a file.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise MeshError(f"path: expected a readable file, got {str(path)!r} ({error.strerror})") from error
    columns = decode_ply(content, path)
    x = np.stack([columns.pop(axis) for axis in "xyz"], axis=1)
    return {"x": x, **columns}


def decode_ply(content: bytes, path: PathLike) -> dict[str, Array]:
    """Return the columns of the vertices in the bytes of a little-endian file without other elements."""
    head, mark, body = content.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").splitlines()
    if not mark or lines[:1] != ["ply"] or "format binary_little_endian 1.0" not in lines:
        raise MeshError(f"path: expected a binary little-endian PLY of particles, got {str(path)!r}")
    dtypes = {word: code for code, word in _TYPES.items()}
    try:
        count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
        properties = [line.split() for line in lines if line.startswith("property")]
        record = np.dtype([(name, "<" + dtypes[word]) for _, word, name in properties])
        if not {"x", "y", "z"} <= set(record.names or ()):
            raise ValueError("no positions")
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise MeshError(
            f"path: expected a PLY of particles, got {str(path)!r} with another header ({error})"
        ) from error
    if len(body) != count * record.itemsize:
        raise MeshError(f"path: expected {count} particles, got a truncated file {str(path)!r}")
    table = np.frombuffer(body, record)
    return {name: table[name].copy() for name in record.names or ()}


def encode_ply(x: object, properties: Mapping[str, object] | None = None) -> bytes:
    """Return the bytes that `write_ply` writes."""
    pos = as_array(x, "x", (None, 3))
    columns: list[tuple[str, Array]] = [(axis, pos[:, k]) for k, axis in enumerate("xyz")]
    for name, values in (properties or {}).items():
        column = np.asarray(values)
        if column.shape != (pos.shape[0],):
            raise ConfigError(f"{name}: expected shape ({pos.shape[0]},), got {column.shape}")
        if column.dtype.str[1:] not in _TYPES:
            raise ConfigError(f"{name}: expected uint8, int32, float32 or float64, got {column.dtype}")
        columns.append((name, column))
    lines, records = vertex_element(columns)
    return file_bytes(["comment DiffMPM particles", *lines], records)


def vertex_element(columns: Sequence[tuple[str, Array]]) -> tuple[list[str], bytes]:
    """Return the header lines and the records of the element "vertex" from its columns."""
    table = np.empty(len(columns[0][1]), [(name, "<" + column.dtype.str[1:]) for name, column in columns])
    for name, column in columns:
        table[name] = column
    properties = [f"property {_TYPES[column.dtype.str[1:]]} {name}" for name, column in columns]
    return [f"element vertex {len(table)}", *properties], table.tobytes()


def origin_comment(origin: Triple) -> list[str]:
    """Return the header line with the point that positions are relative to, none for zeros."""
    return ["comment origin " + " ".join(repr(c) for c in origin)] if any(origin) else []


def file_bytes(lines: Iterable[str], *records: bytes | memoryview) -> bytes:
    """Return a little-endian binary PLY file from the header lines behind "format" and the records of its elements."""
    header = ["ply", "format binary_little_endian 1.0", *lines, "end_header\n"]
    return b"".join(["\n".join(header).encode("ascii"), *records])
