# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Object File Format: vertices and polygons of text files, whatever normals, colours and textures stand behind them."""

from __future__ import annotations

import re

import numpy as np

from .polygons import triangulate
from .surface import Surface
from .text import Text, plain, spans, without_comments

_HEADER = re.compile(rb"\s*(?:(?:ST)?C?N?(4?n?)OFF|[Oo]ff)(?=[\s\d]|$)(\s+BINARY)?")


def read_off(content: bytes, name: str) -> Surface:
    """Read the vertices and faces of an .off file.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If it is binary, of another dimension, cut off or damaged; the message names the line.
    """
    original = plain(content, name)
    body = without_comments(original)
    header = _HEADER.match(body)
    if header and (header[1] or header[2]):
        kind = " ".join(header[0].decode().split())
        Text(body, name).fail(0, f"expected OFF in three dimensions as text, got {kind}; export the mesh again")
    if header:
        body = b" " * header.end() + body[header.end() :]
    text = Text(body, name, original)
    if not header and not re.match(rb"\s*\d+\s+\d", body):
        text.fail(0, "expected a readable .off file, which begins with OFF and numbers of vertices and faces")
    head = 1  # lines with the numbers of vertices and faces
    while head < len(text.heads) and text.counts[:head].sum() < 2:
        head += 1
    words = text.heads[0] + np.arange(2) if text.counts[:head].sum() >= 2 else np.array([len(text.starts)])
    if words[-1] >= len(text.starts):
        text.fail(len(text.starts), "expected the numbers of vertices and faces, got the end of the file")
    vertex_count, face_count = (int(n) for n in text.integers(words))
    if vertex_count < 0 or face_count < 0:
        text.fail(0, f"expected numbers of vertices and faces of at least 0, got {vertex_count} and {face_count}")
    lines, counts = text.heads[head:], text.counts[head:]
    if len(lines) < vertex_count + face_count:
        text.fail(
            len(text.starts),
            f"expected {vertex_count} vertices and {face_count} faces, got {len(lines)} lines of both; "
            "the file ends early, export the mesh again",
        )
    if len(lines) > vertex_count + face_count:
        text.fail(
            int(lines[vertex_count + face_count]),
            f"expected the end of the file after {vertex_count} vertices and {face_count} faces, got another line; "
            "export the mesh again",
        )
    short = np.flatnonzero(counts[:vertex_count] < 3)
    if short.size:
        text.fail(int(lines[short[0]]), f"expected three coordinates, got {counts[short[0]]}; repair the mesh")
    other = np.flatnonzero(counts[:vertex_count] != counts[:1])
    if other.size:
        text.fail(
            int(lines[other[0]]),
            f"expected {counts[0]} numbers as in the first vertex, got {counts[other[0]]}; "
            "the number of vertices may be wrong, export the mesh again",
        )
    vertices = text.numbers(lines[:vertex_count, None] + np.arange(3))
    faces = lines[vertex_count:]
    sizes = text.integers(faces)
    wrong = np.flatnonzero((sizes < 0) | (sizes >= counts[vertex_count:]))
    if wrong.size:
        at = int(wrong[0])
        text.fail(
            int(faces[at]), f"expected a face of {sizes[at]} corners, got {counts[vertex_count + at] - 1} numbers"
        )
    words = spans(faces + 1, sizes)
    corners = text.integers(words)
    text.check_indices(words, corners, vertex_count)
    return Surface(vertices, triangulate(vertices, corners, sizes))
