# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Polygon files (Stanford), text or binary of both byte orders: vertices, polygons and strips of triangles.

A property is read as one column over all rows of its element, lists included: only where rows of a binary file differ
in length does their place need a walk through them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ..._arrays import Array
from ...errors import MeshError
from .polygons import triangulate
from .surface import Surface
from .text import Text, plain, spans

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_INDICES = ("vertex_indices", "vertex_index")
_SCALARS = {"vertex": ("x", "y", "z")}
_LISTS = {"face": _INDICES, "tristrips": _INDICES}
_LONGEST_HEADER = 1 << 20
"""Bytes in which the header has to end."""


@dataclass(frozen=True)
class _Property:
    name: str
    type: np.dtype[np.generic]
    counted_by: np.dtype[np.generic] | None = None
    """Type of the number in front of a list; None for a scalar."""

    def is_read_from(self, element: str) -> bool:
        """Whether the surface needs it; the others are stepped over."""
        return self.name in (_SCALARS if self.counted_by is None else _LISTS).get(element, ())


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


@dataclass(frozen=True)
class _Column:
    """Values of one property; of a list those of all rows, one after the other, and how many each row has."""

    values: Array
    sizes: Array


def read_ply(content: bytes, name: str) -> Surface:
    """Read the vertices, faces and strips of triangles of a .ply file.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If it is cut off or damaged; of text, the message names the line.
    """
    order, elements, body = _header(content, name)
    source: _Words | _Bytes = _Bytes(content, body, order, name) if order else _Words(content, name)
    columns: dict[tuple[str, str], _Column] = {}
    for element in elements:
        found = source.read(element)
        columns.update({(element.name, key): column for key, column in found.items()})
    source.finish()
    missing = [axis for axis in "xyz" if ("vertex", axis) not in columns]
    if missing:
        raise MeshError(f"{name}: expected vertices with x, y and z, got none of {', '.join(missing)}; repair the mesh")
    vertices = np.stack([columns["vertex", axis].values.astype(np.float64) for axis in "xyz"], axis=1)
    triangles = [np.zeros((0, 3), np.int64)]
    for key in _INDICES:
        if ("face", key) in columns:
            faces = columns["face", key]
            corners = _checked(faces, len(vertices), 0, "face", name)
            triangles.append(triangulate(vertices, corners, faces.sizes))
            break
    for key in _INDICES:
        if ("tristrips", key) in columns:
            strips = columns["tristrips", key]
            triangles.append(_unrolled(_checked(strips, len(vertices), -1, "tristrips", name), strips.sizes))
            break
    return Surface(vertices, np.concatenate(triangles))


def _checked(column: _Column, count: int, least: int, element: str, name: str) -> Array:
    """Vertex indices of the rows of an element as integers."""
    indices = column.values
    if indices.dtype.kind not in "iu":
        raise MeshError(f"{name}: expected integers as vertex indices, got {indices.dtype}; repair the mesh")
    wrong = (indices < least) | (indices >= count)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(np.cumsum(column.sizes), at, side="right"))
        raise MeshError(
            f"{name}: expected vertex indices from 0 to {count - 1}, got {int(indices[at])} in row {row} of {element}; "
            "repair the mesh"
        )
    return indices.astype(np.int64)


def _unrolled(indices: Array, sizes: Array) -> Array:
    """Triangles of strips that end at -1 and at the end of each list; every second triangle of a strip is turned."""
    ends = np.cumsum(sizes)
    position = np.arange(len(indices))
    last = np.maximum.accumulate(np.where(indices < 0, position, -1))  # the -1 before, or at, a corner
    first = np.maximum(last + 1, np.repeat(ends - sizes, sizes))
    third = np.flatnonzero(position - first >= 2)
    a, b, c = indices[third - 2], indices[third - 1], indices[third]
    odd = (third - first[third]) % 2 == 1
    return np.stack([np.where(odd, b, a), np.where(odd, a, b), c], axis=1)


def _header(content: bytes, name: str) -> tuple[str, list[_Element], int]:
    """Byte order ("" for text), elements and the place of the first byte behind the header."""
    start = re.match(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\n|\r)", content)
    end = start and re.compile(start[1] + rb"[ \t]*end_header[ \t]*" + start[1]).search(
        content, start.end() - len(start[1]), _LONGEST_HEADER
    )
    if not start or not end:
        raise MeshError(f"{name}: expected a readable .ply file, got none with a whole header; export the mesh again")
    order: str | None = None
    elements: list[_Element] = []
    for number, line in enumerate(content[start.end() : end.start()].split(start[1]), 2):
        words = line.decode("utf-8", "replace").split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif (
            words[0] == "element"
            and order is not None
            and len(words) == 3
            and re.fullmatch(r"[0-9]{1,18}", words[2])
            and not any(words[1] == other.name for other in elements)
        ):
            elements.append(_Element(words[1], int(words[2]), []))
        elif elements and (property_ := _property(words, order or "=")):
            elements[-1].properties.append(property_)
        else:
            raise MeshError(
                f"{name}: line {number}: expected a format, an element with its number or a property with its type, "
                f"got {' '.join(words)[:80]!r}; export the mesh again"
            )
    if order is None:
        raise MeshError(f"{name}: expected a header with a format, got none; export the mesh again")
    return order, elements, end.end()


def _property(words: list[str], order: str) -> _Property | None:
    if len(words) == 5 and words[:2] == ["property", "list"] and words[2] in _TYPES and words[3] in _TYPES:
        counted_by = np.dtype(order + _TYPES[words[2]])
        if counted_by.kind in "iu":
            return _Property(words[4], np.dtype(order + _TYPES[words[3]]), counted_by)
    if len(words) == 3 and words[0] == "property" and words[1] in _TYPES:
        return _Property(words[2], np.dtype(order + _TYPES[words[1]]))
    return None


