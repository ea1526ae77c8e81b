# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.jax.rollout`: values and gradients are those of the core and of the PyTorch path, under jit and grad."""

from __future__ import annotations

import logging
import os
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


def arguments_of(scene: Any, dtype: Any = np.float64) -> dict[str, Any]:
    return {name: jnp.asarray(np.asarray(scene.inputs[name], dtype)) for name in INPUTS}


def objective(dmj: Any, scene: Any) -> Any:
    """Return the inner product of two layers with the scene's cotangents, as a function of all inputs."""
    layers = sorted(scene.cotangents)
    config = scenes.configuration(scene)

    def function(arguments: dict[str, Any]) -> Any:
        out = dmj.rollout(
            config, scene.steps, control_stride=scene.control_stride, layers=layers, motion_gradient=True, **arguments
        )
        total = 0.0
        for k, n in enumerate(layers):
            total += sum((getattr(out, name)[k] * scene.cotangents[n][f"adj_{name}"]).sum() for name in scenes.STATE)
            mass = dmj.grid_mass(out.x[k], arguments["mass"], config)
            total += (mass * scene.cotangents[n]["adj_grid_mass"]).sum()
        return total

    return function


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("basis", scenes.BASES)
def test_values_and_gradients_of_the_core(basis: str, jit: bool, rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, basis, option="all", steps=6)
    function = jax.value_and_grad(objective(dmj, scene))
    value, gradients = (jax.jit(function) if jit else function)(arguments_of(scene))
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

    def loss(arguments: dict[str, Any]) -> Any:
        end = dmj.rollout(config, 5, **options, **arguments)
        return (end.x**2).sum() + (end.F**2).sum()

    same = dmj.rollout(config, 5, **options, **arguments_of(scene))
    for name in ("x", "v", "C", "F"):
        scenes.assert_same_bits(np.asarray(getattr(same, name)), getattr(out, name).detach().numpy(), name)
    gradients = jax.jit(jax.grad(loss))(arguments_of(scene))
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
    arguments, config = arguments_of(scene), scenes.configuration(scene)

    def loss(control: Any, layers: list[int]) -> Any:
        rest = {**arguments, "control": control}
        return dmj.rollout(config, 3, control_stride=scene.control_stride, layers=layers, **rest).x.sum()

    one, two = (jax.grad(loss)(arguments["control"], layers) for layers in ([3], [3, 3]))
    scenes.assert_same_vector(two, 2 * np.asarray(one), tol.MIRROR)


