# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Wavefront .obj files: vertices and polygons; points, lines, curves, normals and textures have no part in a solid."""

from __future__ import annotations

import re

import numpy as np

from .polygons import triangulate
from .surface import Surface
from .text import Text, plain, spans, without_comments

_CONTINUED = re.compile(rb"\\[ \t]*\n")
_STATEMENT = re.compile(rb"^[ \t]*(?:v|fo?)(?=[ \t\\])[^\\\n]*(?:\\[ \t]*\n[^\\\n]*)*", re.MULTILINE)
"""A vertex or face with the lines that continue it; a name, such as a folder of Windows, may end in a backslash."""


def read_obj(content: bytes, name: str) -> Surface:
    """Read the vertices and faces of an .obj file; all its objects and groups together.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If a vertex or face cannot be read; the message names the line.
    """
    original = plain(content, name)
    text = Text(_joined(without_comments(original)), name, original)
    v = np.flatnonzero(text.is_word(text.heads, b"v"))
    f = np.flatnonzero(text.is_word(text.heads, b"f") | text.is_word(text.heads, b"fo"))
    for lines, least, what in ((v, 3, "three coordinates"), (f, 3, "a face of three corners or more")):
        short = lines[text.counts[lines] <= least]
        if short.size:
            head, count = int(text.heads[short[0]]), int(text.counts[short[0]]) - 1
            text.fail(head, f"expected {what}, got {count}; {text.remedy(head + min(count, 1))}")
    vertices = text.numbers(text.heads[v, None] + np.arange(1, 4))
    sizes = text.counts[f] - 1
    words = spans(text.heads[f] + 1, sizes)
    indices = text.integers(words, until="/")
    # 1 is the first vertex of the file, -1 the last one above the face.
    corners = np.where(indices > 0, indices - 1, indices + np.repeat(np.searchsorted(v, f), sizes))
    wrong = (indices == 0) | (corners < 0) | (corners >= len(vertices))
    if wrong.any():
        at = int(np.argmax(wrong))
        above = int(np.searchsorted(text.heads[v], words[at]))
        expected = f"from 1 to {len(vertices)}" if indices[at] >= 0 else f"from -{above} to -1"
        remedy = "; vertices are numbered from 1" if indices[at] == 0 else "; repair the mesh"
        text.fail(int(words[at]), f"expected a vertex {expected}, got {text.word(int(words[at]))!r}{remedy}")
    return Surface(vertices, triangulate(vertices, corners, sizes))


def _joined(content: bytes) -> bytes:
    """Join vertices and faces that a backslash continues on the next line; no byte changes its place."""
    if not _CONTINUED.search(content):
        return content
    return _STATEMENT.sub(lambda match: _CONTINUED.sub(lambda end: b" " * len(end[0]), match[0]), content)