class _Words:
    """Rows of a text file: a line each."""

    def __init__(self, content: bytes, name: str) -> None:
        self.text = Text(plain(content, name), name)
        self.line = 1 + int(np.argmax(self.text.is_word(self.text.heads, b"end_header")))

    def read(self, element: _Element) -> dict[str, _Column]:
        """Read the rows of an element; afterwards those of the next one are at hand."""
        text, last = self.text, self.line + element.count
        if not element.properties:
            return {}
        if last > len(text.heads):
            text.fail(
                len(text.starts),
                f"expected {element.count} rows of {element.name}, got {len(text.heads) - self.line}; "
                "the file ends early, export the mesh again",
            )
        at, ends = text.heads[self.line : last].copy(), (text.heads + text.counts)[self.line : last]
        first, self.line = at.copy(), last
        columns: dict[str, _Column] = {}
        for item in element.properties:
            self._check(at < ends, first, element)
            sizes = np.ones(element.count, np.int64)
            if item.counted_by is not None:
                sizes = text.integers(at)
                self._check((sizes >= 0) & (sizes < ends - at), first, element)
                at = at + 1
            if item.is_read_from(element.name):
                read = text.integers if item.counted_by is not None else text.numbers
                columns[item.name] = _Column(read(spans(at, sizes)), sizes)
            at = at + sizes
        self._check(at == ends, first, element)
        return columns

    def _check(self, fits: Array, first: Array, element: _Element) -> None:
        if not fits.all():
            row = int(np.argmin(fits))
            names = ", ".join(item.name for item in element.properties)[:200]
            words = int(self.text.counts[np.searchsorted(self.text.heads, first[row])])
            self.text.fail(
                int(first[row]),
                f"expected a row of {element.name} ({names}), got {words} numbers; "
                "the numbers of rows in the header may be wrong, export the mesh again",
            )

    def finish(self) -> None:
        """Refuse further rows: numbers in the header are too low."""
        if self.line < len(self.text.heads):
            place = int(self.text.heads[self.line])
            self.text.fail(
                place,
                f"expected the end of the file, got {self.text.word(place)!r}; "
                "the numbers of rows in the header are too low, export the mesh again",
            )


class _Bytes:
    """Rows of a binary file, one behind the other."""

    def __init__(self, content: bytes, place: int, order: str, name: str) -> None:
        self.bytes: Array = np.frombuffer(content, np.uint8)
        self.content, self.place, self.order, self.name = content, place, order, name

    def read(self, element: _Element) -> dict[str, _Column]:
        """Read the rows of an element; afterwards those of the next one are at hand."""
        if not element.properties:
            return {}
        least = sum((item.counted_by or item.type).itemsize for item in element.properties)
        if element.count * least > len(self.content) - self.place:
            self._fail(element)
        at = self._rows(element)
        columns: dict[str, _Column] = {}
        for item in element.properties:
            sizes = np.ones(element.count, np.int64)
            if item.counted_by is not None:
                sizes = self._values(at, item.counted_by).astype(np.int64)
                at = at + item.counted_by.itemsize
            width = item.type.itemsize
            if item.is_read_from(element.name):
                places = np.repeat(at, sizes) + width * spans(0 * sizes, sizes)
                columns[item.name] = _Column(self._values(places, item.type), sizes)
            at = at + width * sizes
        self.place = int(at[-1]) if element.count else self.place
        return columns

    def _values(self, places: Array, kind: np.dtype[np.generic]) -> Array:
        """Numbers at places in the file."""
        found = self.bytes[places[:, None] + np.arange(kind.itemsize)]
        return found.reshape(-1).view(kind).astype(kind.newbyteorder("="))

    def _rows(self, element: _Element) -> Array:
        """First byte of each row."""
        # As a rule all rows are as long as the first one.
        size, lists = 0, []
        for item in element.properties if element.count else ():
            if item.counted_by is None:
                size += item.type.itemsize
                continue
            place = self.place + size
            if place + item.counted_by.itemsize > len(self.content):
                self._fail(element)
            count = int(self._values(np.array([place]), item.counted_by)[0])
            lists.append((size, item.counted_by, count))
            size += item.counted_by.itemsize + max(count, 0) * item.type.itemsize
        if self.place + element.count * size <= len(self.content):
            rows = self.place + size * np.arange(element.count)
            if all(count >= 0 and (self._values(rows + at, kind) == count).all() for at, kind, count in lists):
                return rows
        return self._walk(element)

    def _walk(self, element: _Element) -> Array:
        """First byte of each row, where rows differ in length."""
        steps: list[tuple[int, struct.Struct, int]] = []
        lead = 0
        for item in element.properties:
            if item.counted_by is None:
                lead += item.type.itemsize
            else:
                reader = struct.Struct((self.order or "<") + item.counted_by.char)
                steps.append((lead, reader, item.type.itemsize))
                lead = 0
        rows, place, content, end = np.empty(element.count, np.int64), self.place, self.content, len(self.content)
        try:
            for row in range(element.count):
                rows[row] = place
                for before, reader, width in steps:
                    place += before
                    count = reader.unpack_from(content, place)[0]
                    if count < 0:
                        self._fail(element, row)
                    place += reader.size + count * width
                place += lead
                if place > end:
                    self._fail(element, row)
        except struct.error:
            self._fail(element, row)
        return rows

    def _fail(self, element: _Element, row: int = 0) -> NoReturn:
        raise MeshError(
            f"{self.name}: expected {element.count} rows of {element.name}, got a file that ends early or is damaged "
            f"(from row {row} on); export or download the mesh again"
        )

    def finish(self) -> None:
        """Bytes behind the last row are left alone."""
