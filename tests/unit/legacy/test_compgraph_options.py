# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""OptInput: defaults, names, types and limits."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest

DEFAULTS = {
    "mpm_input_mesh_path": "",
    "mpm_target_mesh_path": "",
    "grid_dx": 1.0,
    "grid_min_point": (-16.0, -16.0, -16.0),
    "grid_max_point": (16.0, 16.0, 16.0),
    "points_per_cell_cuberoot": 2,
    "lam": 38888.89,
    "mu": 58333.3,
    "p_density": 75.0,
    "dt": 1 / 120,
    "drag": 0.5,
    "f_ext": (0.0, 0.0, 0.0),
    "num_animations": 2,
    "num_timesteps": 10,
    "control_stride": 1,
    "max_gd_iters": 1,
    "max_ls_iters": 10,
    "initial_alpha": 0.01,
    "gd_tol": 1e-4,
    "smoothing_factor": 0.955,
    "current_episodes": 0,
}


def test_fields_and_defaults() -> None:
    assert {f.name: getattr(dm.OptInput(), f.name) for f in fields(dm.OptInput)} == DEFAULTS


def test_values_are_converted_to_plain_types() -> None:
    opt = dm.OptInput()
    opt.mpm_input_mesh_path = Path("a") / "b.obj"
    opt.grid_dx = np.float32(0.5)
    opt.drag = 1
    opt.num_timesteps = np.int64(7)
    opt.grid_min_point = np.array([-1, -2, -3])
    opt.f_ext = 0
    assert (opt.mpm_input_mesh_path, opt.grid_dx, opt.num_timesteps) == (str(Path("a") / "b.obj"), 0.5, 7)
    assert (opt.grid_min_point, opt.f_ext) == ((-1.0, -2.0, -3.0), (0.0, 0.0, 0.0))
    assert type(opt.grid_dx) is float and type(opt.drag) is float and type(opt.num_timesteps) is int
    copy = opt.copy()
    copy.dt = 0.5
    assert opt.dt == 1 / 120 and copy.grid_dx == 0.5


def test_unknown_names() -> None:
    opt = dm.OptInput()
    with pytest.raises(dm.ConfigError, match=r"num_timestep: expected a field of OptInput, one of .*num_timesteps"):
        opt.num_timestep = 5
    with pytest.raises(AttributeError, match="nothing"):
        opt.nothing = 5
    with pytest.raises(AttributeError):
        opt.nothing  # noqa: B018
    with pytest.raises(TypeError, match="nothing"):
        dm.OptInput(nothing=5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_timesteps", 10.0, r"num_timesteps: expected an integer, got 10\.0"),
        ("num_timesteps", True, "num_timesteps: expected an integer, got True"),
        ("dt", "fast", "dt: expected a number, got 'fast'"),
        ("dt", None, "dt: expected a number, got None"),
        ("mpm_input_mesh_path", 3, "mpm_input_mesh_path: expected a path, got 3"),
        ("grid_min_point", (1, 2), r"grid_min_point: expected three numbers, got \(1, 2\)"),
        ("grid_max_point", "abc", "grid_max_point: expected three numbers, got 'abc'"),
        ("f_ext", 9.8, r"f_ext: expected three numbers, got 9\.8"),
    ],
)
def test_wrong_types(name: str, value: object, message: str) -> None:
    opt = dm.OptInput()
    with pytest.raises(dm.ConfigError, match=message):
        setattr(opt, name, value)
    with pytest.raises(TypeError):
        dm.OptInput(**{name: value})
    assert getattr(opt, name) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("grid_dx", 0.0, "grid_dx: expected a finite number > 0, got 0"),
        ("dt", -0.1, r"dt: expected a finite number > 0, got -0\.1"),
        ("dt", float("nan"), "dt: expected a finite number > 0, got nan"),
        ("lam", -1.0, "lam: expected a finite number >= 0, got -1"),
        ("mu", -1.0, "mu: expected a finite number >= 0, got -1"),
        ("p_density", 0, "p_density: expected a finite number > 0, got 0"),
        ("smoothing_factor", 1.0, "smoothing_factor: expected a finite number >= 0 and < 1, got 1"),
        ("num_timesteps", 0, "num_timesteps: expected an integer >= 1, got 0"),
        ("current_episodes", -1, "current_episodes: expected an integer >= 0, got -1"),
        ("grid_min_point", (0, 0, np.inf), "grid_min_point: expected three finite numbers"),
    ],
)
def test_values_out_of_range(name: str, value: object, message: str) -> None:
    opt = dm.OptInput()
    with pytest.raises(dm.ConfigError, match=message):
        setattr(opt, name, value)
    assert getattr(opt, name) == DEFAULTS[name]
