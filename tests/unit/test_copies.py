# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What is pickled and copied, and what says why it is not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import diffmpm as dm
import numpy as np
import pytest

COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy}
CAMERA = dm.Camera.look_at((0, -4, 0), (0, 0, 0), width=32, height=24, fov=40.0)


def assert_same(a: Any, b: Any) -> None:
    """Compare two values down to the bits of their arrays."""
    assert type(a) is type(b)
    if is_dataclass(a):
        for f in fields(a):
            if not f.name.startswith("_"):
                assert_same(getattr(a, f.name), getattr(b, f.name))
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert repr(a) == repr(b)  # NaN is not equal to itself


def results() -> dict[str, Any]:
    body = dm.sample("sphere", particles=300)
    simulation = dm.Simulation(body, dm.SimConfig(dx=0.3, dt=1e-3))
    roll = simulation.rollout(2)
    gaussians = dm.gaussians(body.x, body.F, samples=100)
    raster = dm.rasterize(
        gaussians.means, covars=gaussians.covars, opacities=1.0, colors=gaussians.normals, cameras=CAMERA
    )
    return {
        "particles": body,
        "config": simulation.config,
        "state": roll.state(1),
        "gradients": roll.vjp(adj_x=roll.x),
        "gaussians": gaussians,
        "gradients of gaussians": gaussians.vjp(adj_means=gaussians.means),
        "binding": gaussians.binding,
        "meta": raster.meta,
        "camera": CAMERA,
        "options": dm.OptInput(dt=0.01),
        "morph": dm.morph("sphere", "box", particles=150, windows=1, cell_particles=3, steps=3),
        "rollout": roll,
        "raster": raster,
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return results()


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_results_are_copied(copied: Callable[[Any], Any], made: dict[str, Any]) -> None:
    for name in made.keys() - {"rollout", "raster", "morph"}:
        assert_same(copied(made[name]), made[name])
    morph = copied(made["morph"])
    for name in ("x", "F", "frames", "metrics"):
        assert_same(getattr(morph, name), getattr(made["morph"], name))
    gaussians, other = made["gaussians"], copied(made["gaussians"])
    assert_same(other.vjp(adj_covars=gaussians.covars), gaussians.vjp(adj_covars=gaussians.covars))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_memory_of_the_core_is_not_copied(copied: Callable[[Any], Any], made: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"Rollout: its trajectory .*; keep .* and call Simulation\.rollout again"):
        copied(made["rollout"])
    with pytest.raises(TypeError, match=r"Raster: its adjoint .*; keep its images and meta, or call rasterize again"):
        copied(made["raster"])
    assert copy.copy(made["rollout"]).x is made["rollout"].x
