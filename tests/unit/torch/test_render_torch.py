# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.torch.gaussians`, `rasterize` and `shade`: values and gradients of the package, in PyTorch's terms."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
import tolerances as tol

WIDTH, HEIGHT = 21, 17


def splats(rng: Any, torch: Any, dtype: Any = np.float64, count: int = 12, grad: bool = True) -> dict[str, Any]:
    """Return some Gaussians in front of two cameras, as leaf tensors."""
    root = 0.15 * rng.standard_normal((count, 3, 3))
    arrays = {
        "means": rng.uniform(-0.6, 0.6, (count, 3)),
        "covars": root @ root.swapaxes(1, 2) + 0.01 * np.eye(3),
        "quats": rng.standard_normal((count, 4)),
        "scales": rng.uniform(0.05, 0.3, (count, 3)),
        "opacities": rng.uniform(0.3, 0.9, count),
        "colors": rng.uniform(0, 1, (count, 3)),
        "backgrounds": rng.uniform(0, 1, (2, 3)),
    }
    return {name: torch.tensor(np.asarray(a, dtype), requires_grad=grad) for name, a in arrays.items()}


def views(torch: Any, dtype: Any = None) -> dict[str, Any]:
    cameras = [
        dm.Camera.look_at(eye, (0, 0, 0), (0, 0, 1), fov=40.0, width=WIDTH, height=HEIGHT)
        for eye in ((2.5, 1.0, 0.6), (-0.5, -2.6, 0.3))
    ]
    dtype = dtype or torch.float64
    return {
        "viewmats": torch.tensor(np.stack([c.viewmat for c in cameras]), dtype=dtype),
        "Ks": torch.tensor(np.stack([c.K for c in cameras]), dtype=dtype),
        "width": WIDTH,
        "height": HEIGHT,
    }


def chosen(inputs: dict[str, Any], form: str) -> dict[str, Any]:
    """Leave out one of the two parametrisations."""
    left_out = ("quats", "scales") if form == "covars" else ("covars",)
    return {name: value for name, value in inputs.items() if name not in left_out}


@pytest.mark.parametrize("form", ["covars", "quats"])
@pytest.mark.parametrize("dtype", scenes.DTYPES)
def test_equals_the_native_rasteriser(dtype: Any, form: str, rng: Any, torch: Any, dmt: Any) -> None:
    inputs, view = chosen(splats(rng, torch, dtype), form), views(torch)
    colors, alphas, meta = dmt.rasterize(**inputs, **view, render_mode="RGB+D")
    arrays = {name: value.detach().numpy() for name, value in inputs.items()}
    native = dm.rasterize(arrays.pop("means"), **arrays, **{k: np.asarray(v) for k, v in view.items() if k[0] in "vK"},
                          width=WIDTH, height=HEIGHT)  # fmt: skip
    assert colors.shape == (2, HEIGHT, WIDTH, 4) and alphas.shape == (2, HEIGHT, WIDTH, 1)
    scenes.assert_same_bits(colors[..., :3].detach().numpy(), native.color)
    scenes.assert_same_bits(colors[..., 3].detach().numpy(), native.depth)
    scenes.assert_same_bits(alphas[..., 0].detach().numpy(), native.alpha)
    for name in ("means2d", "radii", "depths"):
        scenes.assert_same_bits(meta[name].detach().numpy(), getattr(native.meta, name), name)
    for name in ("visible", "culled_near", "culled_frustum", "culled_transparent", "rejected_degenerate"):
        scenes.assert_same_bits(meta[name].numpy(), np.ascontiguousarray(getattr(native.meta, name)), name)
    assert meta["backend"] == "diffmpm" and meta["n_cameras"] == 2
    cotangents = [rng.standard_normal(t.shape).astype(dtype) for t in (native.color, native.alpha, native.depth)]
    weights = [torch.from_numpy(a) for a in cotangents]
    loss = (colors[..., :3] * weights[0]).sum() + (alphas[..., 0] * weights[1]).sum()
    (loss + (colors[..., 3] * weights[2]).sum()).backward()
    names = tuple(inputs)
    expected = native.vjp(adj_color=cotangents[0], adj_alpha=cotangents[1], adj_depth=cotangents[2], wrt=names)
    for name in names:
        scenes.assert_same_bits(inputs[name].grad.numpy(), getattr(expected, name), name)


