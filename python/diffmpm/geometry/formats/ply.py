# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Stanford polygon files, text or binary of both byte orders: vertices, polygons and triangle strips, with colours.

Colours are red, green and blue of vertices. Texture coordinates are those of vertices or, as MeshLab writes them, a
list per face; the textures are named by comments "TextureFile".

Each property is read as one column over all rows of its element, lists included.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from ..._arrays import Array
from ..._color import linear_light
from ...errors import MeshError
from .._surfaces import Surface
from ..appearance import Appearance, MeshMaterial
from .companions import Companions
from .polygons import polygon_of, triangle_corners
from .text import Text, first_true, plain, spans

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_SURFACE = {"vertex": ("x", "y", "z"), **dict.fromkeys(("face", "tristrips"), ("vertex_indices", "vertex_index"))}
"""Properties that define the surface: scalars of vertices, lists of the other elements."""
_COLOR = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
"""Names of the colours of vertices."""
_UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
"""Names of the texture coordinates of vertices."""
_SCALARS = {"vertex": (*_SURFACE["vertex"], *sum((*_COLOR, *_UVS), ())), "face": ("texnumber",)}
_LISTS = {"face": (*_SURFACE["face"], "texcoord"), "tristrips": _SURFACE["tristrips"]}
"""Scalars and lists that are read, by element."""
_LONGEST_HEADER = 1 << 20
"""Maximum number of header bytes."""


@dataclass(frozen=True)
class _Property:
    name: str
    dtype: np.dtype[np.generic]
    count_dtype: np.dtype[np.generic] | None = None
    """Dtype of the entry count of a list; None for a scalar."""

    def is_read(self, element: str) -> bool:
        return self.name in (_SCALARS if self.count_dtype is None else _LISTS).get(element, ())


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


class _Column(NamedTuple):
    """Values of a property, concatenated over all rows, and their number per row."""

    values: Array
    sizes: Array


def read_ply(content: bytes, name: str, companions: Companions) -> Surface:
    """Read a .ply file."""
    order, elements, body, textures = _header(content, name)
    rows = _BinaryRows(content, body, order, name) if order else _TextRows(content, name)
    columns = {(element.name, key): column for element in elements for key, column in rows.read(element).items()}
    rows.finish()
    missing = [axis for axis in "xyz" if ("vertex", axis) not in columns]
    if missing:
        raise MeshError(f"{name}: expected vertices with x, y and z, got no {', '.join(missing)}; repair the mesh")
    vertices = np.stack([columns["vertex", axis].values.astype(np.float64) for axis in "xyz"], axis=1)
    triangles, pieces, sizes = [np.zeros((0, 3), np.int64)], None, np.zeros(0, np.int64)
    for element, least in (("face", 0), ("tristrips", -1)):
        column = next((columns[element, key] for key in _SURFACE[element] if (element, key) in columns), None)
        if column is None:
            continue
        corners = _checked(column, len(vertices), least, element, name)
        if least == 0:
            sizes = column.sizes
            pieces = triangle_corners(vertices, corners, sizes)
            triangles.append(corners[pieces])
        else:
            triangles.append(_unrolled(corners, column.sizes))
    faces = np.concatenate(triangles)
    declared = {(element.name, item.name): item.dtype for element in elements for item in element.properties}
    look = _Look(columns, declared, textures, companions, name)
    return Surface(vertices, faces, look.appearance(faces, pieces, sizes))


