# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.torch` and PyTorch's streams, memory and optimisers: on a device, and in part on an emulated one."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.errors import ConfigError, DeviceError
from emulated import Emulation
from raster_scenes import make_scene as make_gaussians
from scenes import Scene, assert_same_bits, assert_same_vector, configuration, make_scene

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
dmt = pytest.importorskip("diffmpm.torch")
from diffmpm.mpm.params import pack_params  # noqa: E402
from diffmpm.torch import _tensors  # noqa: E402
from diffmpm.torch._operator import OPERATORS  # noqa: E402

STREAM = 77


class FakeTorch:
    """PyTorch with a current stream on each device, whose tensors are on the CPU but count as those of a device."""

    def __init__(self, device: int) -> None:
        self.device, self.stream = device, STREAM
        self.memory: dict[int, Any] = {}  # what the core has of it, by address
        self.tensors = self.calls = self.left = 0
        self._allocate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.POINTER(ctypes.c_void_p))(self.allocate)
        self._free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self.free)
        self.addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in (self._allocate, self._free)]

    def allocate(self, size: int, out: Any) -> int:
        """Allocate, as the function of PyTorch's C interface; fail where `left` counts down to 0."""
        self.left -= 1
        if self.left == 0:
            return 1
        block = ctypes.create_string_buffer(size + 64)
        out[0] = ctypes.addressof(block) + (-ctypes.addressof(block)) % 64
        self.memory[out[0]] = block
        self.calls += 1
        return 0

    def free(self, memory: int) -> int:
        """Free what `allocate` returned."""
        del self.memory[memory]
        return 0

    def make_bytes(self, size: int, device: int) -> Any:
        """Stand for a tensor on the device."""
        assert device == self.device
        self.tensors += 1
        return torch.empty(max(size, 1), dtype=torch.uint8)


@pytest.fixture(params=[0, 1])
def fake_torch(
    request: pytest.FixtureRequest, emulated: Emulation, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeTorch]:
    """Run the kernels as on CUDA tensors of a device."""
    fake = FakeTorch(request.param)
    plain = _tensors._from_device
    monkeypatch.setattr(_tensors, "_stream", lambda device: fake.stream)
    monkeypatch.setattr(_tensors, "_on_device", lambda tensor: True)
    monkeypatch.setattr(_tensors, "_device_index", lambda tensor: fake.device)
    monkeypatch.setattr(
        _tensors, "_from_device", lambda a: plain(a) if a.owner is not None else torch.from_numpy(a.numpy())
    )
    _core.use_memory_of_torch(fake.make_bytes, *fake.addresses)
    yield fake
    gc.collect()
    _core.use_memory_of_torch(lambda size, device: None, 0, 0)
    assert not fake.memory


def arguments(scene: Scene, dtype: Any = np.float32, differentiable: bool = True, budget: int = 1 << 30) -> list[Any]:
    names = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu")
    values = [torch.tensor(np.asarray(scene.inputs[name], dtype)) for name in names]
    config = pack_params(configuration(scene))
    return [*values, None, None, config, scene.steps, scene.control_stride, [], True, differentiable, budget]


def kernel(name: str) -> Any:
    return _tensors.on_stream(OPERATORS[name].run)


def forward_and_backward(scene: Scene, wrt: int = 0b1111111111) -> list[Any]:
    *states, trajectory = kernel("rollout")(*arguments(scene))
    control_steps = scene.inputs["control"].shape[0]
    gradients = kernel("rollout_vjp")(trajectory, *(torch.ones_like(s) for s in states), [], wrt, control_steps)
    return [*states, *gradients]


def test_work_goes_to_the_stream_of_pytorch(
    fake_torch: FakeTorch, emulated: Emulation, rng: np.random.Generator
) -> None:
    _, entries = emulated.watched(lambda: forward_and_backward(make_scene(rng, option="all", steps=5)))
    assert {(entry.device, entry.stream) for entry in entries} == {(fake_torch.device, STREAM)}
    assert _core.set_stream(0, fake_torch.device) == 0  # as it was before


