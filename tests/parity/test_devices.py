# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Several devices: arrays stay on their device, calls run on it, and mixed devices raise errors.

Emulated devices also check in every call that the device is the current one and owns all memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import raster_scenes
from diffmpm import _arrays, _core
from diffmpm.cli import main
from diffmpm.errors import ConfigError, DeviceError
from emulated import Emulation
from numpy.testing import assert_array_equal
from scenes import assert_same_bits, host, make_scene, on, particles, pull_back, run, simulation


def rollout(device: str) -> dict[str, Any]:
    scene = make_scene(np.random.default_rng(0), option="all", steps=4).rounded(np.float32)
    roll = run(scene, np.float32, device)
    loss = dm.losses.LogMass(particles(scene, np.float32)) + dm.losses.Kinetic(window=True)
    value = loss.evaluate(roll)
    out = {"x": roll.x, "grid": roll.grid_mass(), "value": np.asarray(value.value)}
    gradient = roll.vjp(**value.adj, wrt=("v", "control"))
    return out | pull_back(roll, scene, np.float32) | {"by_v": gradient.v, "by_control": gradient.control}


def pictures(device: str) -> dict[str, Any]:
    scene = raster_scenes.make_scene(np.random.default_rng(0), "plain")
    image = raster_scenes.run(scene, np.float32, device)
    out = {name: getattr(image, name) for name in raster_scenes.OUTPUTS} | vars(image.meta)
    return out | raster_scenes.pull_back(image, scene, np.float32)


def surface(device: str) -> dict[str, Any]:
    body = dm.sample("torus", particles=400).to(device)
    result = dm.gaussians(body.x, body.F, samples=200)
    gradients = result.vjp(adj_means=result.means, adj_covars=result.covars)
    return {"means": result.means, "weights": result.weights, "x": gradients[0], "F": gradients[1]}


