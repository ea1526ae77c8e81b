# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles as VTK XML PolyData and time series for ParaView, VisIt and PyVista."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from ..errors import ConfigError
from .atomic import PathLike, write_bytes

_TYPES = {"f4": "Float32", "f8": "Float64", "i4": "Int32", "i8": "Int64", "u1": "UInt8"}


def write_vtp(path: PathLike, x: object, fields: Mapping[str, object] | None = None) -> Path:
    """Write particles with fields as a .vtp file, with raw little-endian appended data.

    Args:
        path: File.
        x: Positions [m], shape (N, 3).
        fields: Values per particle by name, shape (N,), (N, 3) or (N, 3, 3) in row-major order; floats, int32 or uint8.

    Raises:
        ConfigError: If a shape or dtype does not fit.
    """
    from xml.sax.saxutils import quoteattr  # imports urllib

    pos = as_array(x, "x", (None, 3))
    n, body, offset = pos.shape[0], [], 0

    def array(name: str, values: Array, components: int) -> str:
        nonlocal offset
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        body.append(struct.pack("<Q", len(content)) + content)
        width = f'NumberOfComponents="{components}" ' if components > 1 else ""
        head = f'<DataArray type="{_TYPES[values.dtype.str[1:]]}" Name={quoteattr(name)} {width}'
        element = f'{head}format="appended" offset="{offset}"/>'
        offset += len(body[-1])
        return element

    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        f'<Piece NumberOfPoints="{n}" NumberOfVerts="{n}" NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="0">',
        "<PointData>",
    ]
    for name, values in (fields or {}).items():
        column = np.asarray(values)
        if column.shape not in ((n,), (n, 3), (n, 3, 3)):
            raise ConfigError(f"{name}: expected shape ({n},), ({n}, 3) or ({n}, 3, 3), got {column.shape}")
        if column.dtype.str[1:] not in _TYPES:
            raise ConfigError(f"{name}: expected floats, int32 or uint8, got {column.dtype}")
        lines.append(array(name, column, int(np.prod(column.shape[1:]))))
    lines += ["</PointData>", "<Points>", array("Points", pos, 3), "</Points>", "<Verts>"]
    lines.append(array("connectivity", np.arange(n, dtype=np.int64), 1))
    lines.append(array("offsets", np.arange(1, n + 1, dtype=np.int64), 1))
    lines += ["</Verts>", "</Piece>", "</PolyData>", '<AppendedData encoding="raw">', "_"]
    return write_bytes(path, "\n".join(lines).encode() + b"".join(body) + b"\n</AppendedData>\n</VTKFile>\n")


def write_pvd(path: PathLike, files: Sequence[str], times: Sequence[float]) -> Path:
    """Write the index of a time series.

    Args:
        path: File ending in .pvd.
        files: File names relative to it.
        times: Time of each file.

    Raises:
        ConfigError: If the numbers of files and times differ.
    """
    from xml.sax.saxutils import quoteattr  # imports urllib

    if len(files) != len(times):
        raise ConfigError(f"times: expected one for each of the {len(files)} files, got {len(times)}")
    lines = ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="1.0" byte_order="LittleEndian">']
    lines.append("<Collection>")
    for name, time in zip(files, times, strict=True):
        lines.append(f'<DataSet timestep="{time:.9g}" part="0" file={quoteattr(name)}/>')
    return write_bytes(path, "\n".join([*lines, "</Collection>", "</VTKFile>", ""]).encode())
