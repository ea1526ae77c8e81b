# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.torch` on CUDA tensors: the kernels of the operators, and, where PyTorch has a device, the functions."""

from __future__ import annotations

import weakref
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from diffmpm.errors import ConfigError
from emulated import Emulation
from raster_scenes import FORMS
from raster_scenes import make_scene as make_gaussians
from scenes import BASES, DTYPES, INPUTS, Scene, assert_same_bits, assert_same_vector, configuration, make_scene

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
dmt = pytest.importorskip("diffmpm.torch")
from diffmpm.mpm.params import pack_params  # noqa: E402
from diffmpm.torch import _tensors  # noqa: E402
from diffmpm.torch._operator import OPERATORS  # noqa: E402

KERNELS = {name: operator.run for name, operator in OPERATORS.items()}


@pytest.fixture
def tensors_on_a_device(monkeypatch: pytest.MonkeyPatch, emulated: Emulation) -> None:
    """Let the kernels take tensors for CUDA tensors, so that all of them runs where PyTorch has no device.

    An emulated device has memory of the host; a real one cannot read that of these tensors.
    """
    monkeypatch.setattr(_tensors, "_on_device", lambda tensor: True)
    monkeypatch.setattr(_tensors, "_device_index", lambda tensor: 0)
    monkeypatch.setattr(_tensors, "_from_device", lambda array: torch.from_numpy(array.numpy()))
    monkeypatch.setattr(_tensors, "_stream", lambda device: 0)
    dm._core.use_memory_of_torch(lambda size, device: torch.empty(max(size, 1), dtype=torch.uint8), 0, 0)


def arguments(scene: Scene, dtype: Any, layers: list[int]) -> list[Any]:
    """Arguments of the operator `rollout`."""
    tensors = {name: torch.tensor(np.asarray(a, dtype)) for name, a in scene.inputs.items()}
    names = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag")
    config = pack_params(configuration(scene))
    return [*(tensors[name] for name in names), config, scene.steps, scene.control_stride, layers, True, True, 0]