class _Look:
    """Colours and texture coordinates of a file."""

    def __init__(
        self,
        columns: dict[tuple[str, str], _Column],
        declared: dict[tuple[str, str], np.dtype[np.generic]],
        textures: list[str],
        companions: Companions,
        name: str,
    ) -> None:
        self._columns, self._declared, self._textures = columns, declared, textures
        self._companions, self._name = companions, name

    def appearance(self, faces: Array, pieces: Array | None, sizes: Array) -> Appearance | None:
        """Return the appearance of triangles; the first ones have the corners `pieces` of polygons of these sizes."""
        colors, uvs = self._colors(), self._uvs(faces, pieces, sizes)
        if colors is None and uvs is None:
            return None
        textures = self._textures if uvs is not None else []
        materials = [MeshMaterial(texture=self._companions.texture(texture)) for texture in textures]
        column = self._columns.get(("face", "texnumber"))
        if len(materials) < 2 or column is None or pieces is None:
            return Appearance(colors, uvs, tuple(materials[:1]))
        numbers = np.zeros(len(faces), np.int64)
        numbers[: len(pieces)] = column.values.astype(np.int64)[polygon_of(sizes)]
        if ((numbers < 0) | (numbers >= len(materials))).any():
            raise MeshError(
                f"{self._name}: expected texnumber from 0 to {len(materials) - 1}, got {int(numbers.min())} to "
                f"{int(numbers.max())}; export the mesh again"
            )
        return Appearance(colors, uvs, tuple(materials), numbers)

    def _vertex(self, choices: tuple[tuple[str, ...], ...]) -> tuple[Array, np.dtype[np.generic]] | None:
        """Return the first complete set of scalars of the vertices, and their dtype in the file."""
        for names in choices:
            if all(("vertex", n) in self._columns for n in names):
                values = np.stack([self._columns["vertex", n].values.astype(np.float64) for n in names], axis=1)
                if not np.isfinite(values).all():
                    raise MeshError(f"{self._name}: expected finite {', '.join(names)}, got others; repair the mesh")
                return values, self._declared["vertex", names[0]]
        return None

    def _colors(self) -> Array | None:
        scalars = self._vertex(_COLOR)
        if scalars is None:
            return None
        values, dtype = scalars
        if dtype.kind in "iu":
            values = values / np.iinfo(dtype.str).max
        if values.size and not 0.0 <= values.min() <= values.max() <= 1.0:
            raise MeshError(
                f"{self._name}: expected colours from 0 to 1, got {values.min():g} to {values.max():g}; repair the mesh"
            )
        return linear_light(values)

    def _uvs(self, faces: Array, pieces: Array | None, sizes: Array) -> Array | None:
        column = self._columns.get(("face", "texcoord"))
        if column is not None and pieces is not None and len(column.values):
            wrong = column.sizes != 2 * sizes
            if wrong.any():
                row = int(np.argmax(wrong))
                raise MeshError(
                    f"{self._name}: expected {2 * sizes[row]} texture coordinates in row {row} of face, got "
                    f"{column.sizes[row]}; export the mesh again"
                )
            if not np.isfinite(column.values).all():
                raise MeshError(f"{self._name}: expected finite texcoord, got others; repair the mesh")
            uvs = np.zeros((len(faces), 3, 2))
            uvs[: len(pieces)] = column.values.astype(np.float64).reshape(-1, 2)[pieces]
            return uvs
        scalars = self._vertex(_UVS)
        return None if scalars is None else np.asarray(scalars[0][faces])


def _checked(column: _Column, count: int, least: int, element: str, name: str) -> Array:
    """Return the vertex indices of an element as int64."""
    indices = column.values
    if indices.dtype.kind not in "iu":
        raise MeshError(f"{name}: expected integers as vertex indices, got {indices.dtype}; repair the mesh")
    if (k := first_true((indices < least) | (indices >= count))) is not None:
        row = int(np.searchsorted(np.cumsum(column.sizes), k, side="right"))
        raise MeshError(
            f"{name}: expected vertex indices from 0 to {count - 1}, got {int(indices[k])} in row {row} of {element}; "
            "repair the mesh"
        )
    return indices.astype(np.int64)


