# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""glTF 2.0 documents: container, JSON and accessors.

Every index, offset and count is checked before use, and every array size before allocation. No other file is opened.
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
_SUPPORTED = (DRACO, INSTANCES, *_MESHOPT, "KHR_mesh_quantization")
_APPEARANCE = (
    "KHR_materials_",
    "KHR_texture_",
    "KHR_lights_",
    "EXT_texture_",
    "EXT_lights_",
    "MSFT_texture_",
    "KHR_xmp",
)
"""Prefixes of extensions that do not affect the shape."""
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_INDICES = (5121, 5123, 5125)
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_PACKED = 1 << 11
"""Maximum compression ratio."""


class Document:
    """A .glb file, or a .gltf file with data URIs. All methods raise `MeshError` for an invalid file."""

    def __init__(self, content: bytes, name: str) -> None:
        self._name, self._size = name, len(content)
        binary = content[:4] == b"glTF" or name.lower().endswith(".glb")
        text, self._chunk = self._container(content) if binary else (content, None)
        try:
            self.json = json.loads(text.rstrip(b" \0").decode("utf-8-sig"), parse_constant=self._no_number)
        except (ValueError, RecursionError) as error:
            raise self.error("expected JSON", f"{error or 'unbounded nesting'}") from None
        if not isinstance(self.json, dict):
            raise self.error("expected a JSON object", type(self.json).__name__)
        asset = self.json.get("asset")
        version = asset.get("version", "2.0") if isinstance(asset, dict) else "2.0"
        if not str(version).startswith("2."):
            raise self.error("expected glTF 2.0 in asset.version", repr(version))
        required = self.json.get("extensionsRequired", [])
        for extension in required if isinstance(required, list) else [required]:
            if str(extension) not in _SUPPORTED and not str(extension).startswith(_APPEARANCE):
                got = f"{extension!r} in extensionsRequired"
                raise self.error("expected supported extensions", got, "export the mesh without it")
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, tuple[memoryview, int]] = {}

    # --- Accessors, views, buffers

    def accessor(self, index: object, where: str, width: int, *, indices: bool = False) -> Array:
        """Return the elements of an accessor, shape (count, width): float64, or unsigned integers if `indices`."""
        n = self.index(index, "accessors", where)
        item, where = self.item("accessors", n, where), f"{where}: accessor {n}"
        count = self._count(item, "count", where)
        component, element_type = item.get("componentType"), item.get("type")
        if component not in (_INDICES if indices else tuple(_COMPONENTS)):
            raise self.error(f"{where}: expected a glTF componentType", repr(component))
        if not isinstance(element_type, str) or _WIDTHS.get(element_type) != width:
            raise self.error(f"{where}: expected {width} numbers per element", f"type {element_type!r}")
        dtype = np.dtype(_COMPONENTS[component])
        if "bufferView" in item:
            values = self._elements(item, count, width, dtype, where)
        else:
            if count > self._size:
                raise self.error(f"{where}: expected data for its elements", f"a count of {count} and no bufferView")
            values = np.zeros((count, width), dtype)
        if "sparse" in item:
            values = self._sparse(values, self.mapping(item["sparse"], f"{where}: sparse"), f"{where}: sparse")
        if indices:
            return values
        return self.finite(dequantized(values, bool(item.get("normalized"))), where)

    def _sparse(self, values: Array, sparse: dict[str, Any], where: str) -> Array:
        """Return the elements with the replacements of a sparse accessor."""
        count = self._count(sparse, "count", where)
        indices = self.mapping(sparse.get("indices"), f"{where}: indices")
        component = indices.get("componentType")
        if component not in _INDICES:
            raise self.error(f"{where}: expected unsigned indices", f"componentType {component!r}")
        dtype = np.dtype(_COMPONENTS[component])
        at = self._elements(indices, count, 1, dtype, where)[:, 0]
        self.below(at, len(values), f"{where}: expected indices")
        new = self.mapping(sparse.get("values"), f"{where}: values")
        changed = np.array(values)
        changed[at] = self._elements(new, count, values.shape[1], values.dtype, where)
        return changed

    def _elements(self, item: dict[str, Any], count: int, width: int, dtype: Any, where: str) -> Array:
        """Return elements of a buffer view as stored, shape (count, width)."""
        data, stride = self.view(item.get("bufferView"), where)
        first = self._count(item, "byteOffset", where, 0)
        size = width * dtype.itemsize
        stride = stride or size
        if stride < size:
            raise self.error(f"{where}: expected a byteStride of {size} or more", str(stride))
        end = first + stride * (count - 1) + size if count else first
        if end > len(data):
            raise self.error(f"{where}: expected data within its bufferView of {len(data)} bytes", f"{end} bytes")
        if count == 0:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, first, (stride, dtype.itemsize))

    def view(self, index: object, where: str) -> tuple[memoryview, int]:
        """Return the content of a buffer view, and its stride (0 without one)."""
        n = self.index(index, "bufferViews", f"{where}: bufferView")
        if n not in self._views:
            self._views[n] = self._view(self.item("bufferViews", n, where), f"bufferView {n}")
        return self._views[n]

    def _view(self, item: dict[str, Any], where: str) -> tuple[memoryview, int]:
        stride = self._count(item, "byteStride", where, 0)
        for name in _MESHOPT:
            packed = self.extension(item, name, where)
            if packed is not None and (unpacked := self._meshopt(packed, item, f"{where}: {name}")) is not None:
                return memoryview(unpacked), stride
        return self._range(item, where), stride

    def _range(self, item: dict[str, Any], where: str) -> memoryview:
        """Return a byte range of a buffer."""
        data = self._buffer(self.index(item.get("buffer"), "buffers", f"{where}: buffer"))
        start = self._count(item, "byteOffset", where, 0)
        length = self._count(item, "byteLength", where)
        if start + length > len(data):
            raise self.error(
                f"{where}: expected bytes within its buffer of {len(data)}", f"{start} to {start + length}"
            )
        return memoryview(data)[start : start + length]

    def _meshopt(self, packed: dict[str, Any], item: dict[str, Any], where: str) -> bytes | None:
        """Decode a buffer view; None without a decoder if the file also contains the uncompressed data."""
        try:
            import meshopt
        except ImportError:
            buffer = self.item("buffers", item.get("buffer"), where)
            if "uri" in buffer or (item.get("buffer") == 0 and self._chunk is not None):
                return None
            raise self.missing(f"{where} (compressed by gltfpack)", "meshopt", " (Python 3.12 or newer)") from None
        data = self._range(packed, where)
        count = self._count(packed, "count", where)
        stride = self._count(packed, "byteStride", where)
        if count * stride > _PACKED * len(data):
            raise self.error(f"{where}: expected at most {_PACKED * len(data)} bytes decoded", str(count * stride))
        options = packed.get("mode"), packed.get("filter", "NONE")
        try:
            decoded = meshopt.decode_gltf_buffer(bytes(data), count, stride, *options)
        except Exception as error:  # decoders raise errors of any type
            raise self.error(f"{where}: expected valid data", f"{type(error).__name__}: {error}") from None
        return np.ascontiguousarray(decoded).tobytes()

    def _buffer(self, n: int) -> bytes:
        """Return a buffer: the binary chunk, or the content of a data URI."""
        if n in self._buffers:
            return self._buffers[n]
        item, where = self.item("buffers", n, ""), f"buffer {n}"
        length = self._count(item, "byteLength", where)
        uri = item.get("uri")
        if uri is None:
            if n != 0 or self._chunk is None:
                raise self.error(f"{where}: expected data in the file", "none")
            data = self._chunk
        elif isinstance(uri, str) and uri.startswith("data:"):
            data = self.decoded(uri, where)
        else:
            got = f"the uri {str(uri)[:100]!r}"
            raise self.error(f"{where}: expected all data in this file", got, "export a single .glb file")
        if len(data) < length:
            raise self.error(f"{where}: expected {length} bytes", f"{len(data)} in a file that ends early")
        self._buffers[n] = data
        return data

    def decoded(self, uri: str, where: str) -> bytes:
        """Return the content of a data URI, nothing if it is not base64."""
        head, _, body = uri.partition(",")
        try:
            return base64.b64decode(body, validate=True) if head.endswith(";base64") else b""
        except (binascii.Error, ValueError) as error:
            raise self.error(f"{where}: expected base64 after data:", str(error)) from None

    def _container(self, content: bytes) -> tuple[bytes, bytes | None]:
        """Return the JSON chunk and the binary chunk of a .glb file."""
        if content[:4] != b"glTF":
            got = f"one that begins with {content[:4]!r} instead of b'glTF'"
            raise self.error("expected a readable .glb file", got)
        complete = "expected a complete .glb file"
        if len(content) < 20:
            raise self.error(complete, "one that ends early")
        version, length = struct.unpack_from("<II", content, 4)
        if version != 2:
            raise self.error("expected glTF 2.0", f"version {version}")
        if length > len(content):
            raise self.error(complete, f"one that ends early, after {len(content)} of {length} bytes")
        chunks: list[tuple[bytes, bytes]] = []
        at = 12
        while at + 8 <= length:
            size, chunk_type = struct.unpack_from("<I4s", content, at)
            if at + 8 + size > length:
                raise self.error(complete, "one that ends early")
            chunks.append((chunk_type, content[at + 8 : at + 8 + size]))
            at += 8 + size
        if not chunks or chunks[0][0] != b"JSON":
            raise self.error("expected a JSON chunk first", f"{chunks[0][0]!r}" if chunks else "no chunk")
        return chunks[0][1], next((data for chunk_type, data in chunks[1:2] if chunk_type == b"BIN\0"), None)

    # --- Checks

    def items(self, key: str) -> list[Any]:
        """Return a top-level list of the JSON, empty if absent."""
        return self.array(self.json, key, key)

    def item(self, key: str, index: object, where: str) -> dict[str, Any]:
        """Return an object in a top-level list."""
        n = self.index(index, key, where)
        return self.mapping(self.items(key)[n], f"{key} {n}")

    def index(self, value: object, key: str, where: str) -> int:
        """Return a valid index into a top-level list."""
        count = len(self.items(key))
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
            raise self.error(f"{where}: expected an index below {count} into {key}", repr(value)[:60])
        return value

    def nodes(self, item: dict[str, Any], member: str, where: str, *, required: bool = False) -> list[int]:
        """Return a member that is a list of node indices."""
        where = f"{where}: {member}"
        return [self.index(value, "nodes", where) for value in self.array(item, member, where, required=required)]

    def array(self, item: dict[str, Any], member: str, where: str, *, required: bool = False) -> list[Any]:
        """Return a member that is a list; without `required`, an absent one is empty."""
        value = item.get(member, None if required else [])
        if not isinstance(value, list):
            raise self.error(f"{where}: expected a list", type(value).__name__)
        return value

    def mapping(self, value: object, where: str) -> dict[str, Any]:
        """Return an object."""
        if not isinstance(value, dict):
            raise self.error(f"{where}: expected an object", type(value).__name__)
        return value

    def extension(self, item: dict[str, Any], name: str, where: str) -> dict[str, Any] | None:
        """Return an extension of an object, None if absent."""
        extensions = self.mapping(item.get("extensions", {}), f"{where}: extensions")
        return self.mapping(extensions[name], f"{where}: {name}") if name in extensions else None

    def _count(self, item: dict[str, Any], member: str, where: str, default: int | None = None) -> int:
        """Return a member that is an integer of 0 or more; some writers store it as a float."""
        value = item.get(member, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 48:
            raise self.error(f"{where}: {member}: expected an integer of 0 or more", repr(value)[:60])
        return value

    def below(self, values: Array, limit: int, expected: str) -> None:
        """Check that all values are below a limit."""
        if values.size and values.max() >= limit:
            raise self.error(f"{expected} below {limit}", str(int(values.max())))

    def numbers(self, value: object, count: int | None, where: str) -> Array:
        """Return a list of finite numbers, of length `count` if set, as float64."""
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
        """Return the values if all are finite."""
        bad = ~np.isfinite(values)
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            raise self.error(f"{where}: expected finite numbers", f"{values[at]:g} in element {at[0]}")
        return values

    def _no_number(self, text: str) -> None:
        raise ValueError(f"expected a JSON number, got {text}")

    def missing(self, what: str, package: str, note: str = "") -> MeshError:
        """Return the error for a decoder that is not installed."""
        remedy = f"pip install 'diffmpm[gltf]'{note}, or export the mesh without compression"
        return self.error(f"{what}: expected the package {package} to decode it", "an installation without it", remedy)

    def error(self, expected: str, got: str, remedy: str = "export the mesh again") -> MeshError:
        """Return an error with the file name."""
        return MeshError(f"{self._name}: {expected}, got {got}; {remedy}")


def dequantized(values: Array, normalized: bool) -> Array:
    """Return numbers as float64; normalized integers are scaled to [0, 1] or [-1, 1]."""
    result = values.astype(np.float64)
    if normalized and values.dtype.kind in "iu":
        result = np.maximum(result / np.iinfo(values.dtype).max, -1.0)
    return result
