# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A writer of valid and invalid glTF files for tests of the reader."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

LOW, SIZE = np.array([10.0, 20.0, 30.0]), np.array([2.0, 3.0, 4.0])
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
"""Corners of the unit cube; corner k has the bits of k as coordinates."""
FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
"""Corners of its faces, counter-clockwise from outside."""
TRIANGLES = np.array([t for a, b, c, d in FACES for t in ((a, b, c), (a, c, d))])
POINTS = LOW + SIZE * CORNERS
"""Corners of a box of volume 24."""
CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126, "f8": 5130}


class Gltf:
    """A glTF document under construction."""

    def __init__(self) -> None:
        self.binary = b""
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "meshes": []}

    def view(self, content: bytes, **more: Any) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more}
        self.json["bufferViews"].append(view)
        self.binary += content
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: Any, dtype: str = "f4", stride: int = 0, offset: int = 0, **more: Any) -> int:
        rows = np.asarray(values, dtype="<" + dtype)
        rows = rows[:, None] if rows.ndim == 1 else rows.reshape(len(rows), -1)
        element_type = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[rows.shape[1]]
        content = b"".join(row.tobytes().ljust(stride, b"\xaa") for row in rows)
        view = self.view(b"\xaa" * offset + content, **({"byteStride": stride} if stride else {}))
        item = {"bufferView": view, "componentType": CODES[dtype], "count": len(rows), "type": element_type, **more}
        self.json["accessors"].append({**item, **({"byteOffset": offset} if offset else {})})
        return len(self.json["accessors"]) - 1

    def primitive(
        self, points: Any = POINTS, indices: Any = TRIANGLES, *, width: str = "u2", **more: Any
    ) -> dict[str, Any]:
        primitive: dict[str, Any] = {"attributes": {"POSITION": self.accessor(points)}}
        if indices is not None:
            primitive["indices"] = self.accessor(np.ravel(indices), width)
        return {**primitive, **more}

    def mesh(self, *primitives: dict[str, Any], **more: Any) -> int:
        self.json["meshes"].append({"primitives": list(primitives or (self.primitive(),)), **more})
        return len(self.json["meshes"]) - 1

    def nodes(self, *nodes: dict[str, Any], roots: tuple[int, ...] | None = None) -> Gltf:
        self.json["nodes"] = list(nodes)
        self.json["scenes"] = [{"nodes": list(range(len(nodes)) if roots is None else roots)}]
        self.json["scene"] = 0
        return self

    def uses(self, *extensions: str) -> Gltf:
        self.json["extensionsUsed"] = self.json["extensionsRequired"] = list(extensions)
        return self

    def glb(self, path: Path) -> Path:
        self.json.setdefault("buffers", [{"byteLength": len(self.binary)}])
        path.write_bytes(container(json.dumps(self.json).encode(), self.binary))
        return path

    def gltf(self, path: Path) -> Path:
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.binary).decode()
        self.json["buffers"] = [{"byteLength": len(self.binary), "uri": uri}]
        path.write_text(json.dumps(self.json))
        return path


def container(text: bytes, binary: bytes | None, *, version: int = 2, length: int | None = None) -> bytes:
    """Return the bytes of a .glb file."""
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary is not None:
        binary += b"\0" * (-len(binary) % 4)
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks) if length is None else length) + chunks
