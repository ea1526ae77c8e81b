# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A glTF 2.0 file: its container, its JSON, and the numbers that accessors stand for.

Every index, offset and count is checked before it is used, and no array is made before its size is. A file reads
nothing outside itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any

import numpy as np

from ..._arrays import Array
from ...errors import MeshError

DRACO, INSTANCES = "KHR_draco_mesh_compression", "EXT_mesh_gpu_instancing"
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_UNDERSTOOD = (DRACO, INSTANCES, *_MESHOPT, "KHR_mesh_quantization")
_LOOKS = ("KHR_materials_", "KHR_texture_", "KHR_lights_", "EXT_texture_", "EXT_lights_", "MSFT_texture_", "KHR_xmp")
"""Beginnings of the names of extensions that do not touch the shape."""
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_INDICES = (5121, 5123, 5125)
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_PACKED = 1 << 11
"""Bytes at most that one byte of compressed data stands for."""


class Document:
    """A .glb file, or a .gltf file that holds its buffers as data URIs.

    Args:
        content: The file's bytes.
        name: Its name, for messages.

    Raises:
        MeshError: If it is damaged or needs an extension that is not supported; so do all methods.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._name, self._size = name, len(content)
        binary = content[:4] == b"glTF" or name.lower().endswith(".glb")
        text, self._chunk = self._container(content) if binary else (content, None)
        try:
            self.json = json.loads(text.rstrip(b" \0").decode("utf-8-sig"), parse_constant=self._no_number)
        except (ValueError, RecursionError) as error:
            raise self.error("expected JSON", f"{error or 'nesting without end'}") from None
        if not isinstance(self.json, dict):
            raise self.error("expected a JSON object", type(self.json).__name__)
        asset = self.json.get("asset")
        version = asset.get("version", "2.0") if isinstance(asset, dict) else "2.0"
        if not str(version).startswith("2."):
            raise self.error("expected glTF 2.0 in asset.version", repr(version))
        required = self.json.get("extensionsRequired", [])
        for extension in required if isinstance(required, list) else [required]:
            if str(extension) not in _UNDERSTOOD and not str(extension).startswith(_LOOKS):
                raise self.error(
                    "expected extensions that are supported",
                    f"{extension!r} in extensionsRequired",
                    "export the mesh without it",
                )
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, tuple[bytes, int, int, int]] = {}

    # --- Accessors, views, buffers

    def accessor(self, index: object, where: str, width: int, *, whole: bool = False) -> Array:
        """Return the elements of an accessor, shape (count, width): float64, or as they are stored if `whole`."""
        n = self.index(index, "accessors", where)
        item, where = self.item("accessors", n, where), f"{where}: accessor {n}"
        count = self._whole(item.get("count"), f"{where}: count")
        component, kind = item.get("componentType"), item.get("type")
        if component not in (_INDICES if whole else tuple(_COMPONENTS)):
            raise self.error(f"{where}: expected a componentType of glTF", repr(component))
        if not isinstance(kind, str) or _WIDTHS.get(kind) != width:
            raise self.error(f"{where}: expected {width} numbers an element", f"type {kind!r}")
        dtype = np.dtype(_COMPONENTS[component])
        if "bufferView" in item:
            values = self._elements(item["bufferView"], item.get("byteOffset", 0), count, width, dtype, where)
        else:
            if count > self._size:
                raise self.error(f"{where}: expected data for its elements", f"a count of {count} and no bufferView")
            values = np.zeros((count, width), dtype)
        if "sparse" in item:
            values = self._sparse(values, self.mapping(item["sparse"], f"{where}: sparse"), f"{where}: sparse")
        if whole:
            return values
        return self.finite(dequantized(values, bool(item.get("normalized"))), where)

    def _sparse(self, values: Array, sparse: dict[str, Any], where: str) -> Array:
        """Return the elements with those replaced that a sparse accessor lists."""
        count = self._whole(sparse.get("count"), f"{where}: count")
        indices = self.mapping(sparse.get("indices"), f"{where}: indices")
        component = indices.get("componentType")
        if component not in _INDICES:
            raise self.error(f"{where}: expected unsigned indices", f"componentType {component!r}")
        dtype = np.dtype(_COMPONENTS[component])
        at = self._elements(indices.get("bufferView"), indices.get("byteOffset", 0), count, 1, dtype, where)[:, 0]
        if at.size and at.max() >= len(values):
            raise self.error(f"{where}: expected indices below {len(values)}", str(int(at.max())))
        new = self.mapping(sparse.get("values"), f"{where}: values")
        changed = np.array(values)
        changed[at] = self._elements(
            new.get("bufferView"), new.get("byteOffset", 0), count, values.shape[1], values.dtype, where
        )
        return changed

    def _elements(self, view: object, offset: object, count: int, width: int, dtype: Any, where: str) -> Array:
        """Return elements of a buffer view as they are stored, shape (count, width)."""
        data, start, length, stride = self.view(view, where)
        first = self._whole(offset, f"{where}: byteOffset")
        size = width * dtype.itemsize
        stride = stride or size
        if stride < size:
            raise self.error(f"{where}: expected a byteStride of {size} or more", str(stride))
        end = first + stride * (count - 1) + size if count else first
        if end > length:
            raise self.error(f"{where}: expected data within its bufferView of {length} bytes", f"{end} bytes")
        if count == 0:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, start + first, (stride, dtype.itemsize))

    def view(self, index: object, where: str) -> tuple[bytes, int, int, int]:
        """Return the bytes that a buffer view is in, its start and length there, and its stride, 0 if it has none."""
        n = self.index(index, "bufferViews", f"{where}: bufferView")
        if n in self._views:
            return self._views[n]
        item, where = self.item("bufferViews", n, where), f"bufferView {n}"
        stride = self._whole(item.get("byteStride", 0), f"{where}: byteStride")
        for name in _MESHOPT:
            packed = self.extension(item, name, where)
            if packed is not None and (unpacked := self._meshopt(packed, item, f"{where}: {name}")) is not None:
                self._views[n] = (unpacked, 0, len(unpacked), stride)
                return self._views[n]
        data, start, length = self._range(item, where)
        self._views[n] = (data, start, length, stride)
        return self._views[n]

    def _range(self, item: dict[str, Any], where: str) -> tuple[bytes, int, int]:
        """Return the buffer, start and length that `item` names."""
        data = self._buffer(self.index(item.get("buffer"), "buffers", f"{where}: buffer"))
        start = self._whole(item.get("byteOffset", 0), f"{where}: byteOffset")
        length = self._whole(item.get("byteLength"), f"{where}: byteLength")
        if start + length > len(data):
            raise self.error(
                f"{where}: expected bytes within its buffer of {len(data)}", f"{start} to {start + length}"
            )
        return data, start, length

    def _meshopt(self, packed: dict[str, Any], item: dict[str, Any], where: str) -> bytes | None:
        """Decode a buffer view; None if it cannot be decoded here and has its data uncompressed as well."""
        try:
            import meshopt
        except ImportError:
            buffer = self.item("buffers", item.get("buffer"), where)
            if "uri" in buffer or (item.get("buffer") == 0 and self._chunk is not None):
                return None
            raise self.missing(f"{where} (compressed by gltfpack)", "meshopt", " (Python 3.12 or newer)") from None
        data, start, length = self._range(packed, where)
        count = self._whole(packed.get("count"), f"{where}: count")
        stride = self._whole(packed.get("byteStride"), f"{where}: byteStride")
        if count * stride > _PACKED * length:
            raise self.error(f"{where}: expected at most {_PACKED * length} bytes decoded", str(count * stride))
        try:
            decoded = meshopt.decode_gltf_buffer(
                data[start : start + length], count, stride, packed.get("mode"), packed.get("filter", "NONE")
            )
        except Exception as error:  # whatever the decoder stumbles over
            raise self.error(f"{where}: expected valid data", f"{type(error).__name__}: {error}") from None
        return np.ascontiguousarray(decoded).tobytes()

    def _buffer(self, n: int) -> bytes:
        """Return a buffer: the binary chunk, or that of a data URI."""
        if n in self._buffers:
            return self._buffers[n]
        item, where = self.item("buffers", n, ""), f"buffer {n}"
        length = self._whole(item.get("byteLength"), f"{where}: byteLength")
        uri = item.get("uri")
        if uri is None:
            if n != 0 or self._chunk is None:
                raise self.error(f"{where}: expected data in the file", "none")
            data = self._chunk
        elif isinstance(uri, str) and uri.startswith("data:"):
            head, comma, body = uri.partition(",")
            try:
                data = base64.b64decode(body, validate=True) if head.endswith(";base64") and comma else b""
            except (binascii.Error, ValueError) as error:
                raise self.error(f"{where}: expected base64 behind data:", str(error)) from None
        else:
            raise self.error(
                f"{where}: expected all data in this file, which reads no other",
                f"the uri {str(uri)[:100]!r}",
                "export one .glb file with everything in it",
            )
        if len(data) < length:
            raise self.error(f"{where}: expected {length} bytes", f"{len(data)} in a file that ends early")
        self._buffers[n] = data
        return data

    def _container(self, content: bytes) -> tuple[bytes, bytes | None]:
        """Return the JSON chunk and the binary chunk of a .glb file."""
        if content[:4] != b"glTF":
            raise self.error(
                "expected a readable .glb file", f"one that begins with {content[:4]!r} and not with b'glTF'"
            )
        if len(content) < 20:
            raise self.error("expected a complete .glb file", "one that ends early")
        version, length = struct.unpack_from("<II", content, 4)
        if version != 2:
            raise self.error("expected glTF 2.0", f"version {version}")
        if length > len(content):
            raise self.error(
                "expected a complete .glb file", f"one that ends early, after {len(content)} of {length} bytes"
            )
        chunks: list[tuple[bytes, bytes]] = []
        at = 12
        while at + 8 <= length:
            size, kind = struct.unpack_from("<I4s", content, at)
            if at + 8 + size > length:
                raise self.error("expected a complete .glb file", "one that ends early")
            chunks.append((kind, content[at + 8 : at + 8 + size]))
            at += 8 + size
        if not chunks or chunks[0][0] != b"JSON":
            raise self.error("expected a JSON chunk first", f"{chunks[0][0]!r}" if chunks else "no chunk")
        return chunks[0][1], next((data for kind, data in chunks[1:2] if kind == b"BIN\0"), None)

    # --- Checks

    def items(self, key: str) -> list[Any]:
        """Return the list at a key of the JSON, empty without it."""
        return self.array(self.json.get(key, []), key)

    def item(self, key: str, index: object, where: str) -> dict[str, Any]:
        """Return an entry of such a list."""
        n = self.index(index, key, where)
        return self.mapping(self.items(key)[n], f"{key} {n}")

    def index(self, value: object, key: str, where: str) -> int:
        """Return a value that is an index into such a list."""
        count = len(self.items(key))
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
            raise self.error(f"{where}: expected an index below {count} into {key}", repr(value)[:60])
        return value

    def array(self, value: object, where: str) -> list[Any]:
        """Return a value that is a list."""
        if not isinstance(value, list):
            raise self.error(f"{where}: expected a list", type(value).__name__)
        return value

    def mapping(self, value: object, where: str) -> dict[str, Any]:
        """Return a value that is an object."""
        if not isinstance(value, dict):
            raise self.error(f"{where}: expected an object", type(value).__name__)
        return value

    def extension(self, item: dict[str, Any], name: str, where: str) -> dict[str, Any] | None:
        """Return an extension of an entry, None without it."""
        extensions = self.mapping(item.get("extensions", {}), f"{where}: extensions")
        return self.mapping(extensions[name], f"{where}: {name}") if name in extensions else None

    def _whole(self, value: object, where: str) -> int:
        if isinstance(value, float) and value.is_integer():  # as some writers have it
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 48:
            raise self.error(f"{where}: expected a whole number of 0 or more", repr(value)[:60])
        return value

    def numbers(self, value: object, count: int | None, where: str) -> Array:
        """Return a list of finite numbers, of so many if `count` says so, as float64."""
        try:
            if any(isinstance(v, str | bool) for v in value):  # type: ignore[attr-defined]
                raise TypeError
            numbers = np.array(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            numbers = np.zeros((0, 0))
        if numbers.ndim != 1 or (count is not None and len(numbers) != count):
            raise self.error(f"{where}: expected {count or 'a list of'} numbers", repr(value)[:60])
        return self.finite(numbers, where)

    def finite(self, values: Array, where: str) -> Array:
        """Return values that are all finite."""
        bad = ~np.isfinite(values)
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            raise self.error(f"{where}: expected finite numbers", f"{values[at]:g} in element {at[0]}")
        return values

    def _no_number(self, text: str) -> None:
        raise ValueError(f"expected a number of JSON, got {text}")

    def missing(self, what: str, package: str, note: str = "") -> MeshError:
        """Return the error for data whose decoder is not installed."""
        return self.error(
            f"{what}: expected the package {package} to decode it",
            "an installation without it",
            f"pip install 'diffmpm[gltf]'{note}, or export the mesh without compression",
        )

    def error(self, expected: str, got: str, remedy: str = "export the mesh again") -> MeshError:
        """Return an error that names the file."""
        return MeshError(f"{self._name}: {expected}, got {got}; {remedy}")


def dequantized(values: Array, normalized: bool) -> Array:
    """Return numbers as float64; normalized integers stand for 0 to 1, or -1 to 1."""
    result = values.astype(np.float64)
    if normalized and values.dtype.kind in "iu":
        result = np.maximum(result / np.iinfo(values.dtype).max, -1.0)
    return result