def results(scene: Scene, dtype: Any, kernels: dict[str, Any], layers: list[int]) -> dict[str, Any]:
    """States, gradients, losses and mass on the grid by the kernels."""
    *states, trajectory = kernels["rollout"](*arguments(scene, dtype, layers))
    out = dict(zip(("x", "v", "C", "F", "G"), states, strict=True))
    rng = np.random.default_rng(0)
    cotangents = [torch.tensor(np.asarray(rng.standard_normal(s.shape), dtype)) for s in states]
    control_steps = scene.inputs["control"].shape[0]
    result = kernels["rollout_vjp"](trajectory, *cotangents, layers, (1 << 12) - 1, control_steps)
    out |= {f"adj_{name}": g for name, g in zip(OPERATORS["rollout_vjp"].wrt, result, strict=True)}
    config = pack_params(configuration(scene))
    x, mass = (torch.tensor(np.asarray(scene.inputs[name], dtype)) for name in ("x", "mass"))
    grid = kernels["grid_mass"](x, mass, config)
    out["grid"], target = grid, torch.tensor(np.asarray(rng.random(tuple(grid.shape)), dtype))
    out["value"], adj = kernels["mass_loss"](grid, target, 0, 0.5, 2.0)
    out["adj_grid"] = adj
    out["grid_x"], out["grid_m"] = kernels["grid_mass_vjp"](x, mass, adj, config)
    out["speed"], out["adj_speed"] = kernels["kinetic_loss"](states[1] if not layers else states[1][0])
    flat = kernels["mass_loss"](grid.flatten(), target.flatten(), 1, 1.0, 1.0)
    out["flat"], out["adj_flat"] = flat
    assert all(t.dtype == x.dtype for t in out.values())
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layers", [[], [3, 9]], ids=["end", "layers"])
@pytest.mark.parametrize("basis", BASES)
def test_kernels(
    basis: str, layers: list[int], dtype: Any, rng: np.random.Generator, request: pytest.FixtureRequest
) -> None:
    scene = make_scene(rng, basis, option="all").rounded(dtype)
    expected = results(scene, dtype, KERNELS, layers)
    request.getfixturevalue("tensors_on_a_device")
    on_device = {name: _tensors.on_stream(kernel) for name, kernel in KERNELS.items()}
    got = results(scene, dtype, on_device, layers)
    for name, tensor in expected.items():
        assert_same_vector(got[name].numpy(), tensor.numpy(), 10.0 * tol.PARITY[np.dtype(dtype)], name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_kernels_of_the_rasteriser(
    form: str, dtype: Any, rng: np.random.Generator, request: pytest.FixtureRequest
) -> None:
    scene = make_gaussians(rng, "opaque", form)
    fixed = {"viewmats": np.float64}
    tensors = {name: torch.tensor(a.astype(fixed.get(name, dtype))) for name, a in scene.inputs.items()}
    names = ("means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats")
    inputs = [tensors.get(name) for name in names]
    cotangents = [torch.tensor(scene.cotangents[name].astype(dtype)) for name in ("color", "alpha", "depth")]
    cotangents[1:] = (plane[..., None] for plane in cotangents[1:])
    wrt = sum(1 << bit for bit, value in enumerate(inputs) if value is not None)
    lenses = torch.tensor(np.stack([scene.K, scene.K]))

    def run(draw: Any, pull: Any) -> list[Any]:
        *drawn, images = draw(*inputs, lenses, scene.width, scene.height, 0.01)
        return [*drawn, *pull(images, tensors["means"], tensors["colors"], *cotangents, wrt)]

    outputs = [run(KERNELS["rasterize"], KERNELS["rasterize_vjp"])]
    with request.getfixturevalue("emulated").native_operators(0, lambda: 0):
        outputs.append(run(torch.ops.diffmpm.rasterize, torch.ops.diffmpm.rasterize_vjp))
    request.getfixturevalue("tensors_on_a_device")
    outputs.append(run(KERNELS["rasterize"], KERNELS["rasterize_vjp"]))
    for output in outputs[1:]:
        for got, expected in zip(output, outputs[0], strict=True):
            assert got.dtype == expected.dtype
            assert_same_vector(got.numpy(), expected.numpy(), tol.PARITY[np.dtype(dtype)])
    for native, python in zip(*outputs[1:], strict=True):
        assert_same_bits(native.numpy(), python.numpy())


@pytest.mark.usefixtures("tensors_on_a_device")
@pytest.mark.parametrize("name", ["mass", "volume", "lam", "mu"])
def test_constants_are_checked(name: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    for bad in (np.nan, -1.0):
        constant = scene.inputs[name].copy()
        constant[3] = bad
        with pytest.raises(ConfigError, match=f"{name}: expected finite values >=? 0, got some that are not"):
            KERNELS["rollout"](*arguments(scene.with_inputs(**{name: constant}), np.float64, []))


def test_functions_on_cuda_tensors(rng: np.random.Generator) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA device")
    scene = make_scene(rng, option="all", steps=5)
    gradients = []
    for device in ("cpu", "cuda"):
        tensors = {
            name: torch.tensor(a, device=device, requires_grad=True) for name, a in scene.inputs.items() if name != "G"
        }
        with torch.cuda.stream(torch.cuda.Stream()):
            out = dmt.rollout(configuration(scene), 5, control_stride=2, grid_mass=True, **tensors)
            loss = dmt.log_mass(out.grid_mass, torch.zeros_like(out.grid_mass)) + dmt.kinetic(out.v)
            loss.backward()
        torch.cuda.synchronize()
        assert out.x.device.type == device
        gradients.append({name: tensor.grad.cpu().numpy() for name, tensor in tensors.items()})
    for name in INPUTS:
        if name in gradients[0]:
            assert_same_vector(gradients[1][name], gradients[0][name], 1e-10, name)
    with pytest.raises(ConfigError, match="v: expected a tensor on cuda"):
        dmt.rollout(configuration(scene), 1, **{**tensors, "v": tensors["v"].detach().cpu()})


def surface_results(dtype: Any, kernels: dict[str, Any]) -> dict[str, Any]:
    """Gaussians and gradients of a body by the kernels, with all cotangents and with one."""
    rng = np.random.default_rng(1)
    x = dm.sample("torus", particles=500, dtype=dtype).x
    F = torch.tensor(np.asarray(np.eye(3) + 0.2 * rng.standard_normal((len(x), 3, 3)), dtype))
    body = torch.tensor(x), F, torch.tensor(0.8, dtype=F.dtype)
    *binding, _ = dmt.bind(*body[:2], samples=400)
    gaussians = kernels["surface"](*body, *binding)
    out = {f"gaussians_{n}": tensor for n, tensor in enumerate(gaussians)}
    adjoints = [torch.tensor(np.asarray(rng.standard_normal(t.shape), dtype)) for t in gaussians]
    for name, adj in (("all", adjoints), ("means", [adjoints[0], None, None, None])):
        result = kernels["surface_vjp"](*body, *binding, *adj)
        out |= {f"{name}_{n}": gradient for n, gradient in zip(("x", "F", "sigma0"), result, strict=True)}
    assert all(t.dtype == F.dtype for t in out.values())
    return out


@pytest.mark.parametrize("dtype", DTYPES)
def test_surface_kernels(dtype: Any, request: pytest.FixtureRequest) -> None:
    expected = surface_results(dtype, KERNELS)
    request.getfixturevalue("tensors_on_a_device")
    got = surface_results(dtype, {name: _tensors.on_stream(kernel) for name, kernel in KERNELS.items()})
    for name, tensor in expected.items():
        assert_same_vector(got[name].numpy(), tensor.numpy(), tol.PARITY[np.dtype(dtype)], name)


def test_gaussians_of_cuda_tensors(rng: np.random.Generator) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA device")
    x = dm.sample("torus", particles=500, dtype=np.float64).x
    F = np.eye(3) + 0.2 * rng.standard_normal((len(x), 3, 3))
    adj = torch.tensor(rng.standard_normal((400, 3, 3)))
    gradients = []
    for device in ("cpu", "cuda"):
        tensors = [torch.tensor(a, device=device, requires_grad=True) for a in (x, F, np.asarray(0.8))]
        out = dmt.gaussians(tensors[0], tensors[1], samples=400, sigma0=tensors[2])
        ((out.covars * adj.to(device)).sum() + out.means.square().sum()).backward()
        assert out.means.device.type == out.parents.device.type == device
        gradients.append([tensor.grad.cpu().numpy() for tensor in tensors])
    for got, expected in zip(*reversed(gradients), strict=True):
        assert_same_vector(got, expected, 1e-10)
    binding = dmt.bind(*(torch.tensor(a) for a in (x, F)), samples=50)
    with pytest.raises(ConfigError, match="binding: expected cuda:0, the device of x, got cpu; bind it again"):
        dmt.gaussians(tensors[0].detach(), tensors[1].detach(), binding=binding)


def test_memory_of_a_tensor_is_shared_and_kept() -> None:
    tensor = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    on_device = tensor.cuda() if torch.cuda.is_available() else tensor  # the emulated device has memory of the host
    alive = weakref.ref(on_device)
    array = dm._core.view_memory(on_device.data_ptr(), (2, 3), "float64", 0, on_device)
    del on_device
    assert alive() is not None
    np.testing.assert_array_equal(array.numpy(), np.arange(6.0).reshape(2, 3))
    part = array[1]
    del array
    np.testing.assert_array_equal(part.numpy(), [3.0, 4.0, 5.0])
