# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of the legacy interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from .. import _options
from .._options import Range
from .._repr import short_repr
from ..errors import ConfigError


class OptionNameError(ConfigError, AttributeError):
    """An option does not exist."""


class OptionTypeError(ConfigError, TypeError):
    """An option, or an argument of this interface, has the wrong type."""


def as_instance(value: object, name: str, cls: type, remedy: str = "") -> Any:
    """Return `value` if it is an instance of `cls`; raise an OptionTypeError otherwise."""
    if not isinstance(value, cls):
        hint = f"; {remedy}" if remedy else ""
        raise OptionTypeError(f"{name}: expected {cls.__name__}, got {type(value).__name__}{hint}")
    return value


def as_integer(value: object, name: str, least: int) -> int:
    """Return an integer that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise OptionTypeError(f"{name}: expected an integer, got {value!r}")
    return _options.as_integer(value, name, Range(least=least))


def as_number(value: object, name: str, within: Range) -> float:
    """Return a finite number within limits."""
    if not _options.is_real(value):
        raise OptionTypeError(f"{name}: expected a number, got {value!r}")
    return _options.as_number(value, name, within)


def as_triple(value: object, name: str) -> tuple[float, float, float]:
    """Return three finite numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (3,) or array.dtype.kind not in "fiu":
        raise OptionTypeError(f"{name}: expected three numbers, got {value!r}")
    return _options.as_triple(array, name)


def _path(value: object, name: str) -> str:
    if not isinstance(value, str | os.PathLike):
        raise OptionTypeError(f"{name}: expected a path, got {value!r}")
    return os.fsdecode(value)


def _force(value: object, name: str) -> tuple[float, float, float]:
    is_zero = _options.is_real(value) and value == 0
    return (0.0, 0.0, 0.0) if is_zero else as_triple(value, name)


def _option(default: Any, check: Callable[[object, str], Any]) -> Any:
    return field(default=default, metadata={"check": check})


def _number(default: float, **limits: float) -> Any:
    return _option(default, lambda value, name: as_number(value, name, Range(**limits)))


def _integer(default: int, least: int = 1) -> Any:
    return _option(default, lambda value, name: as_integer(value, name, least))


@short_repr
@dataclass(kw_only=True)
class OptInput:
    """Options of loading, simulation and optimisation. Fields can be set at any time and are checked when set.

    Raises:
        ConfigError: If a field does not exist (also an AttributeError), or a value has the wrong type (also a
            TypeError) or is out of range. The field keeps its value.
    """

    mpm_input_mesh_path: str = _option("", _path)
    """Mesh of the body. Not read by this package: scripts pass it to `load_point_cloud_from_obj`."""
    mpm_target_mesh_path: str = _option("", _path)
    """Mesh of the target; likewise."""
    grid_dx: float = _number(1.0, above=0)
    """Grid spacing [m] for which particles are loaded. A graph uses the spacing of its grids."""
    grid_min_point: tuple[float, float, float] = _option((-16.0, -16.0, -16.0), as_triple)
    """Lowest corner [m] of the grid. Read by `Grid.from_options`."""
    grid_max_point: tuple[float, float, float] = _option((16.0, 16.0, 16.0), as_triple)
    """Highest corner [m] of the grid; likewise."""
    points_per_cell_cuberoot: int = _integer(2)
    """Particles along the edge of a grid cell: the particle spacing is grid_dx / points_per_cell_cuberoot."""
    lam: float = _number(38888.89, least=0)
    """First Lame parameter [Pa] of loaded particles, at least 0."""
    mu: float = _number(58333.3, least=0)
    """Shear modulus [Pa] of loaded particles, at least 0."""
    p_density: float = _number(75.0, above=0)
    """Mass density [kg/m^3] of loaded particles, above 0."""
    dt: float = _number(1.0 / 120.0, above=0)
    """Time step [s], above 0."""
    drag: float = _number(0.5, least=0)
    """Linear drag [1/s], at least 0."""
    f_ext: tuple[float, float, float] = _option((0.0, 0.0, 0.0), _force)
    """External force per mass [m/s^2]: three numbers, or 0 for none."""
    num_animations: int = _integer(2)
    """Number of animations in the script's own loop of run_optimization and promote_last_as_initial. Not read by this
    package: one `run_optimization` optimises one animation."""
    num_timesteps: int = _integer(10)
    """Steps of one animation, at least 1. Its graph has one layer more; layer 0 is the initial state."""
    control_stride: int = _integer(1)
    """Steps from one control layer to the next, at least 1."""
    max_gd_iters: int = _integer(1)
    """Descent steps per control layer and pass, at least 1."""
    max_ls_iters: int = _integer(10)
    """Trials of a line search, at least 1. Each halves the step."""
    initial_alpha: float = _number(0.01, above=0)
    """First trial step of a line search, above 0: bounds the Frobenius norm of the change of a particle's control."""
    gd_tol: float = _number(1e-4, least=0)
    """Relative decrease of the objective below which descent on a layer, or a run after a pass, ends; at least 0."""
    smoothing_factor: float = _number(0.955, least=0, below=1)
    """Fraction s of the old deformation gradient that a step retains, in [0, 1)."""
    current_episodes: int = _integer(0, least=0)
    """Number of the running episode, at least 0. Reported to progress callbacks; does not affect the result."""

    def __setattr__(self, name: str, value: object) -> None:
        checks = {entry.name: entry.metadata["check"] for entry in fields(self)}
        if name not in checks:
            raise OptionNameError(f"{name}: expected a field of OptInput, one of {', '.join(checks)}")
        object.__setattr__(self, name, checks[name](value, name))

    def copy(self) -> OptInput:
        """Return an independent copy."""
        return replace(self)
