# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Fields of the implicit shapes: negative inside, approximate signed distances near the surface."""

from __future__ import annotations

import numpy as np

from .._arrays import Array
from ._surfaces import Field

Stroke = tuple[float, ...]
"""Stroke of a letter: a segment (x0, z0, x1, z1), or an arc (x, z, radius, start, end) with angles in degrees."""

_STROKE = 0.2
"""Half width of the strokes of letters."""
_DEPTH = 0.28
"""Half depth of letters."""
_ROUND = 0.08
"""Edge radius of flat shapes."""

LETTERS: dict[str, list[Stroke]] = {
    "a": [(-0.7, -1.0, 0.0, 1.0), (0.0, 1.0, 0.7, -1.0), (-0.42, -0.35, 0.42, -0.35)],
    "b": [
        *((-0.6, -1.0, -0.6, 1.0), (-0.6, 1.0, 0.1, 1.0), (-0.6, 0.0, 0.1, 0.0), (-0.6, -1.0, 0.1, -1.0)),
        *((0.1, 0.5, 0.5, -90.0, 90.0), (0.1, -0.5, 0.5, -90.0, 90.0)),
    ],
    "m": [(-0.8, -1.0, -0.8, 1.0), (-0.8, 1.0, 0.0, -0.2), (0.0, -0.2, 0.8, 1.0), (0.8, 1.0, 0.8, -1.0)],
    "o": [
        *((0.0, 0.3, 0.7, 0.0, 180.0), (0.0, -0.3, 0.7, 180.0, 360.0)),
        *((-0.7, -0.3, -0.7, 0.3), (0.7, -0.3, 0.7, 0.3)),
    ],
    "s": [(0.0, 0.5, 0.5, 20.0, 270.0), (0.0, -0.5, 0.5, -160.0, 90.0)],
    "x": [(-0.7, -1.0, 0.7, 1.0), (-0.7, 1.0, 0.7, -1.0)],
}


def _segment(x: Array, z: Array, stroke: Stroke) -> Array:
    x0, z0, x1, z1 = stroke
    dx, dz = x1 - x0, z1 - z0
    t = np.clip(((x - x0) * dx + (z - z0) * dz) / (dx * dx + dz * dz), 0.0, 1.0)
    return np.hypot(x - x0 - t * dx, z - z0 - t * dz)


def _arc(x: Array, z: Array, stroke: Stroke) -> Array:
    cx, cz, radius, first, last = stroke
    middle, half = np.radians(0.5 * (first + last)), np.radians(0.5 * (last - first))
    u, w = x - cx, z - cz
    turned = np.arctan2(w, u) - middle
    angle = np.clip((turned + np.pi) % (2.0 * np.pi) - np.pi, -half, half) + middle
    return np.asarray(np.hypot(u - radius * np.cos(angle), w - radius * np.sin(angle)))


def _extruded(flat: Array, y: Array, depth: float, rounding: float = _ROUND) -> Array:
    """Extrude a plane figure, defined by its distance, along y and round its edges."""
    a, b = flat + rounding, np.abs(y) - depth + rounding
    return np.minimum(np.maximum(a, b), 0.0) + np.hypot(np.maximum(a, 0.0), np.maximum(b, 0.0)) - rounding


def _smooth_union(a: Array, b: Array, width: float) -> Array:
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0.0, 1.0)
    return b + (a - b) * h - width * h * (1.0 - h)


def letter(strokes: list[Stroke]) -> Field:
    """Return the field of a letter: strokes with round ends in the x-z plane, extruded along y."""

    def field(x: Array, y: Array, z: Array) -> Array:
        parts = [_segment(x, z, s) if len(s) == 4 else _arc(x, z, s) for s in strokes]
        return _extruded(np.minimum.reduce(parts) - _STROKE, y, _DEPTH)

    return field


def star(x: Array, y: Array, z: Array) -> Array:
    """Five-pointed star, thickest in the middle."""
    sector = 2.0 * np.pi / 5.0
    angle = (np.arctan2(x, z) + 0.5 * sector) % sector - 0.5 * sector
    r = np.hypot(x, z)
    u, w = r * np.cos(angle), np.abs(r * np.sin(angle))
    # Signed distance from the edge between the tip (1, 0) and the notch at half a sector, positive outside.
    notch = 0.48
    nu, nw = notch * np.cos(0.5 * sector), notch * np.sin(0.5 * sector)
    side = (u - 1.0) * nw + w * (1.0 - nu)
    edge = np.sign(side) * _segment(u, w, (1.0, 0.0, nu, nw))
    # The thickness grows with the distance from the edge.
    return _extruded(edge - 0.1, np.abs(y) + 0.35 * np.minimum(edge, 0.1), 0.3, 0.1)


def heart(x: Array, y: Array, z: Array) -> Array:
    """Taubin's heart, (x^2 + 9/4 y^2 + z^2 - 1)^3 = (x^2 + 9/80 y^2) z^3, as cube roots: nonzero slope at z = 0."""
    return np.asarray(x**2 + 2.25 * y**2 + z**2 - 1.0 - np.cbrt(x**2 + 0.1125 * y**2) * z)


def cross(x: Array, y: Array, z: Array) -> Array:
    """Three rounded bars along the axes."""
    bars = [_smooth_box(x, y, z, half) for half in ((1.0, 0.32, 0.32), (0.32, 1.0, 0.32), (0.32, 0.32, 1.0))]
    return np.asarray(np.minimum.reduce(bars))


def _smooth_box(x: Array, y: Array, z: Array, half: tuple[float, float, float]) -> Array:
    q = np.stack([np.abs(c) - h + _ROUND for c, h in zip((x, y, z), half, strict=True)])
    return np.asarray(np.minimum(q.max(axis=0), 0.0) + np.sqrt((np.maximum(q, 0.0) ** 2).sum(axis=0)) - _ROUND)


def _upright_torus(x: Array, y: Array, z: Array, cx: float, cz: float, radius: float, tube: float) -> Array:
    return np.hypot(np.hypot(x - cx, z - cz) - radius, y) - tube


def double_torus(x: Array, y: Array, z: Array) -> Array:
    """Smooth union of two tori side by side."""
    left = _upright_torus(x, y, z, -0.85, 0.0, 0.7, 0.3)
    right = _upright_torus(x, y, z, 0.85, 0.0, 0.7, 0.3)
    return _smooth_union(left, right, 0.3)


def pretzel(x: Array, y: Array, z: Array) -> Array:
    """Smooth union of three tori in a triangle: three holes."""
    rings = [_upright_torus(x, y, z, 0.75 * np.sin(a), 0.75 * np.cos(a), 0.62, 0.25) for a in np.radians([0, 120, 240])]
    return _smooth_union(_smooth_union(rings[0], rings[1], 0.2), rings[2], 0.2)


def frame(x: Array, y: Array, z: Array) -> Array:
    """Edges of a cube as round bars: five holes."""
    q = np.sort(np.abs(np.stack([x, y, z])), axis=0)
    # The nearest edge runs along the axis of the smallest coordinate.
    return np.asarray(np.sqrt(np.maximum(q[0] - 0.8, 0.0) ** 2 + (q[1] - 0.8) ** 2 + (q[2] - 0.8) ** 2) - 0.22)


def gear(x: Array, y: Array, z: Array) -> Array:
    """Wheel with ten teeth and a hole."""
    r = np.hypot(x, z)
    outline = 0.95 + 0.12 * np.tanh(3.5 * np.cos(10.0 * np.arctan2(x, z)))  # 3.5: steepness of the flanks
    return _extruded(np.maximum(r - outline, 0.38 - r), y, 0.3, 0.06)
