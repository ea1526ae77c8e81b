# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Built-in shapes: closed meshes from formulas.

Every shape encloses the volume of the unit sphere, 4/3 pi, has its centroid at the origin and z as the up axis; flat
shapes are extruded along y. A shape is one function and one line in `_SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..errors import MeshError
from . import _fields
from ._surfaces import Field, Surface, icosphere, implicit_surface, revolve, tube
from .mesh import Mesh, Solid, divergence

__all__ = ["make", "names"]

VOLUME = 4.0 / 3.0 * np.pi
"""Volume that every shape encloses [m^3]."""

_CELLS = 72
"""Cells along the longest edge of the box of an implicit shape: 10,000 to 30,000 triangles."""


def _box() -> Surface:
    corners = np.array(list(np.ndindex(2, 2, 2)), dtype=np.float64) - 0.5
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Surface(corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], dtype=np.int32))


def _torus() -> Surface:
    angle = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    return revolve(np.stack([1.0 + 0.4 * np.cos(angle), 0.4 * np.sin(angle)], axis=1), 96, closed=True)


def _capsule() -> Surface:
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 48)
    height = np.sin(angle) + np.where(angle > 0.0, 0.9, -0.9)
    return revolve(np.stack([np.cos(angle), height], axis=1), 96, closed=False)


def _trefoil() -> Surface:
    t = np.linspace(0.0, 2.0 * np.pi, 240, endpoint=False)
    x, y = np.sin(t) + 2.0 * np.sin(2.0 * t), np.cos(t) - 2.0 * np.cos(2.0 * t)
    return tube(np.stack([x, -1.2 * np.sin(3.0 * t), y], axis=1), 0.62, 40)


def _implicit(field: Field, half: tuple[float, float, float], cells: int = _CELLS) -> Callable[[], Surface]:
    return lambda: implicit_surface(field, half, cells)


_SHAPES: dict[str, Callable[[], Surface]] = {
    "sphere": lambda: icosphere(4),
    "box": _box,
    "torus": _torus,
    "capsule": _capsule,
    "cylinder": lambda: revolve(np.array([[0.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 1.0]]), 96, closed=False),
    "ring": lambda: revolve(np.array([[1.0, -0.3], [1.5, -0.3], [1.5, 0.3], [1.0, 0.3]]), 96, closed=True),
    "trefoil": _trefoil,
    "star": _implicit(_fields.star, (1.25, 0.6, 1.25), 84),
    "heart": _implicit(_fields.heart, (1.3, 0.8, 1.3)),
    "cross": _implicit(_fields.cross, (1.1, 1.1, 1.1)),
    "double_torus": _implicit(_fields.double_torus, (1.95, 0.5, 1.15)),
    "pretzel": _implicit(_fields.pretzel, (1.75, 0.5, 1.7)),
    "frame": _implicit(_fields.frame, (1.1, 1.1, 1.1), 48),
    "gear": _implicit(_fields.gear, (1.25, 0.4, 1.25)),
    **{f"letter_{k}": _implicit(_fields.letter(s), (1.05, 0.45, 1.35)) for k, s in _fields.LETTERS.items()},
}


def names() -> tuple[str, ...]:
    """Return the names of the built-in shapes."""
    return tuple(_SHAPES)


def make(name: str) -> Mesh:
    """Return a built-in shape: closed, oriented outward, volume 4/3 pi, centroid at the origin.

    Args:
        name: One of `names()`.

    Raises:
        MeshError: If the name is unknown.
    """
    if not isinstance(name, str) or name not in _SHAPES:
        raise MeshError(f"shape: expected one of {', '.join(_SHAPES)}, got {name!r}")
    return _built(name)


@cache
def _built(name: str) -> Mesh:
    surface = _SHAPES[name]()
    raw = Mesh(surface.vertices, surface.triangles, name)
    volume, center = divergence(raw)
    mesh = Mesh((raw.vertices - center) * (VOLUME / volume) ** (1.0 / 3.0), raw.triangles, name)
    for array in (mesh.vertices, mesh.triangles):
        array.flags.writeable = False  # the mesh is shared by all callers
    mesh.__dict__["solid"] = Solid(VOLUME, (0.0, 0.0, 0.0))
    return mesh
