# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Consistent, outward orientation of the triangles of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core
from .._arrays import Array

_NEARLY_CLOSED = 0.15
"""Area of the cone from the boundary of a part to its centre, relative to its area, below which it counts as closed.

A sphere with a hole of 33 degrees has this value; the lining of a blind hole 0.25 or more, of a through hole 0.5."""
_FLAT = 1e-9
"""Volume relative to area^1.5 below which a part has no interior."""
_PROBES = 8
"""Probe points per part; a part is nested if all of them are inside other parts."""
_OFF_SURFACE = 1e-3
"""Distance of the probes from the surface, relative to the size of their triangle."""


@dataclass(frozen=True)
class Winding:
    """Result of `wind`."""

    triangles: Array
    """Vertex indices; each part is wound consistently and each shell outward."""
    inconsistent: int
    """Number of triangles that were wound against the rest of their part."""
    inverted: int
    """Number of shells that were inside out."""
    shells: int
    """Number of shells: closed or nearly closed parts."""
    loose: Array
    """Whether a triangle belongs to no shell, shape (T,), so that its part does not define an outside."""


def doubled_areas(corners: Array) -> Array:
    """Return the normals of triangles with corners (T, 3, 3), scaled to twice the area."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def flipped(triangles: Array, mask: Array) -> Array:
    """Return triangles with the winding reversed where a mask, shape (T,), is true."""
    return np.where(mask[:, None], triangles[:, ::-1], triangles)


def wind(vertices: Array, triangles: Array) -> Winding:
    """Wind each connected part consistently, and closed parts outward.

    A part consists of triangles connected across edges with exactly two triangles. The winding of the larger area
    determines that of the part. A closed part that is inside out is flipped. A nested part may bound a cavity: it is
    flipped only together with the part around it.
    """
    part, turned, border = _core.mesh_parts(vertices, triangles)
    count = int(part.max()) + 1
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    corners = (vertices - middle)[triangles]
    doubled = doubled_areas(corners)
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
        outward = flipped(triangles, flip != inverted[part])
        probes, owner = _probes(vertices, outward, part, is_shell)

        def enclosed_by(parts: Array) -> Array:
            """Return which parts have all their probes inside the union of `parts`."""
            chosen = np.ascontiguousarray(outward[parts[part]])
            outside = _core.winding_number(vertices, chosen, probes) < 0.5
            return np.bincount(owner, outside, count) == 0

        nested = is_shell & enclosed_by(is_shell)
        inverted &= ~nested
        if inverted.any() and nested.any():
            inverted |= nested & enclosed_by(inverted)
    flip ^= inverted[part]
    return Winding(flipped(triangles, flip), inconsistent, int(inverted.sum()), int(is_shell.sum()), ~is_shell[part])


def _probes(vertices: Array, outward: Array, part: Array, chosen: Array) -> tuple[Array, Array]:
    """Return points slightly outside the surface of each chosen part, and the part of each point."""
    order = np.argsort(part, kind="stable")
    sizes = np.bincount(part)
    first = np.cumsum(sizes) - sizes
    parts = np.flatnonzero(chosen)
    steps = (np.arange(_PROBES) + 0.5) / _PROBES
    rows = order[(first[parts, None] + (sizes[parts, None] * steps).astype(np.int64))]
    corners = vertices[outward[rows.ravel()]]
    doubled = doubled_areas(corners)
    length = np.linalg.norm(doubled, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(length > 0.0, doubled / np.sqrt(length), 0.0)
    return np.ascontiguousarray(corners.mean(axis=1) + _OFF_SURFACE * offset), np.repeat(parts, _PROBES)
