# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Wavefront .obj files: vertices and polygons with colours; points, lines, curves and normals are skipped.

Colours are r, g, b after the coordinates of a vertex, as several programs write them, and the base colours of the
materials in the .mtl files beside the mesh.
"""

from __future__ import annotations

import re

import numpy as np

from ..._arrays import Array
from ..._color import linear_light
from .._surfaces import Surface
from ..appearance import Appearance, MeshMaterial, groups
from .companions import Companions
from .mtl import MtlMaterial, read_mtl
from .polygons import polygon_of, triangle_corners
from .text import Text, first_true, plain, spans, without_comments

_CONTINUED = re.compile(rb"\\[ \t]*\n")
_COLORED = 7
"""Words of a line with a vertex and its colour."""
_STATEMENT = re.compile(rb"^[ \t]*(?:v|fo?)(?=[ \t\\])[^\\\n]*(?:\\[ \t]*\n[^\\\n]*)*", re.MULTILINE)
"""A vertex or face with its continuation lines. A name, such as a Windows folder, may also end in a backslash."""


def read_obj(content: bytes, name: str, companions: Companions) -> Surface:
    """Read an .obj file; objects and groups are merged."""
    original = plain(content, name)
    text = Text(_joined(without_comments(original)), name, original)
    v = np.flatnonzero(text.is_word(text.heads, b"v"))
    f = np.flatnonzero(text.is_word(text.heads, b"f") | text.is_word(text.heads, b"fo"))
    for lines, expected in ((v, "three coordinates"), (f, "a face of three corners or more")):
        if (k := first_true(text.counts[lines] <= 3)) is not None:
            head, count = int(text.heads[lines[k]]), int(text.counts[lines[k]]) - 1
            text.fail(head, f"expected {expected}, got {count}; {text.remedy(head + min(count, 1))}")
    vertices = text.numbers(text.heads[v, None] + np.arange(1, 4))
    sizes = text.counts[f] - 1
    words = spans(text.heads[f] + 1, sizes)
    # Index 1 is the first vertex of the file, -1 the last one above the face.
    corners = _numbered(text, text.integers(words, until="/"), words, v, "a vertex", "vertices")
    pieces = triangle_corners(vertices, corners, sizes)
    colors = _vertex_colors(text, v)
    look = _Look(text, companions, f, words).appearance(pieces, polygon_of(sizes), colors)
    return Surface(vertices, corners[pieces], look)


def _numbered(text: Text, indices: Array, words: Array, lines: Array, one: str, several: str) -> Array:
    """Return indices that count from 0 for those in a file, which count from 1, or backwards from the word's line."""
    heads = text.heads[lines]
    above = np.searchsorted(heads, words)
    numbers = np.where(indices > 0, indices - 1, indices + above)
    if (k := first_true((indices == 0) | (numbers < 0) | (numbers >= len(lines)))) is not None:
        expected = f"from 1 to {len(lines)}" if indices[k] >= 0 else f"from -{above[k]} to -1"
        remedy = f"{several} are numbered from 1" if indices[k] == 0 else "repair the mesh"
        word = int(words[k])
        text.fail(word, f"expected {one} {expected}, got {text.word(word)!r}; {remedy}")
    return numbers


def _vertex_colors(text: Text, v: Array) -> Array | None:
    """Return the colours after the coordinates in linear light, shape (V, 3); white where a vertex has none."""
    rows = np.flatnonzero(text.counts[v] == _COLORED)
    if not len(rows):
        return None
    values = text.numbers(text.heads[v[rows], None] + np.arange(4, _COLORED))
    if values.min() < 0.0 or values.max() > 255.0:
        row = int(np.argmax(((values < 0.0) | (values > 255.0)).any(axis=1)))
        text.fail(int(text.heads[v[rows[row]]]), f"expected colours from 0 to 1, got {values[row].tolist()}")
    colors = np.ones((len(v), 3))
    colors[rows] = values / (255.0 if values.max() > 1.0 else 1.0)
    return linear_light(colors)