@pytest.mark.parametrize("mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
def test_gradcheck_of_the_rasteriser(mode: str, rng: Any, torch: Any, dmt: Any) -> None:
    inputs, view = splats(rng, torch, count=5), views(torch)
    view["viewmats"].requires_grad_()
    for form in ("covars", "quats"):
        names = [*chosen(inputs, form), "viewmats"]
        rest = {name: value for name, value in view.items() if name != "viewmats"}

        def function(*values: Any, names: Any = names, rest: Any = rest) -> Any:
            named = dict(zip(names, values, strict=True))
            if "covars" in named:  # the symmetric part counts
                named["covars"] = 0.5 * (named["covars"] + named["covars"].transpose(1, 2))
            colors, alphas, _ = dmt.rasterize(**named, **rest, render_mode=mode)
            return colors, alphas

        values = [inputs[name] if name in inputs else view[name] for name in names]
        assert torch.autograd.gradcheck(function, values, eps=1e-7, atol=1e-4, rtol=1e-4, fast_mode=True)


def test_equals_the_oracle(torch: Any, dmt: Any) -> None:
    with np.load(Path(__file__).parents[2] / "regression" / "oracle" / "splat_scene_a.npz") as file:
        data = {name: np.asarray(file[name]) for name in file.files}
    names = ("means", "quats", "scales", "opacities", "colors")
    inputs = {name: torch.tensor(data[name], requires_grad=True) for name in names}
    background = torch.tensor(data["background"], requires_grad=True)
    colors, alphas, _ = dmt.rasterize(
        **inputs, viewmats=torch.tensor(data["viewmat"])[None], Ks=torch.tensor(data["K"])[None],
        width=int(data["width"]), height=int(data["height"]), backgrounds=background[None], render_mode="RGB+D",
    )  # fmt: skip
    cots = {name: torch.tensor(data[f"cot_{name}"]) for name in ("image", "alpha", "depth")}
    loss = (colors[0, ..., :3] * cots["image"]).sum() + (alphas[0, ..., 0] * cots["alpha"]).sum()
    loss = loss + (colors[0, ..., 3] * cots["depth"]).sum()
    assert loss.item() == pytest.approx(float(data["loss"]), rel=1e-12)
    loss.backward()
    for name, tensor in {**inputs, "background": background}.items():
        scenes.assert_same_vector(tensor.grad.numpy(), data[f"g_{name}"], 1e-9, name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_opcheck(rng: Any, torch: Any, dmt: Any) -> None:
    inputs, view = splats(rng, torch), views(torch)
    for form in ("covars", "quats"):
        part = chosen(inputs, form)
        arguments = [part.get(n) for n in ("means", "covars", "quats", "scales", "opacities", "colors", "backgrounds")]
        torch.library.opcheck(torch.ops.diffmpm.rasterize.default, (*arguments, *view.values(), 0.01))
    x, F, binding = body(rng, torch, dmt)
    arguments = (x.requires_grad_(), F.requires_grad_(), torch.tensor(0.8, dtype=torch.float64, requires_grad=True))
    torch.library.opcheck(torch.ops.diffmpm.surface.default, (*arguments, *binding[:5]))


def test_changed_inputs_are_refused(rng: Any, torch: Any, dmt: Any) -> None:
    """The adjoint reads the inputs again, so a change in between must not give the gradient of another image."""
    inputs = chosen(splats(rng, torch), "covars")
    colors, _, _ = dmt.rasterize(**inputs, **views(torch))
    with torch.no_grad():
        inputs["means"] += 0.1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        colors.sum().backward()


def test_gaussians_are_drawn_as_their_arrays(rng: Any, torch: Any, dmt: Any) -> None:
    x, F, binding = body(rng, torch, dmt)
    surface = dmt.gaussians(x, F, binding=binding)
    camera = dm.Camera.look_at((0, -6, 2), (0, 0, 0), width=WIDTH, height=HEIGHT)
    image, alpha, _ = dmt.rasterize(surface, camera, render_mode="RGB+ED")
    ones = torch.ones_like(surface.means)
    expected = dmt.rasterize(
        surface.means, covars=surface.covars, opacities=ones[:, 0], colors=0.8 * ones, cameras=camera,
        render_mode="RGB+ED",
    )  # fmt: skip
    assert torch.equal(image, expected[0]) and torch.equal(alpha, expected[1])
    with pytest.raises(dm.ConfigError, match="covars: expected None beside Gaussians"):
        dmt.rasterize(surface, camera, covars=surface.covars)


def test_cameras_and_one_camera_for_all(rng: Any, torch: Any, dmt: Any) -> None:
    inputs = chosen(splats(rng, torch), "quats")
    del inputs["backgrounds"]
    cameras = dm.Camera.orbit(radius=3.0, count=3, width=WIDTH, height=HEIGHT)
    colors, _, _ = dmt.rasterize(**inputs, cameras=cameras)
    alone, _, _ = dmt.rasterize(**inputs, cameras=cameras[1])
    assert colors.shape == (3, HEIGHT, WIDTH, 3)
    assert torch.equal(colors[1], alone[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compile_of_surface_and_image(backend: str, rng: Any, torch: Any, dmt: Any) -> None:
    x, F, binding = body(rng, torch, dmt)
    view = views(torch)

    def loss(x: Any, F: Any) -> Any:
        g = dmt.gaussians(x, F, binding=binding)
        colors, alphas, _ = dmt.rasterize(
            g.means,
            covars=g.covars,
            opacities=torch.full_like(g.means[:, 0], 0.8),
            colors=0.5 + 0.5 * g.normals,
            **view,
        )
        return colors.square().sum() + alphas.sum()

    gradients = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend=backend)):
        leaves = [t.clone().requires_grad_() for t in (x, F)]
        function(*leaves).backward()
        gradients.append([leaf.grad.numpy() for leaf in leaves])
    for eager, compiled in zip(*gradients, strict=True):
        scenes.assert_same_vector(compiled, eager, tol.MIRROR)


def body(rng: Any, torch: Any, dmt: Any, count: int = 150, samples: int = 40) -> tuple[Any, Any, Any]:
    """Return positions and deformation gradients of a deformed ball, and a binding of its surface."""
    x = dm.sample("sphere", particles=count, dtype=np.float64).x * 0.6
    F = np.eye(3) + 0.05 * rng.standard_normal((len(x), 3, 3))
    pair = torch.from_numpy(x), torch.from_numpy(F)
    return *pair, dmt.bind(*pair, samples=samples, seed=3)


def test_gaussians_equal_the_native_ones(rng: Any, torch: Any, dmt: Any) -> None:
    x, F, binding = body(rng, torch, dmt)
    native = dm.gaussians(x.numpy(), F.numpy(), samples=40, seed=3)
    x.requires_grad_(), F.requires_grad_()
    for result in (dmt.gaussians(x, F, samples=40, seed=3), dmt.gaussians(x, F, binding=binding)):
        for name in ("means", "covars", "normals", "weights", "parents"):
            scenes.assert_same_bits(getattr(result, name).detach().numpy(), getattr(native, name), name)
    cotangents = [rng.standard_normal(a.shape) for a in (native.means, native.covars, native.normals, native.weights)]
    outputs = (result.means, result.covars, result.normals, result.weights)
    sum((t * torch.from_numpy(a)).sum() for t, a in zip(outputs, cotangents, strict=True)).backward()
    adj_x, adj_F = native.vjp(*cotangents)
    scenes.assert_same_bits(x.grad.numpy(), adj_x)
    scenes.assert_same_bits(F.grad.numpy(), adj_F)


def test_gradcheck_of_the_surface(rng: Any, torch: Any, dmt: Any) -> None:
    x, F, binding = body(rng, torch, dmt, 60, 10)
    sigma0 = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def function(x: Any, F: Any, sigma0: Any) -> Any:
        return dmt.gaussians(x, F, binding=binding, sigma0=sigma0)[:4]

    values = (x.requires_grad_(), F.requires_grad_(), sigma0)
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("binding_first", [True, False])
def test_pixels_to_controls(binding_first: bool, rng: Any, torch: Any, dmt: Any) -> None:
    """One backward() through renderer, surface and physics matches central differences along random directions."""
    ball = dm.sample("sphere", particles=200, dtype=np.float64)
    ball = ball.replace(x=0.6 * ball.x, volume=0.216 * ball.volume)
    sim = dm.Simulation(ball, dm.SimConfig(dx=0.2, dt=2e-3, smoothing=0.3))
    view, inputs = views(torch), dmt.tensors(ball)
    control = 0.02 * torch.from_numpy(rng.standard_normal((4, ball.count, 3, 3)))
    start = dmt.rollout(sim.config, 4, control=control, motion_gradient=True, **inputs)
    binding = (
        dmt.bind(inputs["x"], inputs["F"], samples=60) if binding_first else dmt.bind(start.x, start.G, samples=60)
    )
    target = torch.from_numpy(rng.uniform(0, 1, (2, HEIGHT, WIDTH, 3)))

    def loss(control: Any) -> Any:
        out = dmt.rollout(sim.config, 4, control=control, motion_gradient=True, **inputs)
        g = dmt.gaussians(out.x, out.G, binding=binding)
        opacity = torch.full_like(g.means[:, 0], 0.7)
        colors, _, _ = dmt.rasterize(g.means, covars=g.covars, opacities=opacity, colors=0.5 + 0.5 * g.normals, **view)
        return (colors - target).square().sum()

    leaf = control.clone().requires_grad_()
    loss(leaf).backward()
    for _ in range(3):
        direction = torch.from_numpy(rng.standard_normal(control.shape))
        step = 1e-6
        difference = float(loss(control + step * direction) - loss(control - step * direction)) / (2 * step)
        assert float((leaf.grad * direction).sum()) == pytest.approx(difference, rel=1e-5)


def test_shade(rng: Any, torch: Any, dmt: Any) -> None:
    arrays = [rng.standard_normal((20, 3)), rng.standard_normal((20, 3)), rng.uniform(0, 1, (20, 3))]
    options = {"eye": (3.0, 1.0, 2.0), "specular": 0.4, "lights": dm.render.PointLight((1.0, 2.0, 3.0))}
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    colors = dmt.shade(tensors[0], tensors[1], albedo=tensors[2], **options)
    native = dm.render.shade(arrays[0], arrays[1], albedo=arrays[2], **options)
    scenes.assert_same_bits(colors.detach().numpy(), native.color)
    assert torch.autograd.gradcheck(lambda n, p, a: dmt.shade(n, p, albedo=a, **options), tensors, fast_mode=True)
    (gradient,) = torch.autograd.grad(dmt.shade(tensors[0], tensors[1], albedo=tensors[2], **options).sum(), tensors[0],
                                      create_graph=True)  # fmt: skip
    with pytest.raises(NotImplementedError, match="double backward is not supported"):
        gradient.sum().backward()


def test_cuda_tensors_go_to_gsplat(monkeypatch: pytest.MonkeyPatch, rng: Any, torch: Any, dmt: Any) -> None:
    """Without a device: a fake CUDA tensor, and a fake gsplat that records its arguments."""
    from diffmpm.torch import render

    calls: dict[str, Any] = {}

    def rasterization(*args: Any, **options: Any) -> tuple[str, str, dict[str, Any]]:
        calls.update(count=len(args), options=options)
        return "colors", "alphas", {"width": args[7]}

    class OnDevice(torch.Tensor):
        is_cuda = True

    inputs = splats(rng, torch, grad=False)
    inputs["means"] = inputs["means"].as_subclass(OnDevice)
    del inputs["covars"]
    monkeypatch.setitem(sys.modules, "gsplat", SimpleNamespace(rasterization=rasterization))
    colors, _, meta = dmt.rasterize(**inputs, **views(torch), render_mode="RGB+ED")
    assert colors == "colors" and meta == {"width": WIDTH, "backend": "gsplat"}
    assert calls["count"] == 9 and calls["options"]["render_mode"] == "RGB+ED"
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(dm.MissingPackageError, match="gsplat: needed for CUDA tensors"):
        dmt.rasterize(**inputs, **views(torch))
    assert render.MODES[0] == "RGB"


def bad_calls(torch: Any) -> dict[str, Any]:
    return {
        "render_mode: expected one of RGB, D, ED, RGB+D, RGB+ED, got 'X'": {"render_mode": "X"},
        "opacities: expected shape (12,), got (3,)": {"opacities": torch.ones(3, dtype=torch.float64)},
        "width: expected a value, got None": {"width": None},
        "covars: expected either covars or quats and scales": {"covars": None},
        "colors: expected shape (12, N), got (12,)": {"colors": torch.ones(12, dtype=torch.float64)},
        "viewmats: expected shape (N, 4, 4), got (2, 3, 4)": {"viewmats": torch.ones(2, 3, 4)},
        "Ks: expected shape (2, 3, 3), got (1, 3, 3)": {"Ks": torch.ones(1, 3, 3)},
        "width: expected an integer from 1 to 32768, got 0": {"width": 0},
        "backgrounds: expected shape (2, 3), got (3,)": {"backgrounds": torch.ones(3, dtype=torch.float64)},
    }


def test_bad_arguments(rng: Any, torch: Any, dmt: Any) -> None:
    inputs = {**chosen(splats(rng, torch), "covars"), **views(torch)}
    for message, change in bad_calls(torch).items():
        with pytest.raises(dm.ConfigError) as caught:
            dmt.rasterize(**{**inputs, **change})
        assert message in str(caught.value)
    with pytest.raises(dm.ConfigError, match="cameras: expected a Camera or a sequence of them"):
        dmt.rasterize(**chosen(splats(rng, torch), "covars"), cameras=[])
    x, F, binding = body(rng, torch, dmt)
    with pytest.raises(dm.ConfigError, match=r"binding: expected torch.float32, the dtype of x, got torch.float64"):
        dmt.gaussians(x.float(), F.float(), binding=binding)
    with pytest.raises(dm.ConfigError, match=r"F: expected shape \(\d+, 3, 3\), got"):
        dmt.gaussians(x, F[:3], binding=binding)


def test_double_backward_is_refused(rng: Any, torch: Any, dmt: Any) -> None:
    inputs = chosen(splats(rng, torch), "covars")
    colors, _, _ = dmt.rasterize(**inputs, **views(torch))
    x, F, binding = body(rng, torch, dmt)
    x.requires_grad_()
    for value, leaf in ((colors, inputs["means"]), (dmt.gaussians(x, F, binding=binding).means, x)):
        (gradient,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        with pytest.raises(NotImplementedError, match="double backward is not supported"):
            gradient.sum().backward()


def test_near_plane_in_units_of_the_scene(torch: Any, dmt: Any) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 3)) * 5e-4)
    camera = dm.Camera.look_at((0, 0, 4e-3), (0, 0, 0), (0, 1, 0), width=32, height=32)
    inputs = {
        "covars": 1e-8 * torch.eye(3, dtype=x.dtype).repeat(100, 1, 1), "opacities": torch.ones(100, dtype=x.dtype),
        "colors": torch.ones(100, 3, dtype=x.dtype),
    }  # fmt: skip
    image, _, meta = dmt.rasterize(x, **inputs, cameras=camera)
    assert float(image.max()) > 0.99
    assert meta["culled_near"].tolist() == [0]
    native = dm.rasterize(x.numpy(), **{k: v.numpy() for k, v in inputs.items()}, cameras=camera)
    np.testing.assert_array_equal(image[0].numpy(), native.color)
    matrices = torch.from_numpy(camera.viewmat.copy())[None], torch.from_numpy(camera.K.copy())[None]
    pose = {"viewmats": matrices[0], "Ks": matrices[1], "width": 32, "height": 32}
    assert dmt.rasterize(x, **inputs, **pose)[2]["culled_near"].tolist() == [100]
    again = dmt.rasterize(x.requires_grad_(), **inputs, **pose, near_plane=1e-4)[0]
    np.testing.assert_array_equal(again.detach().numpy(), image.numpy())
    again.sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())