def _unrolled(indices: Array, sizes: Array) -> Array:
    """Return the triangles of strips, which end at -1 and at the end of each list; every second one is flipped."""
    ends = np.cumsum(sizes)
    position = np.arange(len(indices))
    last = np.maximum.accumulate(np.where(indices < 0, position, -1))  # the last -1 up to each corner
    first = np.maximum(last + 1, np.repeat(ends - sizes, sizes))
    third = np.flatnonzero(position - first >= 2)
    a, b, c = indices[third - 2], indices[third - 1], indices[third]
    odd = (third - first[third]) % 2 == 1
    return np.stack([np.where(odd, b, a), np.where(odd, a, b), c], axis=1)


def _header(content: bytes, name: str) -> tuple[str, list[_Element], int, list[str]]:
    """Return the byte order ("" for text), the elements, the offset after the header, and the texture files."""
    start = re.match(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\n|\r)", content)
    end = start and re.compile(start[1] + rb"[ \t]*end_header[ \t]*" + start[1]).search(
        content, start.end() - len(start[1]), _LONGEST_HEADER
    )
    if not start or not end:
        raise MeshError(
            f"{name}: expected a readable .ply file, got one without a complete header; export the mesh again"
        )
    order: str | None = None
    elements: list[_Element] = []
    textures: list[str] = []
    for number, line in enumerate(content[start.end() : end.start()].split(start[1]), 2):
        words = line.decode("utf-8", "replace").split()
        if words[:2] == ["comment", "TextureFile"]:
            textures.append(line.decode("utf-8", "replace").partition("TextureFile")[2].strip())
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
                f"{name}: line {number}: expected a format, an element with its count or a property with its type, "
                f"got {' '.join(words)[:80]!r}; export the mesh again"
            )
    if order is None:
        raise MeshError(f"{name}: expected a header with a format, got none; export the mesh again")
    return order, elements, end.end(), textures


def _property(words: list[str], order: str) -> _Property | None:
    if len(words) == 5 and words[:2] == ["property", "list"] and words[2] in _TYPES and words[3] in _TYPES:
        count_dtype = np.dtype(order + _TYPES[words[2]])
        if count_dtype.kind in "iu":
            return _Property(words[4], np.dtype(order + _TYPES[words[3]]), count_dtype)
    if len(words) == 3 and words[0] == "property" and words[1] in _TYPES:
        return _Property(words[2], np.dtype(order + _TYPES[words[1]]))
    return None


class _TextRows:
    """Rows of a text file, one per line."""

    def __init__(self, content: bytes, name: str) -> None:
        self.text = Text(plain(content, name), name)
        self.line = 1 + int(np.argmax(self.text.is_word(self.text.heads, b"end_header")))

    def read(self, element: _Element) -> dict[str, _Column]:
        """Read the rows of the next element."""
        text, last = self.text, self.line + element.count
        if not element.properties:
            return {}
        if last > len(text.heads):
            text.fail(
                len(text.starts),
                f"expected {element.count} rows of {element.name}, got {len(text.heads) - self.line}; "
                "the file ends early, export the mesh again",
            )
        first, ends = text.heads[self.line : last], (text.heads + text.counts)[self.line : last]
        at, self.line = first, last
        columns: dict[str, _Column] = {}
        for item in element.properties:
            self._check(at < ends, first, element)
            sizes, parse = np.ones(element.count, np.int64), text.numbers
            if item.count_dtype is not None:
                sizes, parse = text.integers(at), text.numbers if item.name == "texcoord" else text.integers
                self._check((sizes >= 0) & (sizes < ends - at), first, element)
                at = at + 1
            if item.is_read(element.name):
                columns[item.name] = _Column(parse(spans(at, sizes)), sizes)
            at = at + sizes
        self._check(at == ends, first, element)
        return columns

    def _check(self, fits: Array, first: Array, element: _Element) -> None:
        if (row := first_true(~fits)) is not None:
            names = ", ".join(item.name for item in element.properties)[:200]
            words = int(self.text.counts[np.searchsorted(self.text.heads, first[row])])
            self.text.fail(
                int(first[row]),
                f"expected a row of {element.name} ({names}), got {words} numbers; "
                "the row counts in the header may be wrong, export the mesh again",
            )

    def finish(self) -> None:
        """Reject further rows, which the header does not declare."""
        if self.line < len(self.text.heads):
            word = int(self.text.heads[self.line])
            self.text.fail(
                word,
                f"expected the end of the file, got {self.text.word(word)!r}; "
                "the row counts in the header are too low, export the mesh again",
            )


