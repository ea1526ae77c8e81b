# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Binary glTF 2.0 with one primitive."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from .._arrays import Array
from .._placement import Triple

POINTS, TRIANGLES = 0, 4
"""Primitive modes."""
_FLOAT, _UNSIGNED, _ARRAY_BUFFER, _INDEX_BUFFER = 5126, 5125, 34962, 34963
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def pack(
    columns: dict[str, Array], mode: int, *, indices: Array | None = None, origin: Triple = (0.0, 0.0, 0.0)
) -> tuple[dict[str, Any], bytes]:
    """Return the JSON document and the binary chunk of one primitive, with the origin as node translation.

    Columns are vertex attributes by name, shape (N, 1), (N, 3) or (N, 4), POSITION first.
    """
    binary = b""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def add(content: bytes, target: int, **accessor: Any) -> int:
        nonlocal binary
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(content), "target": target})
        accessors.append({"bufferView": len(accessors), **accessor})
        binary += content
        return len(accessors) - 1

    attributes = {}
    for name, values in columns.items():
        stored = np.ascontiguousarray(values, "<f4")
        accessor = {"componentType": _FLOAT, "count": len(stored), "type": _TYPES[stored.shape[1]]}
        if name == "POSITION":
            accessor.update(min=stored.min(axis=0).tolist(), max=stored.max(axis=0).tolist())
        attributes[name] = add(stored.tobytes(), _ARRAY_BUFFER, **accessor)
    primitive: dict[str, Any] = {"attributes": attributes, "mode": mode}
    if indices is not None:
        accessor = {"componentType": _UNSIGNED, "count": indices.size, "type": "SCALAR"}
        primitive["indices"] = add(np.ascontiguousarray(indices, "<u4").tobytes(), _INDEX_BUFFER, **accessor)
    document = {
        "asset": {"version": "2.0", "generator": "DiffMPM"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **({"translation": list(origin)} if any(origin) else {})}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return document, binary


def container(document: dict[str, Any], binary: bytes) -> bytes:
    """Return the bytes of a .glb file: header, JSON chunk and binary chunk, each padded to four bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
