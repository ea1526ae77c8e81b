# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration of a simulation; `cpp/include/diffmpm/mpm/params.hpp` has the same fields."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ._options import Configuration, Range, as_number, as_triple, is_real, option
from .errors import ConfigError

Basis = Literal["quadratic", "cubic"]
Material = Literal["fixed_corotated", "neo_hookean"]
Boundary = Literal["none", "sticky", "slip", "separate"]
Condition = Literal["sticky", "slip", "separate"]

BASES: tuple[str, ...] = get_args(Basis)
MATERIALS: tuple[str, ...] = get_args(Material)
BOUNDARIES: tuple[str, ...] = get_args(Boundary)

_MODE = (
    'Condition on nodes inside: "sticky" v = 0, "slip" no normal velocity, "separate" no velocity into the collider.'
)


def _unit_vector(value: object, name: str) -> tuple[float, float, float]:
    normal = np.array(as_triple(value, name))
    largest = float(np.abs(normal).max())
    if largest == 0.0:
        raise ConfigError(f"{name}: expected three numbers of non-zero length, got {value!r}")
    normal /= largest  # so that the square neither overflows nor underflows
    x, y, z = normal / np.linalg.norm(normal)
    return float(x), float(y), float(z)


class HalfSpace(Configuration, kw_only=False):
    """Analytic collider: grid nodes with (x - point) . normal < 0 are inside."""

    point: tuple[float, float, float] = option(doc="A point of the plane.", unit="m")
    normal: tuple[float, float, float] = option(doc="Outward normal; normalised.", check=_unit_vector)
    mode: Condition = option(default="separate", doc=_MODE)


class Sphere(Configuration, kw_only=False):
    """Analytic collider: grid nodes closer to the centre than the radius are inside."""

    center: tuple[float, float, float] = option(doc="Centre.", unit="m")
    radius: float = option(doc="Radius.", unit="m", above=0)
    mode: Condition = option(default="separate", doc=_MODE)


def _dims(value: object, name: str) -> tuple[int, int, int]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different length
        array = np.empty(0)
    if array.shape != (3,) or array.dtype.kind not in "iu":
        raise ConfigError(f"{name}: expected three integers, got {value!r}")
    if (array < 8).any() or (array > 1 << 20).any():
        raise ConfigError(f"{name}: expected between 8 and {1 << 20} nodes per axis, got {tuple(array.tolist())}")
    return int(array[0]), int(array[1]), int(array[2])


def _colliders(value: object, name: str) -> tuple[HalfSpace | Sphere, ...]:
    """Return colliders; a table with a radius becomes a Sphere, another one a HalfSpace."""
    if not isinstance(value, tuple | list):
        raise ConfigError(f"{name}: expected a tuple of HalfSpace and Sphere, got {value!r}")
    colliders = []
    for item in value:
        if isinstance(item, dict):
            item = (Sphere if "radius" in item else HalfSpace).from_dict(item)
        if not isinstance(item, HalfSpace | Sphere):
            raise ConfigError(f"{name}: expected HalfSpace or Sphere, got {type(item).__name__}")
        colliders.append(item)
    return tuple(colliders)


class SimConfig(Configuration):
    """Grid, time step, material and options of an MLS-MPM simulation.

    Raises:
        ConfigError: If a value is out of range; the message names the field.
    """

    dx: float = option(doc="Grid spacing.", unit="m", above=0, group="grid")
    dt: float = option(doc="Time step.", unit="s", above=0)
    origin: tuple[float, float, float] | None = option(
        default=None,
        doc="Position of node (0, 0, 0). None: a grid of three times the bounding box of the particles, same centre.",
        unit="m",
    )
    dims: tuple[int, int, int] | None = option(
        default=None,
        doc="Number of grid nodes per axis; memory depends on the particles, not on it. None: see `origin`.",
        check=_dims,
        schema={"type": "array", "items": {"type": "integer", "minimum": 8}, "minItems": 3, "maxItems": 3},
    )
    basis: Basis = option(
        default="cubic", doc='B-spline of the transfers: "quadratic" (27 nodes) or "cubic" (64 nodes).'
    )
    boundary: Boundary = option(default="none", doc="Condition on the outer node layers of the grid.", group="boundary")
    boundary_nodes: int = option(
        default=3, doc="Number of outer node layers that the condition acts on.", least=0, most=1 << 20
    )
    colliders: tuple[HalfSpace | Sphere, ...] = option(
        default=(),
        doc="Analytic colliders, applied in order before the outer boundary.",
        check=_colliders,
        schema={"type": "array", "items": {"type": "object"}},
    )
    material: Material = option(default="fixed_corotated", doc="Constitutive model.", group="material")
    shear_viscosity: float = option(
        default=0.0, doc="Factor of 2 dev(sym C) in the Kirchhoff stress.", unit="Pa s", least=0
    )
    bulk_viscosity: float = option(default=0.0, doc="Factor of tr(C) I in the Kirchhoff stress.", unit="Pa s", least=0)
    smoothing: float = option(default=0.0, doc="Fraction of the old F in (7).", least=0, below=1)
    volume_carried: bool = option(
        default=False, doc="Whether F' is rescaled so that its determinant is det(F) det(I + dt C')."
    )
    gravity: tuple[float, float, float] = option(
        default=(0.0, 0.0, 0.0), doc="Acceleration of every grid node.", unit="m/s^2", group="motion"
    )
    drag: float = option(default=0.0, doc="Linear drag.", unit="1/s", least=0)
    damping: float = option(default=0.0, doc="Fraction of sym(C') that each step removes.", least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.origin is None) != (self.dims is None):
            raise ConfigError("origin: expected both origin and dims or neither, got one of them")


def lame_parameters(E: float, nu: float) -> tuple[float, float]:
    """Return (lam, mu) [Pa] of Young's modulus E [Pa] and Poisson's ratio nu.

    Raises:
        ConfigError: If E <= 0 or nu is outside (-1, 0.5).
    """
    as_number(E, "E", Range(above=0), SimConfig.magnitudes)
    if not (is_real(nu) and -1.0 < nu < 0.5):
        raise ConfigError(f"nu: expected a number in (-1, 0.5), got {nu!r}")
    return E * nu / ((1.0 + nu) * (1.0 - 2.0 * nu)), E / (2.0 * (1.0 + nu))
