# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Binary glTF 2.0 with one mesh."""

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
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class GltfBuffer:
    """Binary chunk of a file, with its views and accessors."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def view(self, content: bytes, **properties: Any) -> int:
        """Add bytes, padded to four, and return the index of their view."""
        self.views.append({"buffer": 0, "byteOffset": self._size, "byteLength": len(content), **properties})
        padded = content + b"\0" * (-len(content) % 4)
        self._parts.append(padded)
        self._size += len(padded)
        return len(self.views) - 1

    def floats(self, values: Array, *, bounds: bool = False, vertices: bool = True) -> int:
        """Add rows of floats, shape (N, 1) to (N, 4), and return the index of their accessor."""
        stored = np.ascontiguousarray(values, "<f4")
        accessor: dict[str, Any] = {"componentType": _FLOAT, "count": len(stored), "type": _TYPES[stored.shape[1]]}
        if bounds:
            accessor.update(min=stored.min(axis=0).tolist(), max=stored.max(axis=0).tolist())
        return self._add(accessor, stored.tobytes(), **({"target": _ARRAY_BUFFER} if vertices else {}))

    def indices(self, values: Array) -> int:
        """Add vertex indices and return the index of their accessor."""
        accessor = {"componentType": _UNSIGNED, "count": values.size, "type": "SCALAR"}
        return self._add(accessor, np.ascontiguousarray(values, "<u4").tobytes(), target=_INDEX_BUFFER)

    def vertices(self, columns: dict[str, Array]) -> dict[str, int]:
        """Add vertex attributes by name, and return their accessors by name."""
        return {name: self.floats(values, bounds=name == "POSITION") for name, values in columns.items()}

    def document(self, mesh: dict[str, Any], origin: Triple, **more: Any) -> tuple[dict[str, Any], bytes]:
        """Return the JSON document of a mesh, with the origin as node translation, and the binary chunk."""
        document = {
            "asset": {"version": "2.0", "generator": "DiffMPM"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, **({"translation": list(origin)} if any(origin) else {})}],
            "meshes": [mesh],
            **more,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self._size}],
        }
        return document, b"".join(self._parts)

    def _add(self, accessor: dict[str, Any], content: bytes, **view: Any) -> int:
        self.accessors.append({"bufferView": self.view(content, **view), **accessor})
        return len(self.accessors) - 1


def container(document: dict[str, Any], binary: bytes) -> bytes:
    """Return the bytes of a .glb file: header, JSON chunk and binary chunk, each padded to four bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
