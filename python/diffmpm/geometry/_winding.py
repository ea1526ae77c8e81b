# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Which triangles of a mesh have to be turned for its outside to be outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core
from .._arrays import Array

_NEARLY_CLOSED = 0.15
"""Area of cones from the border to the centre of a part, over its area, below which its shape tells its outside.

A ball with a hole of 33 degrees has this value; the lining of a blind hole has 0.25 or more, of a through hole 0.5."""
_FLAT = 1e-9
"""Volume over area^1.5 below which a part has no inside."""
_PROBES = 8
"""Points of a part that all have to be inside others for it to be nested."""
_OFF_SURFACE = 1e-3
"""Distance of these points from the surface, over the size of their triangle."""


@dataclass(frozen=True)
class Winding:
    """What `wind` found and what it did about it."""

    triangles: Array
    """Vertex indices, each part wound consistently and shells turned outside out."""
    inconsistent: int
    """Triangles that were wound against the rest of their part."""
    inverted: int
    """Shells that were inside out."""
    shells: int
    """Parts that are closed, or nearly so."""
    loose: Array
    """Whether the part of a triangle is neither, shape (T,): its outside is not known from its own shape."""


def wind(vertices: Array, triangles: Array) -> Winding:
    """Wind each connected part consistently, and turn closed parts outside out.

    A part consists of triangles connected across edges of exactly two. Within it the winding of the larger area counts.
    A closed part that is inside out is turned over. One inside of another part stays as it is, for it may bound a
    cavity; it is turned along with an outer one, so that it keeps its meaning.

    Args:
        vertices: Positions, shape (V, 3), float64.
        triangles: Vertex indices, shape (T, 3), int32.
    """
    part, turned, border = _core.mesh_parts(vertices, triangles)
    count = int(part.max()) + 1
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    corners = (vertices - middle)[triangles]
    doubled = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = 0.5 * np.linalg.norm(doubled, axis=1)

    def total(values: Array) -> Array:
        return np.bincount(part, values, count)

    minority = 2.0 * total(area * turned) > total(area)
    flip = turned.astype(bool) != minority[part]
    inconsistent = int(flip.sum())

    areas = np.maximum(total(area), np.finfo(np.float64).tiny)
    center = np.stack([total(area * corners[:, :, k].mean(axis=1)) for k in range(3)], axis=1) / areas[:, None]
    arms = corners - center[part][:, None]
    sixths = np.einsum("ij,ij->i", arms[:, 0], doubled) / 6.0
    volume = total(np.where(flip, -sixths, sixths))
    cones = np.zeros(count)
    for k in range(3):
        rows = np.flatnonzero(border & (1 << k))
        sides = np.cross(arms[rows, k], arms[rows, (k + 1) % 3])
        cones += np.bincount(part[rows], 0.5 * np.linalg.norm(sides, axis=1), count)
    is_shell = (cones <= _NEARLY_CLOSED * areas) & (np.abs(volume) > _FLAT * areas**1.5)
    inverted = is_shell & (volume < 0.0)
    if inverted.any() and is_shell.sum() > 1:
        outward = np.where((flip != inverted[part])[:, None], triangles[:, ::-1], triangles)
        probes, owner = _probes(vertices, outward, part, is_shell)

        def enclosed_by(parts: Array) -> Array:
            """Whether all probes of a part are inside of some of these others."""
            chosen = np.ascontiguousarray(outward[parts[part]])
            outside = _core.winding_number(vertices, chosen, probes) < 0.5
            return np.bincount(owner, outside, count) == 0

        nested = is_shell & enclosed_by(is_shell)
        inverted &= ~nested
        if inverted.any() and nested.any():
            inverted |= nested & enclosed_by(inverted)
    flip ^= inverted[part]
    wound = np.where(flip[:, None], triangles[:, ::-1], triangles) if flip.any() else triangles
    return Winding(wound, inconsistent, int(inverted.sum()), int(is_shell.sum()), ~is_shell[part])


def _probes(vertices: Array, outward: Array, part: Array, chosen: Array) -> tuple[Array, Array]:
    """Points a little outside of the surface of each chosen part, and the part of each."""
    order = np.argsort(part, kind="stable")
    sizes = np.bincount(part)
    first = np.cumsum(sizes) - sizes
    parts = np.flatnonzero(chosen)
    steps = (np.arange(_PROBES) + 0.5) / _PROBES
    rows = order[(first[parts, None] + (sizes[parts, None] * steps).astype(np.int64))]
    corners = vertices[outward[rows.ravel()]]
    doubled = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(doubled, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(length > 0.0, doubled / np.sqrt(length), 0.0)
    return np.ascontiguousarray(corners.mean(axis=1) + _OFF_SURFACE * offset), np.repeat(parts, _PROBES)
