# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Object File Format (text): vertices and polygons; normals, colours and texture coordinates are skipped."""

from __future__ import annotations

import re

import numpy as np

from .._surfaces import Surface
from .polygons import triangulate
from .text import Text, first_true, plain, spans, without_comments

_HEADER = re.compile(rb"\s*(?:(?:ST)?C?N?(4?n?)OFF|[Oo]ff)(?=[\s\d]|$)(\s+BINARY)?")


def read_off(content: bytes, name: str) -> Surface:
    """Read an .off file."""
    original = plain(content, name)
    body = without_comments(original)
    header = _HEADER.match(body)
    if header and (header[1] or header[2]):
        variant = " ".join(header[0].decode().split())
        Text(body, name).fail(0, f"expected OFF in three dimensions as text, got {variant}; export the mesh again")
    if header:
        body = b" " * header.end() + body[header.end() :]
    text = Text(body, name, original)
    if not header and not re.match(rb"\s*\d+\s+\d", body):
        text.fail(0, "expected a readable .off file, which begins with OFF and the vertex and face counts")
    end = len(text.starts)
    if end < 2:
        text.fail(end, "expected the vertex and face counts, got the end of the file")
    n, face_count = (int(count) for count in text.integers(np.arange(2)))
    if n < 0 or face_count < 0:
        text.fail(0, f"expected vertex and face counts of at least 0, got {n} and {face_count}")
    declared = f"{n} vertices and {face_count} faces"
    first_line = int(np.searchsorted(np.cumsum(text.counts), 2)) + 1  # after the counts, which may span two lines
    lines, counts = text.heads[first_line:], text.counts[first_line:]
    if len(lines) < n + face_count:
        message = f"expected {declared}, got {len(lines)} lines of both; the file ends early, export the mesh again"
        text.fail(end, message)
    if len(lines) > n + face_count:
        message = f"expected the end of the file after {declared}, got another line; export the mesh again"
        text.fail(int(lines[n + face_count]), message)
    if (row := first_true(counts[:n] < 3)) is not None:
        text.fail(int(lines[row]), f"expected three coordinates, got {counts[row]}; repair the mesh")
    if (row := first_true(counts[:n] != counts[:1])) is not None:
        text.fail(
            int(lines[row]),
            f"expected {counts[0]} numbers as in the first vertex, got {counts[row]}; "
            "the vertex count may be wrong, export the mesh again",
        )
    vertices = text.numbers(lines[:n, None] + np.arange(3))
    faces, lengths = lines[n:], counts[n:] - 1
    sizes = text.integers(faces)
    if (row := first_true((sizes < 0) | (sizes > lengths))) is not None:
        text.fail(int(faces[row]), f"expected a face of {sizes[row]} corners, got {lengths[row]} numbers")
    words = spans(faces + 1, sizes)
    corners = text.integers(words)
    if (k := first_true((corners < 0) | (corners >= n))) is not None:
        text.fail(int(words[k]), f"expected a vertex from 0 to {n - 1}, got {int(corners[k])}; repair the mesh")
    return Surface(vertices, triangulate(vertices, corners, sizes))