def test_a_backward_pass_on_another_stream_waits_for_the_first_and_is_waited_for(
    fake_torch: FakeTorch, emulated: Emulation, rng: np.random.Generator
) -> None:
    scene = make_scene(rng, option="all", steps=5)
    *states, trajectory = kernel("rollout")(*arguments(scene))
    fake_torch.stream = 78
    adjoints = [torch.ones_like(s) for s in states]
    count = len(scene.inputs["control"])
    _, entries = emulated.watched(lambda: kernel("rollout_vjp")(trajectory, *adjoints, [], 1, count))
    order = [entry.stream for entry in entries if entry.work in ("wait", "launch")]
    assert order[:2] == [STREAM, 78]  # the trajectory's stream waits for PyTorch's,
    assert set(order[2:-2]) == {STREAM}  # works,
    assert order[-2:] == [78, STREAM]  # and PyTorch's waits for it


def test_memory_is_that_of_pytorch(fake_torch: FakeTorch, emulated: Emulation, rng: np.random.Generator) -> None:
    scene = make_scene(rng, option="all", steps=5)
    _, entries = emulated.watched(lambda: forward_and_backward(scene))
    assert fake_torch.tensors == 5 + 10  # states and gradients
    requests = sum(entry.work == "allocate" for entry in entries)
    assert fake_torch.calls >= requests  # and the work space of sorts and sums
    *states, trajectory = kernel("rollout")(*arguments(scene))
    alive = len(fake_torch.memory)
    assert alive > scene.steps  # its layers
    del trajectory
    gc.collect()
    assert not fake_torch.memory
    assert all(torch.isfinite(s).all() for s in states)


def test_full_memory_of_pytorch_is_a_memory_error(fake_torch: FakeTorch, rng: np.random.Generator) -> None:
    scene = make_scene(rng, option="all", steps=3)
    expected = forward_and_backward(scene)
    for k in (1, 2, 5, 20, 40):
        fake_torch.left = k
        with pytest.raises(MemoryError, match=f"cuda:{fake_torch.device}: expected .* of device memory"):
            forward_and_backward(scene)
        fake_torch.left = 0
        gc.collect()
        assert not fake_torch.memory
    for got, array in zip(forward_and_backward(scene), expected, strict=True):
        assert_same_bits(got.numpy(), array.numpy())


@pytest.fixture
def captured(emulated: Emulation) -> Iterator[None]:
    """Streams that are being captured into graphs."""
    emulated.capture(True)
    yield
    emulated.capture(False)


CAPTURED = r"the stream is being captured into a CUDA graph, .*; call them outside of"


@pytest.mark.usefixtures("fake_torch", "captured")
def test_a_stream_that_is_captured_is_refused() -> None:
    with pytest.raises(DeviceError, match=CAPTURED):
        kernel("kinetic_loss")(torch.ones((5, 3)))


# The native operators of the rasteriser.


@pytest.fixture
def native(fake_torch: FakeTorch, emulated: Emulation) -> Iterator[FakeTorch]:
    """Let the native operators take CPU tensors for those of the device."""
    with emulated.native_operators(fake_torch.device, lambda: fake_torch.stream):
        yield fake_torch


def drawn_arguments(rng: np.random.Generator, dtype: Any = np.float32) -> tuple[list[Any], list[Any]]:
    """Arguments of the operator `rasterize`, and cotangents of its images."""
    scene = make_gaussians(rng, "opaque", "covars")
    tensors = {name: torch.tensor(a.astype(dtype)) for name, a in scene.inputs.items()}
    poses, lenses = tensors["viewmats"].double(), torch.tensor(np.stack([scene.K, scene.K]))
    inputs = [tensors[name] for name in ("means", "covars", "opacities", "colors", "backgrounds")]
    args = [*inputs[:2], None, None, *inputs[2:], poses, lenses, scene.width, scene.height, 0.01]
    cotangents = [torch.tensor(scene.cotangents[name].astype(dtype)) for name in ("color", "alpha", "depth")]
    return args, [cotangents[0], cotangents[1][..., None], cotangents[2][..., None]]


