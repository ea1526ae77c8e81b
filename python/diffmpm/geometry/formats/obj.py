# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Wavefront .obj files: vertices and polygons; points, lines, curves, normals and textures are skipped."""

from __future__ import annotations

import re

import numpy as np

from .._surfaces import Surface
from .polygons import triangulate
from .text import Text, first_true, plain, spans, without_comments

_CONTINUED = re.compile(rb"\\[ \t]*\n")
_STATEMENT = re.compile(rb"^[ \t]*(?:v|fo?)(?=[ \t\\])[^\\\n]*(?:\\[ \t]*\n[^\\\n]*)*", re.MULTILINE)
"""A vertex or face with its continuation lines. A name, such as a Windows folder, may also end in a backslash."""


def read_obj(content: bytes, name: str) -> Surface:
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
    indices = text.integers(words, until="/")
    # Index 1 is the first vertex of the file, -1 the last one above the face.
    corners = np.where(indices > 0, indices - 1, indices + np.repeat(np.searchsorted(v, f), sizes))
    if (k := first_true((indices == 0) | (corners < 0) | (corners >= len(vertices)))) is not None:
        word = int(words[k])
        above = int(np.searchsorted(text.heads[v], word))
        expected = f"from 1 to {len(vertices)}" if indices[k] >= 0 else f"from -{above} to -1"
        remedy = "vertices are numbered from 1" if indices[k] == 0 else "repair the mesh"
        text.fail(word, f"expected a vertex {expected}, got {text.word(word)!r}; {remedy}")
    return Surface(vertices, triangulate(vertices, corners, sizes))


def _joined(content: bytes) -> bytes:
    """Join the continuation lines of vertices and faces; every byte keeps its offset."""
    if not _CONTINUED.search(content):
        return content
    return _STATEMENT.sub(lambda match: _CONTINUED.sub(lambda end: b" " * len(end[0]), match[0]), content)
