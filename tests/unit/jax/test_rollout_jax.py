# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.jax.rollout`: values and gradients are those of the core and of the PyTorch path, under jit and grad."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
import tolerances as tol

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy
INPUTS = tuple(name for name in scenes.INPUTS if name != "G")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """float64 in JAX, for these tests alone."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def dmj() -> Any:
    import diffmpm.jax

    return diffmpm.jax


def given_of(scene: Any, dtype: Any = np.float64) -> dict[str, Any]:
    return {name: jnp.asarray(np.asarray(scene.inputs[name], dtype)) for name in INPUTS}


def objective(dmj: Any, scene: Any) -> Any:
    """Return the inner product of two layers with the scene's cotangents, as a function of all inputs."""
    layers = sorted(scene.cotangents)
    config = scenes.configuration(scene)

    def function(given: dict[str, Any]) -> Any:
        out = dmj.rollout(
            config, scene.steps, control_stride=scene.control_stride, layers=layers, motion_gradient=True, **given
        )
        total = 0.0
        for k, n in enumerate(layers):
            total += sum((getattr(out, name)[k] * scene.cotangents[n][f"adj_{name}"]).sum() for name in scenes.STATE)
            mass = dmj.grid_mass(out.x[k], given["mass"], config)
            total += (mass * scene.cotangents[n]["adj_grid_mass"]).sum()
        return total

    return function


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("basis", scenes.BASES)
def test_values_and_gradients_of_the_core(basis: str, jit: bool, rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, basis, option="all", steps=6)
    function = jax.value_and_grad(objective(dmj, scene))
    value, gradients = (jax.jit(function) if jit else function)(given_of(scene))
    roll = scenes.run(scene)
    assert float(value) == pytest.approx(scenes.objective(roll, scene), rel=1e-12)
    expected = scenes.pull_back(roll, scene)
    for name in INPUTS:
        scenes.assert_same_vector(gradients[name], expected[name], tol.MIRROR, name)


def test_equals_the_torch_path(rng: Any, dmj: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import diffmpm.torch as dmt

    scene = scenes.make_scene(rng, steps=5)
    config = scenes.configuration(scene)
    tensors = {name: torch.tensor(scene.inputs[name], requires_grad=True) for name in INPUTS}
    options = {"control_stride": scene.control_stride}
    out = dmt.rollout(config, 5, **options, **tensors)
    (out.x.square().sum() + out.F.square().sum()).backward()

    def loss(given: dict[str, Any]) -> Any:
        end = dmj.rollout(config, 5, **options, **given)
        return (end.x**2).sum() + (end.F**2).sum()

    same = dmj.rollout(config, 5, **options, **given_of(scene))
    for name in ("x", "v", "C", "F"):
        scenes.assert_same_bits(np.asarray(getattr(same, name)), getattr(out, name).detach().numpy(), name)
    gradients = jax.jit(jax.grad(loss))(given_of(scene))
    for name in INPUTS:
        scenes.assert_same_vector(gradients[name], tensors[name].grad.numpy(), tol.MIRROR, name)


def test_defaults_and_single_precision(dmj: Any) -> None:
    body = dm.sample("box", particles=2000)
    config = dm.Simulation(body, dm.SimConfig(dx=0.2, dt=1e-3, gravity=(0.0, 0.0, -9.8), drag=0.2)).config
    constants = {name: float(getattr(body, name)[0]) for name in ("mass", "volume", "lam", "mu")}
    out = jax.jit(lambda x: dmj.rollout(config, 3, x=x, **constants))(jnp.asarray(body.x))
    native = dm.Simulation(body, config).rollout(3)
    assert out.x.dtype == jnp.float32 and out.G is None
    scenes.assert_same_bits(np.asarray(out.x), native.x)


def test_a_layer_named_twice(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    given, config = given_of(scene), scenes.configuration(scene)

    def loss(control: Any, layers: list[int]) -> Any:
        rest = {**given, "control": control}
        return dmj.rollout(config, 3, control_stride=scene.control_stride, layers=layers, **rest).x.sum()

    one, two = (jax.grad(loss)(given["control"], layers) for layers in ([3], [3, 3]))
    scenes.assert_same_vector(two, 2 * np.asarray(one), tol.MIRROR)


def test_bad_inputs(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    given, config = given_of(scene), scenes.configuration(scene)
    bad = {
        "x: expected shape (N, 3) with N > 0, got (3, 24)": {"x": given["x"].T},
        "x: expected float32 or float64, got float16": {"x": given["x"].astype(jnp.float16)},
        "v: expected float64, the dtype of x, got float32": {"v": given["v"].astype(jnp.float32)},
        "lam: expected shape (24,), got (3,)": {"lam": given["lam"][:3]},
        "control: expected shape (L, 24, 3, 3), got (24, 3, 3)": {"control": given["control"][0]},
        "control: expected at most 3 layers, got 4": {"control": jnp.concatenate([given["control"]] * 2)},
    }
    for message, change in bad.items():
        with pytest.raises(dm.ConfigError) as caught:
            dmj.rollout(config, 3, **{**given, **change})
        assert message in str(caught.value)
    with pytest.raises(dm.ConfigError, match="config: expected SimConfig with a grid"):
        dmj.rollout(dm.SimConfig(dx=1.0, dt=1.0), 3, **given)
    with pytest.raises(dm.ConfigError, match="layers: expected layers from -4 to 3, got 4"):
        dmj.rollout(config, 3, layers=[4], **given)


def test_failures_keep_their_message(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    given = given_of(scene)
    with pytest.raises(Exception, match="particle 0 left the grid in step 0; enlarge the grid"):
        jax.block_until_ready(dmj.rollout(scenes.configuration(scene), 3, **{**given, "v": given["v"] + 1e5}))


WITHOUT_JAX = """
import sys
sys.modules["jax"] = None  # as if it were not installed
try:
    import diffmpm.jax
except ImportError as error:
    print(error)
"""


def test_without_jax_the_import_says_what_to_install() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_JAX], capture_output=True, text=True, check=True)
    assert "needs JAX, which is not installed; install it with pip install 'diffmpm[jax]'" in result.stdout
