# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration of a morph and its presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from .._arrays import as_positive, check_device_name
from .._placement import AXES
from ..config import BASES, MATERIALS, Basis, Material, choice
from ..errors import ConfigError

Schedule = Literal["joint", "layered"]
Loss = Literal["log_mass", "squared_mass"]

SCHEDULES: tuple[str, ...] = ("joint", "layered")
LOSSES: tuple[str, ...] = ("log_mass", "squared_mass")
OPTIMIZERS: tuple[str, ...] = ("adam", "gradient_descent", "lbfgs")

_SMALLEST, _LARGEST = 1e-12, 1e12
"""Limits of all numbers above 0: beyond them, products leave the range of float32."""
CANONICAL_RADIUS = 7.0
"""Radius of the ball that has the target's volume in the optimiser's own units."""


@dataclass(frozen=True, kw_only=True)
class MorphConfig:
    """Every knob of a morph. Lengths, times and stresses are in canonical units, in which the target has the volume
    of a ball of radius 7; meshes of any scale and position therefore share the defaults.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """  # noqa: D205

    particles: int = 20_000
    """Number of particles of the body, and of the target sample; at least 8."""
    seed: int = 0
    """Seed of the sampling of both meshes, at least 0."""
    fit: bool = True
    """Whether the source is scaled to the target's volume and moved to its centroid."""
    up: Literal["auto", "x", "y", "z"] = "auto"
    """Axis that is up in source and target. "auto": y in .glb and .gltf files, z in .stl files, else that of the other
    mesh, or z; where they differ, the fit turns the source until its up is that of the target."""
    windows: int = 120
    """Largest number of windows of the chain, at least 1."""
    steps: int = 20
    """Driven steps a window (T), at least 1."""
    released_steps: int = 0
    """Steps without control after them; the loss is read at their end."""
    iterations: int = 1
    """Optimiser iterations a window ("joint"), at least 1."""
    control_stride: int = 1
    """Steps from one control layer to the next, at least 1."""
    schedule: Schedule = "joint"
    """"joint" moves all control layers of a window at once; "layered" one after the other, as Xu et al."""
    passes: int = 3
    """Passes over the layers ("layered"), at least 1."""
    optimizer: Literal["adam", "gradient_descent", "lbfgs"] = "adam"
    """Optimiser of the controls."""
    beta1: float = 0.9
    """Adam: decay of the mean, in [0, 1)."""
    beta2: float = 0.999
    """Adam: decay of the mean square, in [0, 1)."""
    eps: float = 1e-3
    """Adam: added to the root of the mean square of the normalised gradient, above 0."""
    step: float = 0.01
    """First step of each line search, above 0."""
    shrink: float = 0.5
    """Factor from one trial step to the next, in (0, 1)."""
    trials: int = 10
    """Largest number of trial steps of a line search, at least 1."""
    loss: Loss = "log_mass"
    """Mass loss: difference of log(1 + m / m_ref), or of the masses."""
    m_ref: float = 1.0
    """Reference mass of the log loss for a cell of size 1, proportional to the cell's volume, above 0."""
    outside_weight: float = 1.0
    """Weight of grid nodes without target mass, above 0."""
    kinetic_weight: float = 0.0
    """Weight of the mean squared speed at the end of a window; 0 leaves the term out."""
    density_weight: float = 1.0
    """Weight of the squared difference of the masses, in masses of a full cell: it spreads what the log piles up."""
    fine_weight: float = 1.0
    """Weight of the log mass loss on a grid with `fine_ratio` times the nodes an axis: it smooths the surface."""
    fine_ratio: float = 2.0
    """Simulation cells over cells of that grid, above 0."""
    distance_weight: float = 100.0
    """Weight of the mass outside the target times its distance, in full cells times cells: it brings all of it home."""
    volume_carried: bool = True
    """Whether det F follows the volume of the motion although F is smoothed, so that pressure keeps the volume."""
    velocity_kept: float = 0.5
    """Share of v and C that enters the next window, in [0, 1]."""
    assimilation: float = 0.0
    """Plastic assimilation eta in [0, 1]: Fp becomes S_e^eta Fp after each window; 0 leaves the rest shape."""
    cells: float = 26.0
    """Bounding-box diagonal of the larger shape, in cells, up to 40,000 particles; grows with N^(1/3) above."""
    time_step: float = 1.0 / 120.0
    """Time step of a cell of size 1; proportional to the cell."""
    basis: Basis = "cubic"
    """B-spline of the transfers."""
    material: Material = "fixed_corotated"
    """Constitutive model."""
    density: float = 75.0
    """Mass per volume, above 0."""
    lam: float = 38_888.89
    """First Lame parameter, at least 0."""
    mu: float = 58_333.3
    """Shear modulus, at least 0."""
    smoothing: float = 0.955
    """Smoothing factor s of F, in [0, 1)."""
    drag: float = 0.5
    """Drag, at least 0."""
    tolerance: float = 0.02
    """The chain has converged when `patience` windows lowered the best loss by less than this share."""
    patience: int = 20
    """Windows that the test of convergence looks back, at least 1."""
    frame_motion: float = 0.1
    """A frame is stored whenever the body has moved on average by this many cells since the last, above 0."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the simulation."""
    device: str = "cpu"
    """Where windows are computed: "cpu", "cuda:N", "cuda" for the current CUDA device, or "auto",
    there if there is one."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _of_kind(field.name, getattr(self, field.name), type(field.default)))
        for name, least in _WHOLE.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: expected a whole number >= {least}, got {getattr(self, name)}")
        for name in _POSITIVE + _NOT_NEGATIVE:
            value = as_positive(getattr(self, name), name, zero=name in _NOT_NEGATIVE)
            if value > _LARGEST or 0.0 < value < _SMALLEST:
                raise ConfigError(f"{name}: expected a number from {_SMALLEST:g} to {_LARGEST:g}, got {value:g}")
        for name, (low, high, closed) in _RANGE.items():
            value = getattr(self, name)
            if not (low <= value < high or (closed and value == high)):
                raise ConfigError(f"{name}: expected a number in [{low:g}, {high:g}{'])'[not closed]}, got {value!r}")
        if self.shrink == 0.0:
            raise ConfigError("shrink: expected a number in (0, 1), got 0; 0.5 halves the step")
        for name, choices in _CHOICES.items():
            choice(getattr(self, name), name, choices)
        check_device_name(self.device, auto=True)

    @property
    def layers(self) -> int:
        """Number of control layers of a window."""
        return -(-self.steps // self.control_stride)

    def replace(self, **changes: Any) -> MorphConfig:
        """Return a copy with other values.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise ConfigError(f"{name}: no such option of a morph; expected one of {', '.join(sorted(known))}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


_WHOLE = {
    "particles": 8,
    "seed": 0,
    "windows": 1,
    "steps": 1,
    "released_steps": 0,
    "iterations": 1,
    "control_stride": 1,
    "passes": 1,
    "trials": 1,
    "patience": 1,
}
_POSITIVE = ("fine_ratio", "eps", "step", "m_ref", "outside_weight", "cells", "time_step", "density", "frame_motion")
_NOT_NEGATIVE = ("kinetic_weight", "density_weight", "fine_weight", "distance_weight", "lam", "mu", "drag", "tolerance")
_RANGE = {
    "beta1": (0.0, 1.0, False),
    "beta2": (0.0, 1.0, False),
    "shrink": (0.0, 1.0, False),
    "smoothing": (0.0, 1.0, False),
    "velocity_kept": (0.0, 1.0, True),
    "assimilation": (0.0, 1.0, True),
}
_CHOICES = {
    "up": ("auto", *AXES),
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "basis": BASES,
    "material": MATERIALS,
    "dtype": ("float32", "float64"),
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"windows": 30, "tolerance": 0.05, "patience": 10},
    "quality": {"windows": 300, "tolerance": 0.01, "patience": 40},
    "xu": {
        "schedule": "layered",
        "optimizer": "gradient_descent",
        "passes": 3,
        "steps": 10,
        "windows": 30,
        "step": 0.005,
        "velocity_kept": 0.25,
    },
}
"""Named sets of options: "default", "fast" (stops early), "quality" (goes on for longer) and "xu", the published
schedule of Xu et al. (layer after layer, normalised gradient, step halved until the loss falls)."""


def preset(name: str, **changes: Any) -> MorphConfig:
    """Return the configuration of a preset, with changes.

    Args:
        name: A key of `PRESETS`.
        **changes: Fields of `MorphConfig`.

    Raises:
        ConfigError: If the preset is unknown, or a change does not fit.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return MorphConfig().replace(**{**PRESETS[name], **changes})


def _of_kind(name: str, value: Any, kind: type) -> Any:
    """Return a value as the kind of the default, which JSON knows; refuse others before anything compares them."""
    if kind is float:
        good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        text = "a number"
    elif kind is int:
        good = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        text = "a whole number"
    else:
        good, text = isinstance(value, kind), {bool: "True or False", str: "a name"}[kind]
    if not good:
        raise ConfigError(f"{name}: expected {text}, got {value!r}")
    try:
        return kind(value)
    except OverflowError:
        raise ConfigError(f"{name}: expected a number that fits into 64 bits, got a larger one") from None
