# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Arrays go to NumPy, PyTorch and JAX through DLPack without a copy, and come from them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm._arrays import ALIGNMENT


def result_arrays(dtype: Any) -> dict[str, np.ndarray]:
    """Return all arrays that a simulation returns, by name."""
    body = dm.sample("box", particles=100, dtype=dtype)
    sim = dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-3))
    control = dm._arrays.aligned_copy(np.zeros((2, body.count, 3, 3), dtype))
    roll = sim.rollout(2, control, motion_gradient=True)
    gradients = roll.vjp(adj_x=np.ones((body.count, 3), dtype), adj_grid_mass=roll.grid_mass(), wrt="all")
    arrays = {name: getattr(roll, name) for name in ("x", "v", "C", "F", "G", "control")}
    arrays |= {f"body.{name}": getattr(body, name) for name in ("x", "v", "C", "F", "mass", "volume", "lam", "mu")}
    arrays |= {f"state.{name}": getattr(roll.state(1), name) for name in ("x", "v", "C", "F", "G")}
    arrays |= {"grid_mass": roll.grid_mass()}
    arrays |= {f"adj.{name}": getattr(gradients, name) for name in ("control", "x", "F", "G", "lam")}
    cloud = dm.PointCloud(body, control[0])
    for name in ("positions", "masses", "def_grads", "def_grads_morph", "def_grads_total"):
        arrays[f"cloud.{name}"] = getattr(cloud, f"get_{name}")()
    return arrays


def numpy_pointer(array: np.ndarray) -> int:
    return int(np.from_dlpack(array).ctypes.data)


def torch_pointer(array: np.ndarray) -> int:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return int(torch.from_dlpack(array).data_ptr())


def jax_pointer(array: np.ndarray) -> int:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with jax.enable_x64(True):
        return int(jax.dlpack.from_dlpack(array).unsafe_buffer_pointer())


@pytest.mark.parametrize("pointer", [numpy_pointer, torch_pointer, jax_pointer])
@pytest.mark.parametrize("dtype", scenes.DTYPES)
def test_every_array_is_handed_out_without_a_copy(dtype: Any, pointer: Callable[[np.ndarray], int]) -> None:
    for name, array in result_arrays(dtype).items():
        assert array.dtype == dtype, name
        assert array.flags.writeable and array.flags.c_contiguous, name
        assert array.ctypes.data % ALIGNMENT == 0, name
        assert pointer(array) == array.ctypes.data, f"{name} was copied"


def test_a_copy_on_request() -> None:
    roll = dm.Simulation(dm.sample("box", particles=50), dm.SimConfig(dx=0.5, dt=1e-3)).rollout(1)
    copy = roll.x.copy()
    copy += 1.0
    assert not np.shares_memory(copy, roll.x)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert torch.from_dlpack(roll.x).clone().data_ptr() != roll.x.ctypes.data


def test_returned_arrays_are_independent_of_the_rollout() -> None:
    """Writing into them changes neither the rollout nor later results."""
    roll = dm.Simulation(dm.sample("box", particles=50), dm.SimConfig(dx=0.5, dt=1e-3)).rollout(1)
    mass, x = roll.grid_mass(), roll.x.copy()
    roll.x[:] = 1e9
    scenes.assert_same_bits(roll.grid_mass(), mass)
    scenes.assert_same_bits(roll.state(1).x, x)
    scenes.assert_same_bits(roll.end_particles().x, x)


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_view_keeps_its_owner_alive(framework: str) -> None:
    roll = dm.Simulation(dm.sample("box", particles=2000), dm.SimConfig(dx=0.2, dt=1e-3)).rollout(1)
    expected = roll.x.copy()
    module = pytest.importorskip({"jax": "jax.numpy"}.get(framework, framework), reason=f"{framework} is not installed")
    view = module.from_dlpack(roll.x)
    del roll
    gc.collect()
    others = [dm.sample("box", particles=2000).x for _ in range(5)]  # would take over freed memory
    assert len(others) == 5
    scenes.assert_same_bits(np.asarray(view), expected)


def inputs_of(framework: str, array: np.ndarray) -> Any:
    """Return an array of a framework."""
    if framework == "torch":
        return pytest.importorskip("torch", reason="PyTorch is not installed").from_numpy(array.copy())
    if framework == "jax":
        return pytest.importorskip("jax.numpy", reason="JAX is not installed").asarray(array)
    return array


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_inputs_of_every_framework(framework: str) -> None:
    body = dm.sample("box", particles=64)
    config = dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-3)).config
    control = np.full((1, body.count, 3, 3), 0.01, np.float32)
    adj_x = np.ones((body.count, 3), np.float32)
    expected = dm.Simulation(body, config).rollout(1, control)

    def foreign(array: np.ndarray) -> Any:
        return inputs_of(framework, array)

    names = ("mass", "volume", "lam", "mu", "v", "C", "F")
    same = dm.Particles.create(foreign(body.x), **{name: foreign(getattr(body, name)) for name in names})
    roll = dm.Simulation(same, config).rollout(1, foreign(control))
    scenes.assert_same_bits(roll.x, expected.x)
    gradient = roll.vjp(adj_x=foreign(adj_x), adj_grid_mass=foreign(expected.grid_mass())).control
    scenes.assert_same_bits(gradient, expected.vjp(adj_x=adj_x, adj_grid_mass=expected.grid_mass()).control)
    scenes.assert_same_bits(
        dm.grid_mass(foreign(body.x), foreign(body.mass), config), dm.grid_mass(body.x, body.mass, config)
    )


def test_tensors_that_require_grad_are_never_detached_silently() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    body = dm.sample("box", particles=8)
    sim = dm.Simulation(body, dm.SimConfig(dx=1.0, dt=1e-3))
    x, one = torch.zeros((8, 3), requires_grad=True), torch.tensor(1.0, requires_grad=True)
    control = torch.zeros((1, 8, 3, 3), requires_grad=True)
    rest = {"mass": 1.0, "volume": 1.0, "lam": 1.0, "mu": 1.0}
    calls = {
        "x": lambda: dm.Particles.create(x, **rest),
        "v": lambda: body.replace(v=x),
        "lam": lambda: dm.Particles.create(body.x, **{**rest, "lam": one}),
        "control": lambda: sim.rollout(1, control),
        "adj_x": lambda: sim.rollout(1).vjp(adj_x=x),
        "weight": lambda: dm.losses.Kinetic(weight=one),
        "mass": lambda: dm.grid_mass(body.x, torch.ones(8, requires_grad=True), sim.config),
        "target": lambda: dm.losses.LogMass(torch.ones((2, 2, 2), requires_grad=True)),
        "controls": lambda: dm.PointCloud(body, control[0]),
    }
    for name, call in calls.items():
        with pytest.raises(dm.ConfigError, match=r"the tensor requires grad.*use diffmpm\.torch \(rollout"):
            call()
        assert name
