# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Arguments of the public functions: bindings, cameras, numbers, and the gradient of the projected means."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest


@pytest.fixture
def ball(torch: Any, dmt: Any) -> tuple[Any, dict[str, Any], Any]:
    body = dm.sample("sphere", particles=100, dtype=np.float64)
    return body, dmt.tensors(body), dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-3)).config


def test_every_second_sample_of_a_binding(ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, _ = ball
    full_binding = dmt.bind(inputs["x"], inputs["F"], samples=50)
    half = dmt.SurfaceBinding(*(t[::2] for t in full_binding[:5]), full_binding.sigma0)
    x, y = (inputs["x"].clone().requires_grad_() for _ in range(2))
    part, full = dmt.gaussians(x, inputs["F"], binding=half), dmt.gaussians(y, inputs["F"], binding=full_binding)
    for a, b in zip(part, full, strict=True):
        assert torch.equal(a, b[::2])
    part.means.square().sum().backward()
    full.means[::2].square().sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_a_binding_of_another_body_is_refused(ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, _ = ball
    binding = dmt.bind(inputs["x"], inputs["F"], samples=50)
    assert int(binding.parents.max()) >= 20
    with pytest.raises(dm.ConfigError, match="parents: expected indices from 0 to 19, got"):
        dmt.gaussians(inputs["x"][:20], inputs["F"][:20], binding=binding)
    with pytest.raises(dm.ConfigError, match=r"parents: expected torch\.int32, got torch\.int64"):
        dmt.gaussians(inputs["x"], inputs["F"], binding=binding._replace(parents=binding.parents.long()))
    with pytest.raises(dm.ConfigError, match=r"offsets: expected shape \(50, 8, 3\), got \(49, 8, 3\)"):
        dmt.gaussians(inputs["x"], inputs["F"], binding=binding._replace(offsets=binding.offsets[1:]))


def test_a_parent_index_that_changes_after_the_forward_pass_is_refused(ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, _ = ball
    x = inputs["x"].clone().requires_grad_()
    binding = dmt.bind(x, inputs["F"], samples=50)
    means = dmt.gaussians(x, inputs["F"], binding=binding).means
    binding.parents.numpy()[:] = 2**30  # PyTorch's version counter does not change
    with pytest.raises(dm.ConfigError, match="parents: expected indices from 0 to"):
        means.sum().backward()


BAD_CAMERAS = {
    "viewmats: expected a last row of (0, 0, 0, 1)": lambda v, K: (v.transpose(1, 2), K),
    "viewmats: expected finite values, got nan": lambda v, K: (v * float("nan"), K),
    "Ks: expected ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) without skew": lambda v, K: (v, K.transpose(1, 2)),
    "Ks: expected focal lengths > 0": lambda v, K: (v, K * K.new_tensor([[-1, 0, 1], [0, -1, 1], [0, 0, 1]])),
    "Ks: expected finite values": lambda v, K: (v, K * float("inf")),
    "Ks: expected ((fx, 0, cx)": lambda v, K: (v, K * 0),
}


@pytest.mark.parametrize("message", BAD_CAMERAS)
def test_cameras_are_checked_as_in_the_package(message: str, ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, _ = ball
    camera = dm.Camera.look_at((3, 1, 1), (0, 0, 0), width=8, height=8)
    matrices = [torch.from_numpy(a[None].copy()) for a in (camera.viewmat, camera.K)]
    viewmats, Ks = BAD_CAMERAS[message](*matrices)
    splats = {"covars": 0.01 * inputs["F"], "opacities": torch.ones_like(inputs["mass"]), "colors": inputs["x"]}
    for dtype in (torch.float64, torch.float32):
        with pytest.raises(dm.ConfigError) as caught:
            dmt.rasterize(inputs["x"], **splats, viewmats=viewmats.to(dtype), Ks=Ks.to(dtype), width=8, height=8)
        assert message in str(caught.value)
    with pytest.raises(dm.ConfigError) as native:
        arrays = {name: value.numpy() for name, value in splats.items()}
        dm.rasterize(inputs["x"].numpy(), **arrays, viewmats=viewmats.numpy(), Ks=Ks.numpy(), width=8, height=8)
    assert message in str(native.value)


def test_gradient_of_the_projected_means(ball: Any, torch: Any, dmt: Any, rng: Any) -> None:
    """Per camera and pixel. The reference is the principal point, which moves every projected mean and nothing else."""
    _, inputs, _ = ball
    cameras = dm.Camera.orbit(radius=4.0, count=2, width=24, height=18)
    viewmats, Ks = (torch.from_numpy(np.stack([getattr(c, name) for c in cameras])) for name in ("viewmat", "K"))
    weights = torch.from_numpy(rng.standard_normal((2, 18, 24, 3)))
    splats = {"covars": 0.02 * inputs["F"], "opacities": 0.7 * torch.ones_like(inputs["mass"]), "colors": inputs["x"]}

    def draw(x: Any, Ks: Any) -> Any:
        image, _, meta = dmt.rasterize(x, **splats, viewmats=viewmats, Ks=Ks, width=24, height=18)
        return (image * weights).sum((1, 2, 3)), meta

    x = inputs["x"].clone().requires_grad_()
    losses, meta = draw(x, Ks)
    meta["means2d"].retain_grad()
    losses.sum().backward()
    result = meta["means2d"].grad
    assert result.shape == (2, len(x), 2)
    for axis in range(2):
        step = torch.zeros_like(Ks)
        step[:, axis, 2] = 1e-6
        difference = (draw(inputs["x"], Ks + step)[0] - draw(inputs["x"], Ks - step)[0]) / 2e-6
        assert torch.allclose(result[..., axis].sum(1), difference, rtol=1e-5)
    native = dm.rasterize(
        inputs["x"].numpy(), **{name: value.numpy() for name, value in splats.items()}, viewmats=viewmats.numpy(),
        Ks=Ks.numpy(), width=24, height=18,
    ).vjp(adj_color=weights.numpy(), wrt=("means", "means2d"))  # fmt: skip
    assert np.array_equal(native.means2d, result.numpy()) and np.array_equal(native.means, x.grad.numpy())
    (again,) = torch.autograd.grad(draw(x, Ks)[0].sum(), x)
    assert torch.equal(again, x.grad), "asking for it changes nothing"


def test_a_loss_of_the_projected_means_is_refused(ball: Any, torch: Any, dmt: Any) -> None:
    """Its gradient would not reach the means; the error says so."""
    _, inputs, _ = ball
    x = inputs["x"].clone().requires_grad_()
    camera = dm.Camera.look_at((3, 1, 1), (0, 0, 0), width=8, height=8)
    splats = {"covars": 0.02 * inputs["F"], "opacities": torch.ones_like(inputs["mass"]), "colors": inputs["x"]}
    image, _, meta = dmt.rasterize(x, **splats, cameras=camera)
    for loss in (meta["means2d"].sum(), meta["means2d"].sum() + image.sum()):
        with pytest.raises(NotImplementedError, match="means2d: expected to be read for the gradient"):
            loss.backward(retain_graph=True)
    image.sum().backward()


def test_numpy_scalars_are_accepted_as_numbers(ball: Any, torch: Any, dmt: Any) -> None:
    body, inputs, config = ball
    plain = dmt.rollout(config, 3, **inputs).x
    inputs["mass"] = np.float32(body.mass[0])
    inputs["volume"] = np.float64(body.volume[0])
    result = dmt.rollout(config, np.int64(3), **inputs, control_stride=np.int32(1), memory_budget=np.uint64(1 << 30))
    assert torch.allclose(result.x, plain)
    assert dm.Simulation(body, config).rollout(np.int64(3)).x.shape == (body.count, 3)
    dmt.grid_mass(inputs["x"], np.int64(1), config)


@pytest.mark.parametrize("value", [-5.0, float("nan"), float("inf")])
def test_invalid_drag_is_refused(value: float, ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, config = ball
    with pytest.raises(dm.ConfigError, match="drag: expected a finite number >= 0, got"):
        dmt.rollout(config, 3, **inputs, drag=torch.tensor(value, dtype=torch.float64))
    if value != -5.0:
        gravity = torch.full((3,), value, dtype=torch.float64)
        with pytest.raises(dm.ConfigError, match="gravity: expected a finite number, got"):
            dmt.rollout(config, 3, **inputs, gravity=gravity)


def test_arrays_in_place_of_tensors_are_refused(ball: Any, torch: Any, dmt: Any) -> None:
    _, inputs, _ = ball
    camera = dm.Camera.look_at((3, 0, 0), (0, 0, 0), width=8, height=8)
    good = {"covars": inputs["F"], "opacities": inputs["mass"], "colors": inputs["x"]}
    for name in good:
        with pytest.raises(dm.ConfigError, match=f"{name}: expected a torch.Tensor, got ndarray"):
            dmt.rasterize(inputs["x"], **{**good, name: good[name].numpy()}, cameras=camera)