WRT = 0b111110011  # all but quats and scales


def draw_and_pull_back(args: list[Any], cotangents: list[Any]) -> list[Any]:
    *drawn, images = torch.ops.diffmpm.rasterize(*args)
    return [*drawn, *torch.ops.diffmpm.rasterize_vjp(images, args[0], args[5], *cotangents, WRT)]


def test_native_work_goes_to_the_stream_of_pytorch(
    native: FakeTorch, emulated: Emulation, rng: np.random.Generator
) -> None:
    args, cotangents = drawn_arguments(rng)
    _, entries = emulated.watched(lambda: draw_and_pull_back(args, cotangents))
    assert {(entry.device, entry.stream) for entry in entries} == {(native.device, STREAM)}
    assert _core.set_stream(0, native.device) == 0  # as it was before


def test_a_native_backward_pass_on_another_stream_waits(
    native: FakeTorch, emulated: Emulation, rng: np.random.Generator
) -> None:
    args, cotangents = drawn_arguments(rng)
    images = torch.ops.diffmpm.rasterize(*args)[-1]
    native.stream = 78
    pull_back = torch.ops.diffmpm.rasterize_vjp
    _, entries = emulated.watched(lambda: pull_back(images, args[0], args[5], *cotangents, WRT))
    order = [entry.stream for entry in entries if entry.work in ("wait", "launch")]
    assert order[:2] == [STREAM, 78] and set(order[2:-2]) == {STREAM} and order[-2:] == [78, STREAM]


def test_native_memory_is_that_of_pytorch(native: FakeTorch, rng: np.random.Generator) -> None:
    args, cotangents = drawn_arguments(rng)
    expected = draw_and_pull_back(args, cotangents)
    assert native.calls > 0
    color, *_, images = torch.ops.diffmpm.rasterize(*args)
    alive = len(native.memory)
    del images, _
    gc.collect()
    assert 0 < len(native.memory) < alive  # `color` is left, with what shares its memory
    del color
    results = expected
    for k in (1, 2, 5):
        native.left = k
        with pytest.raises(MemoryError, match=f"cuda:{native.device}: expected .* of device memory"):
            draw_and_pull_back(args, cotangents)
        native.left = 0
        results = draw_and_pull_back(args, cotangents)
    for result, tensor in zip(results, expected, strict=True):
        assert_same_bits(result.numpy(), tensor.numpy())


def test_how_often_the_native_operators_wait(native: FakeTorch, rng: np.random.Generator) -> None:
    """Once, for the length of the lists."""
    args, cotangents = drawn_arguments(rng)
    result: list[Any] = []
    assert waits(lambda: result.extend(torch.ops.diffmpm.rasterize(*args))) == 1
    pull_back = torch.ops.diffmpm.rasterize_vjp
    assert waits(lambda: pull_back(result[-1], args[0], args[5], *cotangents, WRT)) == 0


@pytest.mark.parametrize("matrix", [7, 8])
def test_cameras_on_a_device_are_checked(native: FakeTorch, matrix: int, rng: np.random.Generator) -> None:
    args, _ = drawn_arguments(rng)
    good = args[matrix].clone()
    for entry in np.ndindex(*good.shape[1:]):
        for value in (float("nan"), float("inf"), 0.5 + 2.0 * float(good[1][entry])):
            args[matrix] = good.clone()
            args[matrix][1][entry] = value
            fixed = entry[0] == len(good[1]) - 1 or (matrix == 8 and entry in ((0, 1), (1, 0)))
            if np.isfinite(value) and not fixed:
                torch.ops.diffmpm.rasterize(*args)
                continue
            with pytest.raises(ConfigError, match="viewmats, Ks: expected finite world-to-camera matrices"):
                torch.ops.diffmpm.rasterize(*args)
    if matrix == 8:
        args[8] = good.clone()
        args[8][0, 1, 1] = -1.0
        with pytest.raises(ConfigError, match=r"viewmats, Ks: expected .* focal lengths > 0"):
            torch.ops.diffmpm.rasterize(*args)


