# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration of a simulation; mirrors `cpp/include/diffmpm/mpm/params.hpp`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from .errors import ConfigError

Basis = Literal["quadratic", "cubic"]
Material = Literal["fixed_corotated", "neo_hookean"]
Boundary = Literal["none", "sticky", "slip", "separate"]

BASES: tuple[str, ...] = get_args(Basis)
MATERIALS: tuple[str, ...] = get_args(Material)
BOUNDARIES: tuple[str, ...] = get_args(Boundary)

SMALLEST, LARGEST = 1e-30, 1e30
"""Magnitudes that options may have: beyond them products of a few leave the range of float64."""


@dataclass(frozen=True)
class HalfSpace:
    """Analytic collider: grid nodes with (x - point) . normal < 0 are inside."""

    point: tuple[float, float, float]
    """A point of the plane [m]."""
    normal: tuple[float, float, float]
    """Outward normal; normalised on construction."""
    mode: Boundary = "separate"
    """What inside nodes do: "sticky" v = 0, "slip" no normal velocity, "separate" no velocity into the collider."""

    def __post_init__(self) -> None:
        normal = np.array(_triple(self.normal, "normal"))
        largest = float(np.abs(normal).max())
        if largest == 0.0:
            raise ConfigError(f"normal: expected three numbers of non-zero length, got {self.normal!r}")
        normal /= largest  # whose square neither overflows nor vanishes
        object.__setattr__(self, "normal", tuple(float(c) for c in normal / np.linalg.norm(normal)))
        object.__setattr__(self, "point", _triple(self.point, "point"))
        choice(self.mode, "mode", BOUNDARIES[1:])


