# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.torch.rollout` returns the values and gradients of the core under all transforms of PyTorch."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
import tolerances as tol

_spec = importlib.util.spec_from_file_location("torch_scenes", Path(__file__).with_name("conftest.py"))
assert _spec is not None and _spec.loader is not None
_conftest = importlib.util.module_from_spec(_spec)
sys.modules["torch_scenes"] = _conftest
_spec.loader.exec_module(_conftest)
run, scene_inputs = _conftest.run, _conftest.scene_inputs

OUTPUTS = ("x", "v", "C", "F", "G")
ONE_STEP_OR_MORE = ((1, None), (8, 1))  # steps, memory budget: 1 byte recomputes every layer
SMALL = {"per_clump": 2, "control_stride": 3}


@pytest.mark.parametrize(("steps", "budget"), ONE_STEP_OR_MORE)
@pytest.mark.parametrize("boundary", scenes.BOUNDARIES)
@pytest.mark.parametrize("material", scenes.MATERIALS)
@pytest.mark.parametrize("basis", scenes.BASES)
def test_gradcheck(
    basis: str, material: str, boundary: str, steps: int, budget: int | None, rng: Any, torch: Any, dmt: Any
) -> None:
    scene = scenes.make_scene(rng, basis, material, boundary, "all", steps=steps, **SMALL)
    inputs = scene_inputs(scene, torch)
    names = list(inputs)
    # Moduli of hundreds beside coordinates of one: each input in units of its size, so that one step suits all.
    size = {name: max(1.0, float(value.detach().abs().mean())) for name, value in inputs.items()}

    def function(*values: Any) -> Any:
        scaled = {name: value * size[name] for name, value in zip(names, values, strict=True)}
        out = run(dmt, scene, scaled, layers=[steps // 2, -1], grid_mass=True, memory_budget=budget)
        return *out[:5], out.grid_mass

    values = [(inputs[name].detach() / size[name]).requires_grad_() for name in names]
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-5, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("option", [*scenes.OPTIONS])
@pytest.mark.parametrize("basis", scenes.BASES)
def test_equals_the_native_adjoint(basis: str, option: str, rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, basis, option=option, steps=6)
    inputs = scene_inputs(scene, torch)
    layers = sorted(scene.cotangents)
    out = run(dmt, scene, inputs, layers=layers, grid_mass=True)
    native = scenes.run(scene)
    total = 0.0
    for k, n in enumerate(layers):
        state = native.state(n)
        for name in OUTPUTS:
            scenes.assert_same_bits(getattr(out, name)[k].detach().numpy(), getattr(state, name), name)
            total = total + (getattr(out, name)[k] * torch.from_numpy(scene.cotangents[n][f"adj_{name}"])).sum()
        scenes.assert_same_bits(out.grid_mass[k].detach().numpy(), native.grid_mass(n), "grid_mass")
        total = total + (out.grid_mass[k] * torch.from_numpy(scene.cotangents[n]["adj_grid_mass"])).sum()
    total.backward()
    expected = scenes.pull_back(native, scene)
    for name, value in inputs.items():
        # the core adds the cotangents that arrive through the grid in another order
        scenes.assert_same_vector(value.grad.numpy(), expected[name], tol.MIRROR, name)


@pytest.mark.parametrize("dtype", scenes.DTYPES)
def test_end_alone_and_defaults(dtype: Any, rng: Any, torch: Any, dmt: Any) -> None:
    body = dm.sample("box", particles=64, dtype=dtype)
    config = dm.Simulation(body, dm.SimConfig(dx=0.4, dt=1e-3, gravity=(0.0, 0.0, -9.8), drag=0.1)).config
    native = dm.Simulation(body, config).rollout(3)
    arguments = dmt.tensors(body)
    out = dmt.rollout(config, 3, **arguments)
    for name in ("x", "v", "C", "F"):
        scenes.assert_same_bits(getattr(out, name).numpy(), getattr(native, name), name)
    assert out.G is None and out.grid_mass is None
    numbers = {name: float(getattr(body, name)[0]) for name in ("mass", "volume", "lam", "mu")}
    short = dmt.rollout(config, 3, x=arguments["x"], **numbers)
    scenes.assert_same_bits(short.x.numpy(), native.x, "x")


def test_one_number_for_all_particles_has_a_gradient(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=4)
    inputs = scene_inputs(scene, torch)
    lam = torch.tensor(400.0, dtype=torch.float64, requires_grad=True)
    run(dmt, scene, {**inputs, "lam": lam}).x.sum().backward()
    spread = torch.full((scene.count,), 400.0, dtype=torch.float64, requires_grad=True)
    run(dmt, scene, {**inputs, "lam": spread}).x.sum().backward()
    assert lam.grad.item() == pytest.approx(spread.grad.sum().item(), rel=1e-12)
    assert lam.grad != 0


def test_tensors_share_the_memory_of_particles(torch: Any, dmt: Any) -> None:
    body = dm.sample("box", particles=64)
    for name, tensor in dmt.tensors(body).items():
        assert tensor.data_ptr() == getattr(body, name).ctypes.data, name
    frozen = body.x.copy()
    frozen.flags.writeable = False
    copied = dmt.tensors(body.replace(x=frozen))["x"]
    assert copied.data_ptr() != frozen.ctypes.data, "a tensor cannot protect read-only memory"


def test_no_grad_and_inference_mode_store_nothing(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=4)
    inputs = scene_inputs(scene, torch)
    expected = run(dmt, scene, inputs).x.detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            out = run(dmt, scene, inputs)
        assert not out.x.requires_grad
        assert torch.equal(out.x, expected)


@pytest.mark.parametrize("backend", ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compile(backend: str, rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=4)
    config = scenes.configuration(scene)
    target = torch.from_numpy(scene.cotangents[4]["adj_grid_mass"]).abs()

    def loss(control: Any, lam: Any, inputs: dict[str, Any]) -> Any:
        out = dmt.rollout(
            config, 4, control=control, lam=lam, control_stride=scene.control_stride, grid_mass=True, **inputs
        )
        return dmt.log_mass(out.grid_mass, target) + dmt.kinetic(out.v) + (out.F * out.F).sum()

    inputs = scene_inputs(scene, torch, grad=False)
    results = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend=backend)):
        control, lam = (inputs[name].clone().requires_grad_() for name in ("control", "lam"))
        rest = {name: value for name, value in inputs.items() if name not in ("control", "lam")}
        value = function(control, lam, rest)
        value.backward()
        results.append((value.item(), control.grad, lam.grad))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    for eager, compiled in zip(results[0][1:], results[1][1:], strict=True):
        scenes.assert_same_vector(compiled.numpy(), eager.numpy(), tol.MIRROR)


def test_checkpoint(rng: Any, torch: Any, dmt: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    scene = scenes.make_scene(rng, steps=4)
    gradients = []
    for use in (False, True):
        inputs = scene_inputs(scene, torch)

        def function(control: Any, inputs: Any = inputs) -> Any:
            return run(dmt, scene, {**inputs, "control": control}).x

        control = inputs["control"]
        x = checkpoint(function, control, use_reentrant=False) if use else function(control)
        x.square().sum().backward()
        gradients.append(control.grad.numpy())
    scenes.assert_same_bits(gradients[1], gradients[0])


def test_backward_twice_and_accumulation(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=4)
    inputs = scene_inputs(scene, torch)
    loss = run(dmt, scene, inputs).x.square().sum()
    loss.backward(retain_graph=True)
    once = inputs["control"].grad.clone()
    loss.backward()
    assert torch.equal(inputs["control"].grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_backward_passes_of_several_live_rollouts(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=4)
    alone = []
    for scale in (1.0, 0.5):
        inputs = scene_inputs(scene, torch)
        run(dmt, scene, {**inputs, "control": scale * inputs["control"]}).x.square().sum().backward()
        alone.append(inputs["control"].grad)
    inputs = scene_inputs(scene, torch)
    outs = [run(dmt, scene, {**inputs, "control": scale * inputs["control"]}) for scale in (1.0, 0.5)]
    sum(out.x.square().sum() for out in reversed(outs)).backward()
    scenes.assert_same_vector(inputs["control"].grad.numpy(), (alone[0] + alone[1]).numpy(), tol.MIRROR)


def test_python_threads(rng: Any, torch: Any, dmt: Any) -> None:
    built = [scenes.make_scene(np.random.default_rng(seed), steps=6) for seed in range(4)]

    def work(scene: Any) -> Any:
        inputs = scene_inputs(scene, torch)
        run(dmt, scene, inputs).x.square().sum().backward()
        return inputs["control"].grad.numpy()

    expected = [work(scene) for scene in built]
    result: dict[int, Any] = {}

    def body(n: int) -> None:
        for _ in range(5):
            result[n] = work(built[n])

    threads = [threading.Thread(target=body, args=(n,)) for n in range(len(built))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, gradient in enumerate(expected):
        scenes.assert_same_bits(result[n], gradient, f"thread {n}")


def test_other_threads_run_during_a_rollout(torch: Any, dmt: Any) -> None:
    """The GIL is released: another thread wakes many times while the core works."""
    body = dm.sample("box", particles=20_000)
    config = dm.Simulation(body, dm.SimConfig(dx=0.15, dt=1e-4)).config
    control = torch.zeros((1, body.count, 3, 3), requires_grad=True)
    loss = dmt.rollout(config, 60, control=control, control_stride=60, **dmt.tensors(body)).x.sum()
    stop, ticks = threading.Event(), [0]

    def tick() -> None:
        while not stop.wait(1e-3):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks[0]
    loss.backward()  # takes about 100 ticks; a call that kept the GIL would let at most one or two through
    during = ticks[0] - before
    stop.set()
    thread.join()
    assert during >= 5


def test_memory_is_released(torch: Any, dmt: Any) -> None:
    """A trajectory of 100 MB lives as long as its graph: 30 of them one after the other need the memory of one."""
    resource = pytest.importorskip("resource", reason="this system does not tell the peak of its memory")
    body = dm.sample("box", particles=20_000)
    config = dm.Simulation(body, dm.SimConfig(dx=0.15, dt=1e-4)).config
    arguments = dmt.tensors(body)
    peaks = []
    for n in range(30):
        control = torch.zeros((1, body.count, 3, 3), requires_grad=True)
        x = dmt.rollout(config, 50, control=control, control_stride=50, memory_budget=1 << 30, **arguments).x
        if n % 2:
            x.sum().backward()
        del x
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[-1] - peaks[2] < 200e6 / 1024


@pytest.mark.parametrize("output", ["x", "grid_mass"])
@pytest.mark.parametrize("linear", [True, False])
def test_double_backward_is_refused(output: str, linear: bool, rng: Any, torch: Any, dmt: Any) -> None:
    """Also where the cotangents do not depend on the inputs, so that PyTorch sees nothing to differentiate."""
    scene = scenes.make_scene(rng, steps=3)
    inputs = scene_inputs(scene, torch)
    value = getattr(run(dmt, scene, inputs, grid_mass=True), output)
    (gradient,) = torch.autograd.grad((value if linear else value**2).sum(), inputs["x"], create_graph=True)
    with pytest.raises(NotImplementedError, match="double backward is not supported; call backward without"):
        (gradient.sum() + inputs["x"].square().sum()).backward()


def test_vmap_is_refused(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=2)
    inputs = scene_inputs(scene, torch, grad=False)
    batch = torch.stack([inputs["control"], inputs["control"]])
    with pytest.raises(NotImplementedError, match="diffmpm::rollout: vmap is not supported; loop over the batch"):
        torch.vmap(lambda control: run(dmt, scene, {**inputs, "control": control}).x)(batch)


def test_a_copied_trajectory_is_refused(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    inputs = scene_inputs(scene, torch)

    def pack(tensor: Any) -> Any:
        return tensor.clone() if tensor.dtype == torch.int64 else tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x = run(dmt, scene, inputs).x
    with pytest.raises(dm.ConfigError, match="trajectory: expected the tensor that the operator returned, got a copy"):
        x.sum().backward()


def test_errors_of_the_core_reach_the_caller(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    inputs = scene_inputs(scene, torch)
    with pytest.raises(dm.SimulationError, match=r"particle 0 left the grid in step 0; enlarge the grid") as caught:
        run(dmt, scene, {**inputs, "v": inputs["v"] + 1e4})
    assert (caught.value.cause, caught.value.particle, caught.value.step) == ("left_grid", 0, 0)
    with pytest.raises(dm.SimulationError, match="is not finite"):
        run(dmt, scene, {**inputs, "v": inputs["v"] * float("nan")})
    x = run(dmt, scene, inputs).x  # a failure leaves nothing behind
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("steps", [1 << 50, -1])
def test_invalid_numbers_of_steps_are_refused(torch: Any, dmt: Any, steps: int) -> None:
    body = dm.sample("box", particles=50)
    simulation = dm.Simulation(body, dm.SimConfig(dx=0.2, dt=1e-3))
    with pytest.raises(dm.ConfigError, match=r"^steps: expected"):
        dmt.rollout(simulation.config, steps, **dmt.tensors(body))


def test_a_degenerate_state_fails_in_backward(torch: Any, dmt: Any) -> None:
    body = dm.sample("box", particles=27, dtype=np.float64)
    config = dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-4)).config
    arguments = dmt.tensors(body)
    F = arguments["F"].clone()
    F[5] = torch.diag(torch.tensor([1e-17, 1e-17, 1.0], dtype=torch.float64))
    F.requires_grad_()
    v = dmt.rollout(config, 1, **{**arguments, "F": F}).v
    with pytest.raises(dm.SimulationError, match="particle 5 has no unique rotation") as caught:
        v.square().sum().backward()
    assert (caught.value.cause, caught.value.particle) == ("degenerate", 5)


BAD = {
    "x: expected shape (N, 3), got (3, 24)": {"x": lambda t, i: i["x"].T},
    "x: expected a torch.Tensor, got ndarray; use torch.as_tensor": {"x": lambda t, i: i["x"].detach().numpy()},
    "v: expected torch.float64, the dtype of x, got torch.float32; pass v.to(x.dtype)": {
        "v": lambda t, i: i["v"].float()
    },
    "F: expected torch.float32 or torch.float64, got torch.float16; pass F.float()": {"F": lambda t, i: i["F"].half()},
    "C: expected a CPU tensor, got one on meta; pass C.cpu()": {"C": lambda t, i: i["C"].to("meta")},
    "lam: expected shape (24,), got (3,)": {"lam": lambda t, i: i["lam"][:3]},
    "mu: expected a number or a tensor of shape (N,), got str": {"mu": lambda t, i: "stiff"},
    "mass: expected finite values > 0, got": {"mass": lambda t, i: -i["mass"]},
    "volume: expected finite values > 0, got 0": {"volume": lambda t, i: 0.0},
    "lam: expected finite values >= 0, got nan": {"lam": lambda t, i: i["lam"] * float("nan")},
    "control: expected shape (N, 24, 3, 3), got (24, 3, 3)": {"control": lambda t, i: i["control"][0]},
    "control: expected at most 2 control steps (3 steps, stride 2), got 4": {
        "control": lambda t, i: i["control"].repeat(2, 1, 1, 1)
    },
    "gravity: expected shape (3,), got ()": {"gravity": lambda t, i: i["drag"]},
    "drag: expected shape (), got (3,)": {"drag": lambda t, i: i["gravity"]},
    "x: expected at least one particle": {"x": lambda t, i: i["x"][:0]},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_inputs(message: str, rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    inputs = scene_inputs(scene, torch)
    changed = {name: make(torch, inputs) for name, make in BAD[message].items()}
    with pytest.raises(dm.ConfigError) as caught:
        run(dmt, scene, {**inputs, **changed})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("layers: expected one of -4 to 3, got 4", {"layers": [4]}),
        ("control_stride: expected an integer >= 1, got 0", {"control_stride": 0}),
        ("memory_budget: expected an integer >= 1, got 0", {"memory_budget": 0}),
    ],
)
def test_bad_options(message: str, options: dict[str, Any], rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    with pytest.raises(dm.ConfigError) as caught:
        run(dmt, scene, scene_inputs(scene, torch), **options)
    assert message in str(caught.value)


def test_bad_configurations(rng: Any, torch: Any, dmt: Any) -> None:
    inputs = scene_inputs(scenes.make_scene(rng, steps=3), torch)
    with pytest.raises(dm.ConfigError, match="config: expected a grid"):
        dmt.rollout(dm.SimConfig(dx=1.0, dt=1e-3), 3, **inputs)
    with pytest.raises(dm.ConfigError, match="config: expected SimConfig, got str"):
        dmt.rollout("config", 3, **inputs)


def test_autocast_promotes_half_precision(rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, steps=3)
    inputs = scene_inputs(scene, torch, np.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = run(dmt, scene, {**inputs, "control": inputs["control"].bfloat16()})
    assert out.x.dtype == torch.float32
    out.x.sum().backward()
    assert inputs["control"].grad.dtype == torch.float32
    assert torch.isfinite(inputs["control"].grad).all()


def test_number_of_threads_follows_torch(torch: Any, dmt: Any) -> None:
    before = torch.get_num_threads()
    dm.set_num_threads(None)  # an explicit number would take precedence
    try:
        torch.set_num_threads(1)
        one = dm.get_num_threads()
        torch.set_num_threads(3)
        three = dm.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (one, three) == (1, 3)
