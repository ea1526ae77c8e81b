# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of the seed-compatible interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError


class OptionNameError(ConfigError, AttributeError):
    """An option does not exist."""


class OptionTypeError(ConfigError, TypeError):
    """An option, or an argument of this interface, has the wrong type."""


@dataclass(kw_only=True)
class OptInput:
    """Options of loading, simulation and optimisation; every field can be set at any time and is checked then.

    Raises:
        ConfigError: On setting a field that does not exist (also an AttributeError), a value of the wrong type (also a
            TypeError) or a value out of range. The field keeps its value.
    """

    mpm_input_mesh_path: str = ""
    """Mesh of the body; kept for scripts, which pass it to `load_point_cloud_from_obj`."""
    mpm_target_mesh_path: str = ""
    """Mesh of the target; likewise."""
    grid_dx: float = 1.0
    """Grid spacing [m] that particles are loaded for. A graph uses the spacing of its grids."""
    grid_min_point: tuple[float, float, float] = (-16.0, -16.0, -16.0)
    """Lowest corner [m] of the grid; kept for scripts, which build `Grid` from it (`Grid.from_options`)."""
    grid_max_point: tuple[float, float, float] = (16.0, 16.0, 16.0)
    """Highest corner [m] of the grid; likewise."""
    points_per_cell_cuberoot: int = 2
    """Particles along the edge of a grid cell; particles are loaded at spacing grid_dx / points_per_cell_cuberoot."""
    lam: float = 38888.89
    """First Lame parameter [Pa] of loaded particles, at least 0."""
    mu: float = 58333.3
    """Shear modulus [Pa] of loaded particles, at least 0."""
    p_density: float = 75.0
    """Mass density [kg/m^3] of loaded particles, above 0."""
    dt: float = 1.0 / 120.0
    """Time step [s], above 0."""
    drag: float = 0.5
    """Linear drag [1/s], at least 0."""
    f_ext: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """External force per mass [m/s^2]; three numbers, or 0 for none."""
    num_animations: int = 2
    """Animations that a script means to chain. Kept for scripts: the loop over animations (run_optimization, then
    promote_last_as_initial) is theirs, and one `run_optimization` always optimises one animation."""
    num_timesteps: int = 10
    """Steps of one animation, at least 1; its graph has one layer more, the initial state being layer 0."""
    control_stride: int = 1
    """Steps from one control layer to the next, at least 1."""
    max_gd_iters: int = 1
    """Descent steps on a control layer each time its turn comes, at least 1."""
    max_ls_iters: int = 10
    """Trials of a line search, each with half the step of the one before, at least 1."""
    initial_alpha: float = 0.01
    """First trial step of a line search, above 0: the most that the Frobenius norm of a particle's control moves."""
    gd_tol: float = 1e-4
    """Relative decrease of the objective, below which descent on a layer, and a run after a pass, ends; at least 0."""
    smoothing_factor: float = 0.955
    """Share s in [0, 1) of the old deformation gradient that a step keeps."""
    current_episodes: int = 0
    """Number of the running episode, at least 0; reported to progress callbacks, without effect on the result."""

    def __setattr__(self, name: str, value: object) -> None:
        check = _CHECKS.get(name)
        if check is None:
            raise OptionNameError(f"{name}: expected a field of OptInput, one of {', '.join(_CHECKS)}")
        object.__setattr__(self, name, check(value, name))

    def copy(self) -> OptInput:
        """Return an independent copy."""
        return replace(self)


def as_kind(value: object, name: str, kind: type, remedy: str = "") -> Any:
    """Return `value` if it is an instance of `kind`.

    Raises:
        OptionTypeError: If it is not.
    """
    if not isinstance(value, kind):
        hint = f"; {remedy}" if remedy else ""
        raise OptionTypeError(f"{name}: expected {kind.__name__}, got {type(value).__name__}{hint}")
    return value


def as_integer(value: object, name: str, least: int) -> int:
    """Return an integer that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise OptionTypeError(f"{name}: expected an integer, got {value!r}")
    if value < least:
        raise ConfigError(f"{name}: expected an integer >= {least}, got {int(value)}")
    return int(value)


def as_triple(value: object, name: str) -> tuple[float, float, float]:
    """Return three finite numbers."""
    array = None
    if not isinstance(value, str):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            pass
    if array is None or array.shape != (3,) or array.dtype.kind not in "fiu":
        raise OptionTypeError(f"{name}: expected three numbers, got {value!r}")
    if not np.isfinite(array).all():
        raise ConfigError(f"{name}: expected three finite numbers, got {value!r}")
    return float(array[0]), float(array[1]), float(array[2])


def as_number(
    value: object, name: str, *, above: float = -np.inf, least: float = -np.inf, below: float = np.inf
) -> float:
    """Return a finite number within limits."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise OptionTypeError(f"{name}: expected a number, got {value!r}")
    number = float(value)
    if not (np.isfinite(number) and number > above and number >= least and number < below):
        limits = [f"> {above:g}"] if above > -np.inf else []
        limits += [f">= {least:g}"] if least > -np.inf else []
        limits += [f"< {below:g}"] if below < np.inf else []
        raise ConfigError(f"{name}: expected a finite number {' and '.join(limits)}, got {number:g}")
    return number


def _path(value: object, name: str) -> str:
    if not isinstance(value, str | os.PathLike):
        raise OptionTypeError(f"{name}: expected a path, got {value!r}")
    return os.fsdecode(value)


def _force(value: object, name: str) -> tuple[float, float, float]:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return 0.0, 0.0, 0.0
    return as_triple(value, name)


def _number(**limits: float) -> Callable[[object, str], float]:
    return lambda value, name: as_number(value, name, **limits)


def _integer(least: int) -> Callable[[object, str], int]:
    return lambda value, name: as_integer(value, name, least)


_CHECKS: dict[str, Callable[[object, str], Any]] = {
    "mpm_input_mesh_path": _path,
    "mpm_target_mesh_path": _path,
    "grid_dx": _number(above=0.0),
    "grid_min_point": as_triple,
    "grid_max_point": as_triple,
    "points_per_cell_cuberoot": _integer(1),
    "lam": _number(least=0.0),
    "mu": _number(least=0.0),
    "p_density": _number(above=0.0),
    "dt": _number(above=0.0),
    "drag": _number(least=0.0),
    "f_ext": _force,
    "num_animations": _integer(1),
    "num_timesteps": _integer(1),
    "control_stride": _integer(1),
    "max_gd_iters": _integer(1),
    "max_ls_iters": _integer(1),
    "initial_alpha": _number(above=0.0),
    "gd_tol": _number(least=0.0),
    "smoothing_factor": _number(least=0.0, below=1.0),
    "current_episodes": _integer(0),
}