def test_bad_inputs(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    arguments, config = arguments_of(scene), scenes.configuration(scene)
    bad = {
        "x: expected shape (N, 3) with N > 0, got (3, 24)": {"x": arguments["x"].T},
        "x: expected float32 or float64, got float16": {"x": arguments["x"].astype(jnp.float16)},
        "v: expected float64, the dtype of x, got float32": {"v": arguments["v"].astype(jnp.float32)},
        "lam: expected shape (24,), got (3,)": {"lam": arguments["lam"][:3]},
        "control: expected shape (L, 24, 3, 3), got (24, 3, 3)": {"control": arguments["control"][0]},
        "control: expected at most 3 control steps, got 4": {"control": jnp.concatenate([arguments["control"]] * 2)},
    }
    for message, change in bad.items():
        with pytest.raises(dm.ConfigError) as caught:
            dmj.rollout(config, 3, **{**arguments, **change})
        assert message in str(caught.value)
    with pytest.raises(dm.ConfigError, match="config: expected SimConfig with a grid"):
        dmj.rollout(dm.SimConfig(dx=1.0, dt=1.0), 3, **arguments)
    with pytest.raises(dm.ConfigError, match="layers: expected one of -4 to 3, got 4"):
        dmj.rollout(config, 3, layers=[4], **arguments)


def test_failures_keep_their_message(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    arguments = arguments_of(scene)
    with pytest.raises(Exception, match="particle 0 left the grid in step 0; enlarge the grid"):
        jax.block_until_ready(dmj.rollout(scenes.configuration(scene), 3, **{**arguments, "v": arguments["v"] + 1e5}))


@pytest.mark.parametrize("transform", [lambda f: f, jax.grad, jax.jit, lambda f: jax.jit(jax.grad(f))])
def test_a_batch_is_refused(transform: Any, rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=2)
    arguments, config = arguments_of(scene), scenes.configuration(scene)

    def value(v: Any) -> Any:
        return (
            dmj.rollout(config, 2, **{**arguments, "v": v}).x.sum() + dmj.grid_mass(arguments["x"], 1.0, config).sum()
        )

    batch = jnp.stack([arguments["v"], 0.5 * arguments["v"]])
    with pytest.raises(dm.ConfigError, match=r"expected one body, got a batch of jax\.vmap; use jax\.lax\.map"):
        jax.vmap(transform(value))(batch)
    mapped = jax.lax.map(transform(value), batch)
    for row, v in zip(mapped, batch, strict=True):
        scenes.assert_same_bits(np.asarray(row), np.asarray(transform(value)(v)))


def test_second_derivatives_are_refused(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=2)
    arguments, config = arguments_of(scene), scenes.configuration(scene)
    gradient = jax.grad(lambda v: dmj.rollout(config, 2, **{**arguments, "v": v}).x.sum())
    with pytest.raises(dm.ConfigError, match="expected first derivatives, got the derivative of a gradient"):
        jax.grad(lambda v: gradient(v).sum())(arguments["v"])


def test_double_precision_is_not_rounded_in_silence(rng: Any, dmj: Any) -> None:
    scene = scenes.make_scene(rng, steps=2)
    config = scenes.configuration(scene)
    wide = {name: np.asarray(scene.inputs[name], np.float64) for name in INPUTS}
    with jax.enable_x64(False):
        single = {name: a.astype(np.float32) for name, a in wide.items()}
        assert dmj.rollout(config, 2, control_stride=scene.control_stride, **single).x.dtype == jnp.float32
        for name in (n for n in INPUTS if np.ndim(wide[n])):
            message = f"{name}: expected float32, got float64, which JAX rounds; convert it with .*jax_enable_x64"
            with pytest.raises(dm.ConfigError, match=message):
                dmj.rollout(config, 2, control_stride=scene.control_stride, **{**single, name: wide[name]})
        for x, mass in ((wide["x"], 1.0), (single["x"], wide["mass"])):
            with pytest.raises(dm.ConfigError, match="expected float32, got float64, which JAX rounds"):
                dmj.grid_mass(x, mass, config)
        assert dmj.grid_mass(single["x"], np.float64(1.0), config).dtype == jnp.float32  # a number has no dtype


def test_calls_outside_of_jit_are_compiled_once(rng: Any, dmj: Any, caplog: pytest.LogCaptureFixture) -> None:
    scene = scenes.make_scene(rng, steps=2)
    arguments, config = arguments_of(scene), scenes.configuration(scene)

    def value(v: Any) -> Any:
        return (dmj.rollout(config, 2, **{**arguments, "v": v}).x ** 2).sum() + dmj.grid_mass(
            arguments["x"], 1.0, config
        ).sum()

    speeds = [arguments["v"] * (1.0 - 0.1 * k) for k in range(3)]
    jax.grad(value)(speeds[0])
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        jax.grad(lambda v: jnp.tanh(v).sum())(arguments["v"] + 1.0)
        assert "ompil" in caplog.text  # it is logged at all
        caplog.clear()
        for v in speeds[1:]:
            jax.grad(value)(v)
    assert "ompil" not in caplog.text


ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX makes its threads
import numpy as np, diffmpm as dm, diffmpm.jax as dmj, jax, jax.numpy as jnp
x = jnp.asarray(np.random.default_rng(0).random((400_000, 3), np.float32) * 4 + 1)
config = dm.SimConfig(dx=0.25, dt=1e-4, origin=(0.0, 0.0, 0.0), dims=(24, 24, 24))
def value(v):
    return (dmj.rollout(config, 1, x=x, v=v, mass=1e-3, volume=1e-3, lam=10.0, mu=10.0).x ** 2).mean()
for gradient in (jax.grad(value), jax.jit(jax.grad(value))):
    for k in range(4):
        jax.block_until_ready(gradient(jnp.sin(x + 1e-3 * k) * 0.1))
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_large_bodies_do_not_hang_on_one_core() -> None:
    run = subprocess.run([sys.executable, "-c", ONE_CORE], capture_output=True, text=True, check=True, timeout=300)
    assert run.stdout == "done\n"


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