def image_losses(device: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    alphas = [np.asarray(rng.random((2, 24, 20)), np.float32) for _ in range(2)]
    images, target = (dm.losses.image.Images(alpha=a).to(device) for a in alphas)
    value = dm.losses.image.SilhouettePyramid().evaluate(images, target)
    return {"value": np.asarray(value.value), **{k: v for k, v in value.adj.items() if v is not None}}


def arithmetic(device: str) -> dict[str, Any]:
    a = on(device, np.arange(12.0).reshape(4, 3))
    b = _core.add_scaled(_core.scaled(a, 2.0), 0.5, a[1], 1)
    sums = {"dot": np.asarray(_core.dot(a, b)), "both": _core.concatenate(a, b), "copy": b.copy()}
    return {"b": b, "zeros": _core.zeros(b, (2, 3)), "lbfgs": _core.lbfgs(a, [a], [b])} | sums


PROGRAMS = {f.__name__: f for f in (rollout, pictures, surface, image_losses, arithmetic)}


@pytest.fixture
def on_device_one(second_device: str) -> Iterator[str]:
    """Make device 1 the current one."""
    _core.set_current_device(1)
    yield second_device
    _core.set_current_device(0)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_calls_run_on_the_device_of_their_arrays(program: Callable[[str], dict[str, Any]], second_device: str) -> None:
    first, second = program("cuda:0"), program(second_device)
    for name, expected in first.items():
        for device, array in (("cuda:0", expected), (second_device, second[name])):
            assert getattr(array, "device", device) in (device, "cpu"), name
        assert_same_bits(host(second[name]), host(expected), name)
    assert _core.current_device() == 0


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_memory_on_another_device(
    program: Callable[[str], dict[str, Any]], second_device: str, emulated: Emulation
) -> None:
    for device, number in (("cuda:0", 0), (second_device, 1)):
        _, entries = emulated.watched(lambda device=device: program(device))
        assert entries
        assert {entry.device for entry in entries} == {number}


def test_cuda_is_the_current_device(on_device_one: str, rng: np.random.Generator) -> None:
    body = dm.Particles.create(rng.random((5, 3)), mass=1.0, volume=1.0, lam=1.0, mu=1.0)
    assert body.to("cuda").device == dm.to_device(body.x).device == on_device_one
    assert dm.to_device(body.x, device="cuda:0").device == "cuda:0"
    assert _core.current_device() == 1


def test_arrays_move_from_one_device_to_another(second_device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=3)
    body = simulation(scene, np.float64, "cuda:0").particles
    moved = body.to(second_device)
    assert (body.device, moved.device) == ("cuda:0", second_device)
    for name in ("x", "Fp", "mass"):
        assert_array_equal(getattr(moved, name).numpy(), getattr(body, name).numpy())
    x = body.x
    assert dm.to_device(x, device="cuda:0") is x
    assert (
        repr(dm.to_device(x[:2], device=second_device)) == "DeviceArray(shape=(2, 3), dtype=float64, device='cuda:1')"
    )


def test_a_body_on_two_devices_raises_an_error(second_device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=3)
    x, v = (scene.inputs[name] for name in "xv")
    constants: dict[str, Any] = {"mass": 1.0, "volume": 1.0, "lam": 1.0, "mu": 1.0}
    mixed = "expected an array on cuda:0, as the others are, got one on cuda:1; move it with diffmpm.to_device"
    with pytest.raises(ConfigError, match=f"^v: {mixed}"):
        dm.Particles.create(on("cuda:0", x), v=on(second_device, v), **constants)
    with pytest.raises(ConfigError, match=f"^control: {mixed}"):
        run(scene, np.float64, "cuda:0", control=on(second_device, scene.inputs["control"]))
    roll = run(scene, np.float64, "cuda:0")
    with pytest.raises(ConfigError, match=f"^adj_x: {mixed}"):
        roll.vjp(adj_x=on(second_device, x))
    with pytest.raises(ConfigError, match=f"^mass: {mixed}"):
        dm.grid_mass(on("cuda:0", x), on(second_device, scene.inputs["mass"]), roll.config)
    with pytest.raises(ConfigError, match=f"^F: {mixed}"):
        dm.gaussians(on("cuda:0", x), on(second_device, scene.inputs["F"]))
    with pytest.raises(ConfigError, match=f"^opacities: {mixed}"):
        picture = raster_scenes.make_scene(rng, "plain")
        inputs = {name: on("cuda:0", a) for name, a in picture.inputs.items() if name != "viewmats"}
        moved = inputs | {"opacities": on(second_device, picture.inputs["opacities"])}
        dm.rasterize(**moved, viewmats=picture.inputs["viewmats"], Ks=picture.K, width=8, height=8)
    a, b = on("cuda:0", x), on(second_device, x)
    for call in (_arrays.add, _arrays.dot):
        with pytest.raises(ConfigError, match=r"arrays: expected one shape, .* cuda:0 and .* cuda:1"):
            call(a, b)
    for call in (_core.dot, _core.concatenate, _core.ratio):
        with pytest.raises(ValueError, match="on one device, got others"):
            call(a, b)


def test_dlpack_device(second_device: str, rng: np.random.Generator) -> None:
    a = rng.random((4, 3))
    x = on(second_device, a)
    assert x.__dlpack_device__() == (2, 1)
    y = _core.from_dlpack(x)
    assert y.device == second_device
    other = SimpleNamespace(__dlpack__=x.__dlpack__, __dlpack_device__=x.__dlpack_device__)
    body = dm.Particles.create(other, mass=1.0, volume=1.0, lam=1.0, mu=1.0)
    assert body.device == body.mass.device == second_device
    with pytest.raises(BufferError, match="expected its own device, got another one"):
        x.__dlpack__(dl_device=(2, 0))


def test_nonexistent_devices(device: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    count = _core.cuda_device_count()
    message = f"device: expected one of the {count} CUDA devices from cuda:0 on, got cuda:{count}"
    a = np.zeros(3)
    for use in (
        lambda: dm.to_device(a, device=f"cuda:{count}"),
        lambda: dm.sample("box", particles=50).to(f"cuda:{count}"),
        lambda: dm.morph("sphere", "box", device=f"cuda:{count}"),
    ):
        with pytest.raises(DeviceError, match=message):
            use()
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA:0", 0, None):
        with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N"):
            dm.to_device(a, device=name)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="device: expected a CUDA device, got cpu"):
        dm.to_device(a, device="cpu")
    with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N or auto, got 'gpu'"):
        dm.MorphConfig(device="gpu")
    assert main(["morph", "sphere", "box", "--device", f"cuda:{count}", "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_morph_on_the_second_device_matches_the_first(second_device: str) -> None:
    options: dict[str, Any] = {"particles": 200, "windows": 2, "steps": 4, "released_steps": 2, "iterations": 2}
    first, second = (dm.morph("sphere", "box", device=device, **options) for device in ("cuda:0", second_device))
    assert {row["device"] for row in second.history} == {second_device}
    assert_array_equal(second.x, first.x)


def test_each_device_has_its_stream(second_device: str, emulated: Emulation) -> None:
    before = [_core.set_stream(stream, number) for number, stream in ((0, 70), (1, 71))]
    try:
        for device, expected in (("cuda:0", (0, 70)), (second_device, (1, 71))):
            _, entries = emulated.watched(lambda device=device: arithmetic(device))
            assert {(entry.device, entry.stream) for entry in entries} == {expected}
    finally:
        for number, stream in enumerate(before):
            _core.set_stream(stream, number)


@pytest.mark.parametrize("case", ["rollout", "pictures", "surface"])
def test_adjoint_on_another_stream(case: str, emulated: Emulation) -> None:
    """An adjoint runs on the stream of its result, after the work of the calling stream, which then waits for it."""
    rng = np.random.default_rng(0)
    before = _core.set_stream(70, 0)
    try:
        if case == "rollout":
            scene = make_scene(rng, steps=3)
            roll = run(scene, np.float64, "cuda:0")
            adj = on("cuda:0", scene.inputs["x"])
            pull = lambda: roll.vjp(adj_x=adj, wrt="x")  # noqa: E731
        elif case == "pictures":
            picture = raster_scenes.make_scene(rng, "plain")
            image = raster_scenes.run(picture, np.float32, "cuda:0")
            alpha = image.alpha
            pull = lambda: image.vjp(adj_alpha=alpha, wrt="means")  # noqa: E731
        else:
            body = dm.sample("torus", particles=400).to("cuda:0")
            result = dm.gaussians(body.x, body.F, samples=200)
            means = result.means
            pull = lambda: result.vjp(adj_means=means)  # noqa: E731
        _core.set_stream(71, 0)
        _, entries = emulated.watched(pull)
    finally:
        _core.set_stream(before, 0)
    order = [(entry.work, entry.stream) for entry in entries]
    waits = [n for n, (work, _) in enumerate(order) if work == "wait"]
    assert [order[n][1] for n in waits] == [70, 71, 71, 70]  # 70 waits for 71, and at the end 71 for 70
    inside, outside = order[waits[1] + 1 : waits[2]], order[: waits[0]] + order[waits[3] + 1 :]
    assert {stream for work, stream in inside if work == "launch"} == {70}
    assert {stream for _, stream in outside} <= {71}  # checks of the cotangents, and copies to the host