class _BinaryRows:
    """Consecutive rows of a binary file."""

    def __init__(self, content: bytes, offset: int, order: str, name: str) -> None:
        self.bytes: Array = np.frombuffer(content, np.uint8)
        self.content, self.offset, self.order, self.name = content, offset, order, name

    def read(self, element: _Element) -> dict[str, _Column]:
        """Read the rows of the next element."""
        columns: dict[str, _Column] = {}
        if not element.properties:
            return columns
        least = sum((item.count_dtype or item.dtype).itemsize for item in element.properties)
        if element.count * least > len(self.content) - self.offset:
            self._fail(element)
        at = self._offsets(element)
        for item in element.properties:
            sizes, width = np.ones(element.count, np.int64), item.dtype.itemsize
            if item.count_dtype is not None:
                sizes = self._values(at, item.count_dtype).astype(np.int64)
                at = at + item.count_dtype.itemsize
            if item.is_read(element.name):
                columns[item.name] = _Column(self._values(spans(at, sizes, width), item.dtype), sizes)
            at = at + width * sizes
        self.offset = int(at[-1]) if element.count else self.offset
        return columns

    def _values(self, offsets: Array, dtype: np.dtype[np.generic]) -> Array:
        """Return the numbers at offsets in the file."""
        raw = self.bytes[offsets[:, None] + np.arange(dtype.itemsize)]
        return raw.reshape(-1).view(dtype).astype(dtype.newbyteorder("="))

    def _offsets(self, element: _Element) -> Array:
        """Return the offset of each row."""
        # Usually all rows are as long as the first one.
        size, lists = 0, []
        for item in element.properties if element.count else ():
            if item.count_dtype is None:
                size += item.dtype.itemsize
                continue
            if self.offset + size + item.count_dtype.itemsize > len(self.content):
                self._fail(element)
            count = int(self._values(np.array([self.offset + size]), item.count_dtype)[0])
            lists.append((size, item.count_dtype, count))
            size += item.count_dtype.itemsize + max(count, 0) * item.dtype.itemsize
        if self.offset + element.count * size <= len(self.content):
            offsets = self.offset + size * np.arange(element.count)
            if all(count >= 0 and (self._values(offsets + at, dtype) == count).all() for at, dtype, count in lists):
                return offsets
        return self._scan(element)

    def _scan(self, element: _Element) -> Array:
        """Return the offset of each row by reading the list counts row by row."""
        steps: list[tuple[int, struct.Struct, int]] = []
        skipped = 0
        for item in element.properties:
            if item.count_dtype is None:
                skipped += item.dtype.itemsize
            else:
                steps.append((skipped, struct.Struct(self.order + item.count_dtype.char), item.dtype.itemsize))
                skipped = 0
        offsets, offset, content, end = np.empty(element.count, np.int64), self.offset, self.content, len(self.content)
        try:
            for row in range(element.count):
                offsets[row] = offset
                for before, reader, width in steps:
                    offset += before
                    count = reader.unpack_from(content, offset)[0]
                    if count < 0:
                        self._fail(element, row)
                    offset += reader.size + count * width
                offset += skipped
                if offset > end:
                    self._fail(element, row)
        except struct.error:
            self._fail(element, row)
        return offsets

    def _fail(self, element: _Element, row: int = 0) -> NoReturn:
        raise MeshError(
            f"{self.name}: expected {element.count} rows of {element.name}, got a file that ends early or is damaged "
            f"(from row {row} on); export or download the mesh again"
        )

    def finish(self) -> None:
        """Accept bytes after the last row."""