def test_native_operators_refuse_captures_and_other_devices(
    native: FakeTorch, rng: np.random.Generator, emulated: Emulation
) -> None:
    args, cotangents = drawn_arguments(rng)
    images = torch.ops.diffmpm.rasterize(*args)[-1]
    options = {"covars": args[1], "colors": args[5], "viewmats": args[7], "Ks": args[8]}
    emulated.capture(True)
    try:
        with pytest.raises(DeviceError, match=CAPTURED):
            dmt.rasterize(args[0], width=args[9], height=args[10], **options)
        with pytest.raises(DeviceError, match=CAPTURED):
            torch.ops.diffmpm.rasterize_vjp(images, args[0], args[5], *cotangents, WRT)
    finally:
        emulated.capture(False)
    with emulated.native_operators(1 - native.device, lambda: STREAM):
        with pytest.raises(ConfigError, match="means: expected a tensor on the device of the images, got another"):
            torch.ops.diffmpm.rasterize_vjp(images, args[0], args[5], *cotangents, WRT)


def waits(call: Any) -> int:
    before = _core.host_waits()
    call()
    return int(_core.host_waits() - before)


def test_how_often_the_host_waits(fake_torch: FakeTorch, rng: np.random.Generator) -> None:
    """Once a batch of steps (8, 8, 16, 32, 64, 64, ...), and 5 times before; losses and the surface never."""
    scene = make_scene(rng, steps=3)
    still = scene.with_inputs(v=0.0 * scene.inputs["v"], control=0.0 * scene.inputs["control"])
    for steps, batches in ((0, 0), (1, 1), (8, 1), (9, 2), (64, 4), (100, 5)):
        inputs = arguments(still)
        inputs[13] = steps
        inputs[5] = inputs[5][: min(steps, 1)]
        result: list[Any] = []
        assert waits(lambda inputs=inputs, result=result: result.extend(kernel("rollout")(*inputs))) == 5 + batches
        *states, trajectory = result
        adjoints = [torch.ones_like(s) for s in states]
        layers = len(inputs[5])
        pull = lambda t=trajectory, a=adjoints, k=layers: kernel("rollout_vjp")(t, *a, [], 1, k)  # noqa: E731
        assert waits(pull) == -(-steps // 64)
    x, mass, config = inputs[0], inputs[6], inputs[12]
    assert waits(lambda: kernel("grid_mass")(x, mass, config)) == 4
    grid = kernel("grid_mass")(x, mass, config)
    assert waits(lambda: kernel("grid_mass_vjp")(x, mass, grid, config)) == 4
    v, m = torch.ones((50, 3)), torch.ones((6, 6, 6))
    assert waits(lambda: kernel("kinetic_loss")(v)) == 0
    assert waits(lambda: kernel("mass_loss")(m, 2.0 * m, 0, 1.0, 1.0)) == 0
    body = torch.tensor(dm.sample("torus", particles=300).x), torch.eye(3).expand(300, 3, 3).contiguous()
    *binding, sigma0 = dmt.bind(*body, samples=100)
    built: list[Any] = []
    assert waits(lambda: built.extend(kernel("surface")(*body, torch.tensor(sigma0), *binding))) == 0
    assert waits(lambda: kernel("surface_vjp")(*body, torch.tensor(sigma0), *binding, *built)) == 0


def test_pytorch_is_asked_twice_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    requests, empty = [], torch.empty

    def full(size: int, **options: Any) -> Any:
        requests.append((size, options["device"]))
        if len(requests) < enough:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return empty(size, dtype=options["dtype"])

    monkeypatch.setattr(torch, "empty", full)
    enough = 2
    before = _core.host_waits()
    assert _tensors.make_bytes(5, 1).shape == (5,)
    assert requests == [(5, torch.device("cuda", 1))] * 2
    assert _core.host_waits() == before + 1  # the pool of the core has given back what it keeps
    enough = 5
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        _tensors.make_bytes(0, 0)
    if not torch.backends.cuda.is_built():
        assert _tensors.cuda_function(_tensors._ALLOCATOR[0]) == 0


# On a device.


@pytest.fixture
def cuda() -> Any:
    """A CUDA device of PyTorch."""
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA device")
    return torch.device("cuda", torch.cuda.current_device())


def inputs_on(scene: Scene, device: Any, dtype: Any = torch.float64) -> dict[str, Any]:
    return {
        n: torch.tensor(a, device=device, dtype=dtype) for n, a in scene.inputs.items() if n not in ("G", "control")
    }


def test_training_on_a_device(cuda: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=6)
    config, losses = configuration(scene), {}
    for device in (torch.device("cpu"), cuda):
        values = inputs_on(scene, device)
        target = dmt.grid_mass(values["x"] + 0.03, values["mass"], config)
        control = torch.zeros((3, len(values["x"]), 3, 3), device=device, dtype=torch.float64, requires_grad=True)
        mu = values.pop("mu").requires_grad_()
        optimizer = torch.optim.Adam([{"params": [control], "lr": 1e-3}, {"params": [mu], "lr": 1e-2}])
        course = []
        for _ in range(8):
            optimizer.zero_grad()
            out = dmt.rollout(config, 6, control=control, control_stride=2, mu=mu, grid_mass=True, **values)
            loss = dmt.log_mass(out.grid_mass, target) + 1e-3 * dmt.kinetic(out.v)
            loss.backward()
            optimizer.step()
            course.append(float(loss.detach()))
        losses[device.type] = course
    assert losses["cuda"][-1] < losses["cuda"][0]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-6)