@dataclass(frozen=True)
class Sphere:
    """Analytic collider: grid nodes closer to the centre than the radius are inside."""

    center: tuple[float, float, float]
    """Centre [m]."""
    radius: float
    """Radius [m], above 0."""
    mode: Boundary = "separate"
    """As for `HalfSpace`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", _triple(self.center, "center"))
        _number(self.radius, "radius", above=0.0)
        choice(self.mode, "mode", BOUNDARIES[1:])


@dataclass(frozen=True, kw_only=True)
class SimConfig:
    """Grid, time step, material and options of an MLS-MPM simulation.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    dx: float
    """Grid spacing [m], above 0."""
    dt: float
    """Time step [s], above 0."""
    origin: tuple[float, float, float] | None = None
    """Position [m] of node (0, 0, 0). None: three times the particles' bounding box, centred on it."""
    dims: tuple[int, int, int] | None = None
    """Number of grid nodes per axis; memory follows the particles, not this. None: see `origin`."""
    basis: Basis = "cubic"
    """B-spline of the transfers: "quadratic" (27 nodes) or "cubic" (64 nodes)."""
    material: Material = "fixed_corotated"
    """Constitutive model."""
    boundary: Boundary = "none"
    """Condition on the outer node layers of the grid."""
    boundary_nodes: int = 3
    """Number of outer node layers that the condition acts on."""
    smoothing: float = 0.0
    """Share s in [0, 1) of the old F that (7) keeps."""
    drag: float = 0.0
    """Linear drag [1/s], at least 0."""
    gravity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Acceleration [m/s^2] of every grid node."""
    shear_viscosity: float = 0.0
    """Factor [Pa s] of 2 dev(sym C) in the Kirchhoff stress, at least 0."""
    bulk_viscosity: float = 0.0
    """Factor [Pa s] of tr(C) I in the Kirchhoff stress, at least 0."""
    damping: float = 0.0
    """Share in [0, 1) of sym(C') that each step removes."""
    volume_carried: bool = False
    """Whether F' is rescaled so that its determinant is det(F) det(I + dt C')."""
    colliders: tuple[HalfSpace | Sphere, ...] = ()
    """Analytic colliders, applied in order before the outer boundary."""

    def __post_init__(self) -> None:
        _number(self.dx, "dx", above=0.0)
        _number(self.dt, "dt", above=0.0)
        if (self.origin is None) != (self.dims is None):
            raise ConfigError("origin: expected both origin and dims or neither, got one of them")
        if self.origin is not None and self.dims is not None:
            object.__setattr__(self, "origin", _triple(self.origin, "origin"))
            object.__setattr__(self, "dims", _dims(self.dims))
        choice(self.basis, "basis", BASES)
        choice(self.material, "material", MATERIALS)
        choice(self.boundary, "boundary", BOUNDARIES)
        nodes = self.boundary_nodes
        if not (is_real(nodes) and 0 <= nodes <= 1 << 20 and int(nodes) == nodes):
            raise ConfigError(f"boundary_nodes: expected an integer >= 0, got {nodes!r}")
        if not isinstance(self.volume_carried, bool | np.bool_):
            raise ConfigError(f"volume_carried: expected True or False, got {self.volume_carried!r}")
        _number(self.smoothing, "smoothing", least=0.0, below=1.0)
        _number(self.damping, "damping", least=0.0, below=1.0)
        for name in ("drag", "shear_viscosity", "bulk_viscosity"):
            _number(getattr(self, name), name, least=0.0)
        object.__setattr__(self, "gravity", _triple(self.gravity, "gravity"))
        if not isinstance(self.colliders, tuple | list):
            raise ConfigError(f"colliders: expected a tuple of HalfSpace and Sphere, got {self.colliders!r}")
        object.__setattr__(self, "colliders", tuple(self.colliders))
        for collider in self.colliders:
            if not isinstance(collider, HalfSpace | Sphere):
                raise ConfigError(f"colliders: expected HalfSpace or Sphere, got {type(collider).__name__}")

    def replace(self, **changes: object) -> SimConfig:
        """Return a copy with some fields changed and everything checked again."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ConfigError(f"{unknown[0]}: expected a field of SimConfig, one of {sorted(values)}")
        return SimConfig(**{**values, **changes})


def lame_parameters(E: float, nu: float) -> tuple[float, float]:
    """Return (lam, mu) [Pa] of Young's modulus E [Pa] and Poisson's ratio nu.

    Raises:
        ConfigError: If E <= 0 or nu is outside (-1, 0.5).
    """
    _number(E, "E", above=0.0)
    if not (is_real(nu) and -1.0 < nu < 0.5):
        raise ConfigError(f"nu: expected a number in (-1, 0.5), got {nu!r}")
    return E * nu / ((1.0 + nu) * (1.0 - 2.0 * nu)), E / (2.0 * (1.0 + nu))


def _number(
    value: float, name: str, *, above: float | None = None, least: float | None = None, below: float | None = None
) -> None:
    limits = [f"> {above:g}"] if above is not None else []
    limits += [f">= {least:g}"] if least is not None else []
    limits += [f"< {below:g}"] if below is not None else []
    good = is_real(value) and bool(np.isfinite(float(value)))
    good = good and (above is None or value > above) and (least is None or value >= least)
    if not (good and (below is None or value < below)):
        raise ConfigError(f"{name}: expected a finite number {' and '.join(limits)}, got {value!r}")
    if not (value == 0 or SMALLEST <= abs(value) <= LARGEST):
        raise ConfigError(f"{name}: expected a magnitude from {SMALLEST:g} to {LARGEST:g}, got {value!r}")


def is_real(value: object) -> bool:
    """Return whether a value is one real number in the range of float64, and no bool; it may be NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def choice(value: object, name: str, choices: Iterable[str]) -> None:
    """Refuse what is none of the choices.

    Raises:
        ConfigError: If it is none.
    """
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _triple(value: object, name: str) -> tuple[float, float, float]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name}: expected three numbers, got {value!r}") from None
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ConfigError(f"{name}: expected three finite numbers, got {value!r}")
    if np.abs(array).max() > LARGEST:
        raise ConfigError(f"{name}: expected magnitudes up to {LARGEST:g}, got {value!r}")
    return float(array[0]), float(array[1]), float(array[2])


def _dims(value: object) -> tuple[int, int, int]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different length
        array = np.empty(0)
    if array.shape != (3,) or array.dtype.kind not in "iu":
        raise ConfigError(f"dims: expected three integers, got {value!r}")
    if (array < 8).any() or (array > 1 << 20).any():
        raise ConfigError(f"dims: expected between 8 and {1 << 20} nodes per axis, got {tuple(array.tolist())}")
    return int(array[0]), int(array[1]), int(array[2])