class _Look:
    """Texture coordinates and materials of an .obj file."""

    def __init__(self, text: Text, companions: Companions, f: Array, words: Array) -> None:
        self._text, self._companions, self._faces, self._words = text, companions, f, words

    def appearance(self, pieces: Array, polygons: Array, colors: Array | None) -> Appearance | None:
        """Return the appearance of triangles of corners `pieces` in `polygons`; None without colours."""
        uvs, textured = self._uvs(pieces)
        materials, of_face = self._materials(report=uvs is not None)
        if not materials:
            return None if colors is None and uvs is None else Appearance(colors, uvs)
        used: list[MeshMaterial] = []
        numbers = np.zeros(len(pieces), np.int32)
        # Triangles without texture coordinates have a material without the texture.
        for key, rows in groups(2 * of_face[polygons] + textured):
            entry = materials[key // 2]
            material = entry.material
            if material.texture is not None and uvs is not None and key % 2:
                uvs[rows] = uvs[rows] * entry.scale + entry.offset
            elif material.texture is not None or colors is not None:
                # Vertex colours replace Kd, which exporters write beside them.
                material = MeshMaterial(name=material.name)
            numbers[rows] = len(used)
            used.append(material)
        return Appearance(colors, uvs, tuple(used), numbers)

    def _uvs(self, pieces: Array) -> tuple[Array | None, Array]:
        """Return texture coordinates of the corners of triangles, shape (T, 3, 2), and which triangles have them."""
        text = self._text
        vt = np.flatnonzero(text.is_word(text.heads, b"vt"))
        complete = np.zeros(len(pieces), bool)
        if not len(vt):
            return None, complete
        indices = text.second_integers(self._words, "/")
        corners = np.flatnonzero(indices)
        numbers = _numbered(text, indices[corners], self._words[corners], vt, "a texture coordinate", "coordinates")
        if (k := first_true(text.counts[vt] < 2)) is not None:
            text.fail(int(text.heads[vt[k]]), "expected texture coordinates after vt, got none; repair the mesh")
        points = np.zeros((len(vt), 2))
        points[:, 0] = text.numbers(text.heads[vt] + 1)
        flat = np.flatnonzero(text.counts[vt] >= 3)
        points[flat, 1] = text.numbers(text.heads[vt[flat]] + 2)
        uvs = np.zeros((len(indices), 2))
        uvs[corners] = points[numbers]
        return uvs[pieces], (indices[pieces] != 0).all(axis=1)

    def _materials(self, *, report: bool) -> tuple[list[MtlMaterial], Array]:
        """Return the materials, and the number of the material of each face; no materials without files."""
        text, heads = self._text, self._text.heads
        lines = np.flatnonzero(text.is_word(heads, b"usemtl"))
        known: dict[str, MtlMaterial] = {}
        for line in np.flatnonzero(text.is_word(heads, b"mtllib")).tolist() if len(lines) else ():
            rest = text.rest_of_line(line)  # one file, whose name may contain blanks, or several
            for file in [rest] if rest.lower().count(".mtl") < 2 else rest.split():
                content = self._companions.read(file, report=report)
                known |= {} if content is None else read_mtl(content, file, self._companions)
        if not known:
            return [], np.zeros(len(self._faces), np.int64)
        names = [text.rest_of_line(line) for line in lines.tolist()]
        number = {name: k for k, name in enumerate(dict.fromkeys(names), 1)}
        white = MtlMaterial(MeshMaterial())  # for faces before the first usemtl, and for unknown names
        of_line = np.array([0, *(number[name] for name in names)])
        return [white, *(known.get(name, white) for name in number)], of_line[np.searchsorted(lines, self._faces)]


def _joined(content: bytes) -> bytes:
    """Join the continuation lines of vertices and faces; every byte keeps its offset."""
    if not _CONTINUED.search(content):
        return content
    return _STATEMENT.sub(lambda match: _CONTINUED.sub(lambda end: b" " * len(end[0]), match[0]), content)