def test_training_renders_cuda_tensors(cuda: Any) -> None:
    x = torch.tensor(dm.sample("torus", particles=500).x, device=cuda)
    F = torch.eye(3, device=cuda).expand(len(x), 3, 3).contiguous()
    binding = dmt.bind(x, F, samples=300)
    camera = dm.Camera.look_at(eye=(0.0, -4.0, 1.0), target=(0.0, 0.0, 0.0), width=48, height=40)
    opacities, colors = torch.full((300,), 0.8, device=cuda), torch.rand((300, 3), device=cuda)

    def draw(positions: Any) -> Any:
        body = dmt.gaussians(positions, F, binding=binding)
        return dmt.rasterize(body.means, covars=body.covars, opacities=opacities, colors=colors, cameras=camera)[0]

    target = draw(x + 0.1)
    shift = torch.zeros(3, device=cuda, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.02)
    course = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (draw(x + shift) - target).square().mean()
        loss.backward()
        optimizer.step()
        course.append(float(loss.detach()))
    assert course[-1] < 0.5 * course[0]


def test_streams_are_honoured(cuda: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=5)
    config, values = configuration(scene), inputs_on(scene, cuda)
    expected = dmt.rollout(config, 5, **values).x
    torch.cuda.synchronize()
    first, second = torch.cuda.Stream(), torch.cuda.Stream()
    late, built = torch.empty_like(values["x"]), torch.cuda.Event()
    for _ in range(3):
        late.fill_(float("nan"))
        torch.cuda.synchronize()
        with torch.cuda.stream(first):
            torch.cuda._sleep(20_000_000)
            late.copy_(values["x"])
            out = dmt.rollout(config, 5, **{**values, "x": late}).x  # only right behind the copy
            built.record()
        with torch.cuda.stream(second):
            second.wait_event(built)
            copy = out.clone()
            out.record_stream(second)
        del out
        torch.cuda.synchronize()
        assert_same_bits(copy.cpu().numpy(), expected.cpu().numpy())


def test_gradients_on_two_streams(cuda: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=5)
    config = configuration(scene)
    results = []
    for streams in ((None, None), (torch.cuda.Stream(), torch.cuda.Stream())):
        values = {n: t.requires_grad_() for n, t in inputs_on(scene, cuda).items()}
        torch.cuda.synchronize()
        with torch.cuda.stream(streams[0]):
            out = dmt.rollout(config, 5, **values)
            loss = dmt.kinetic(out.v) + out.F.square().mean()
        if streams[1] is not None:
            streams[1].wait_stream(streams[0])
        with torch.cuda.stream(streams[1]):
            loss.backward()
        torch.cuda.synchronize()
        results.append({n: t.grad.cpu().numpy() for n, t in values.items()})
    for name, array in results[0].items():
        assert_same_bits(results[1][name], array, name)


@pytest.fixture
def pictures(cuda: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of `rasterize` on a device, with matrices of cameras in single precision."""
    args, _ = drawn_arguments(rng, np.float64)
    names = ("means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats", "Ks")
    tensors = {name: t.to(cuda) for name, t in zip(names, args, strict=False) if t is not None}
    return {**tensors, "viewmats": tensors["viewmats"].float(), "width": args[9], "height": args[10]}


def test_images_of_a_device_wait_once(pictures: dict[str, Any]) -> None:
    assert torch._C._dispatch_has_kernel_for_dispatch_key("diffmpm::rasterize", "CUDA")
    first = [t.cpu() for t in dmt.rasterize(**pictures)[:2]]
    leaves = [pictures[name].requires_grad_() for name in ("means", "covars", "opacities", "colors", "backgrounds")]

    def both() -> None:
        image, alpha, _ = dmt.rasterize(**pictures)
        torch.autograd.grad(image.sum() + alpha.sum(), leaves)

    both()
    assert waits(both) == 1
    for result, tensor in zip(dmt.rasterize(**pictures)[:2], first, strict=True):
        assert_same_bits(result.detach().cpu().numpy(), tensor.numpy())
    with torch.no_grad():
        pictures["viewmats"][0, 3, 3] = 2.0
    with pytest.raises(ConfigError, match="viewmats, Ks: expected finite world-to-camera"):
        dmt.rasterize(**pictures)


def test_images_are_drawn_and_pulled_back_on_the_current_stream(pictures: dict[str, Any]) -> None:
    results = []
    for delayed in (False, True):
        values = {n: t.detach().clone() if isinstance(t, torch.Tensor) else t for n, t in pictures.items()}
        late, values["means"] = values["means"], torch.full_like(values["means"], float("nan"))
        torch.cuda.synchronize()
        first, second = torch.cuda.Stream(), torch.cuda.Stream()
        with torch.cuda.stream(first if delayed else None):
            if delayed:
                torch.cuda._sleep(20_000_000)
            values["means"].copy_(late)
            values["means"].requires_grad_()
            image, alpha, meta = dmt.rasterize(**values)
            meta["means2d"].retain_grad()
            loss = image.square().sum() + alpha.sum()
        if delayed:
            second.wait_stream(first)
        with torch.cuda.stream(second if delayed else None):
            loss.backward()
        torch.cuda.synchronize()
        results.append([image.detach(), values["means"].grad, meta["means2d"].grad, meta["visible"]])
    assert torch.isfinite(results[0][1]).all() and results[0][1].abs().max() > 0
    for result, expected in zip(results[1], results[0], strict=True):
        assert_same_bits(result.cpu().numpy(), expected.cpu().numpy())


def test_images_of_a_device_refuse_what_does_not_fit(pictures: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="opacities: expected a tensor on cuda:"):
        dmt.rasterize(**{**pictures, "opacities": pictures["opacities"].cpu()})
    names = ("means", "covars", "quats", "scales", "opacities", "colors", "backgrounds")
    raw = [*(pictures.get(name) for name in names), pictures["viewmats"].double(), pictures["Ks"].double()]
    size = pictures["width"], pictures["height"], 0.01
    torch.ops.diffmpm.rasterize(*raw, *size)
    for k in (1, 4, 5, 6, 7):
        with pytest.raises(ConfigError, match="expected a tensor on cuda:"):
            torch.ops.diffmpm.rasterize(*raw[:k], raw[k].cpu(), *raw[k + 1 :], *size)
    raw[8][0, 0, 0] = -1.0
    with pytest.raises(ConfigError, match=r"viewmats, Ks: expected .* focal lengths > 0"):
        torch.ops.diffmpm.rasterize(*raw, *size)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty:UserWarning")
def test_a_graph_of_images_is_refused(pictures: dict[str, Any]) -> None:
    expected = dmt.rasterize(**pictures)[0]
    torch.cuda.synchronize()
    with pytest.raises(DeviceError, match=CAPTURED):
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            dmt.rasterize(**pictures)
    assert_same_bits(dmt.rasterize(**pictures)[0].cpu().numpy(), expected.cpu().numpy())


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty:UserWarning")  # of PyTorch, as nothing was captured
def test_a_graph_is_refused_and_the_stream_goes_on(cuda: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=2)
    config, values = configuration(scene), inputs_on(scene, cuda)
    expected = dmt.rollout(config, 2, **values).x
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(DeviceError, match="the stream is being captured into a CUDA graph"):
        with torch.cuda.graph(graph):
            dmt.rollout(config, 2, **values)
    assert_same_bits(dmt.rollout(config, 2, **values).x.cpu().numpy(), expected.cpu().numpy())


def test_pytorch_counts_the_memory(cuda: Any) -> None:
    if _tensors.cuda_function(_tensors._ALLOCATOR[0]) == 0:
        pytest.skip("this version of PyTorch has no functions for work space")
    body = dm.sample("box", particles=20_000)
    simulation = dm.Simulation(body, dm.SimConfig(dx=0.05, dt=1e-4))
    values = {n: t.to(cuda) for n, t in dmt.tensors(simulation.particles).items()}
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    x = values.pop("x").requires_grad_()
    out = dmt.rollout(simulation.config, 20, x=x, **values)
    kept = torch.cuda.memory_allocated() - before
    assert kept > 20 * 20_000 * 24 * 4  # the layers
    out.x.square().sum().backward()
    del out
    x.grad = None
    gc.collect()
    assert torch.cuda.memory_allocated() - before < kept / 10


def test_full_memory_of_a_device(cuda: Any) -> None:
    body = dm.sample("box", particles=20_000)
    simulation = dm.Simulation(body, dm.SimConfig(dx=0.05, dt=1e-4))
    values = {n: t.to(cuda) for n, t in dmt.tensors(simulation.particles).items()}
    x = values.pop("x").requires_grad_()
    expected = dmt.rollout(simulation.config, 4, x=x, **values).x
    total = torch.cuda.get_device_properties(cuda).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (64 << 20)) / total)
    try:
        with pytest.raises(MemoryError, match="memory"):
            dmt.rollout(simulation.config, 200, x=x, memory_budget=1 << 40, **values)
        gc.collect()
        torch.cuda.empty_cache()
        got = dmt.rollout(simulation.config, 4, x=x, **values).x
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert_same_bits(got.detach().cpu().numpy(), expected.detach().cpu().numpy())


def test_results_are_near_those_of_the_cpu_on_every_device(cuda: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=4)
    config = configuration(scene)
    expected = dmt.rollout(config, 4, **inputs_on(scene, "cpu")).x
    for number in range(torch.cuda.device_count()):
        values = inputs_on(scene, torch.device("cuda", number))
        got = dmt.rollout(config, 4, **values).x
        assert got.device.index == number
        assert_same_vector(got.cpu().numpy(), expected.numpy(), 1e-12)
    assert torch.cuda.current_device() == cuda.index
