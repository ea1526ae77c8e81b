# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The legacy renderer and its matrices."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm.renderer import GSRenderer3DGS, make_matrices_from_yaml
from numpy.testing import assert_allclose

CFG = {
    "width": 32,
    "height": 24,
    "fov": 40.0,
    "lookat": {"eye": [0.5, 1.0, 4.0], "target": [0.1, 0, 0], "up": [0, 1, 0]},
}
K = np.array([[30.0, 0.0, 14.0], [0.0, 33.0, 13.5], [0.0, 0.0, 1.0]])


def splats(rng: Any, dtype: Any = np.float64, count: int = 15) -> dict[str, np.ndarray]:
    root = 0.2 * rng.standard_normal((count, 3, 3))
    arrays = {
        "xyz": rng.uniform(-0.7, 0.7, (count, 3)),
        "cov": root @ root.swapaxes(1, 2) + 0.01 * np.eye(3),
        "rgb": rng.uniform(0, 1, (count, 3)),
        "opacity": rng.uniform(0.3, 0.9, count),
        "normals": rng.standard_normal((count, 3)),
    }
    return {name: a.astype(dtype) for name, a in arrays.items()}


def test_matrices_are_transposed_and_project_as_the_camera() -> None:
    width, height, tan_x, tan_y, view_T, proj_T, position = make_matrices_from_yaml(CFG)
    camera = dm.Camera.look_at((0.5, 1.0, 4.0), (0.1, 0, 0), (0, 1, 0), fov=40.0, width=32, height=24)
    assert (width, height) == (32, 24)
    assert (view_T.dtype, view_T.shape, proj_T.shape) == (np.float32, (4, 4), (4, 4))
    assert_allclose(view_T.T, camera.viewmat, atol=1e-6)
    assert_allclose(position, (0.5, 1.0, 4.0), atol=1e-6)
    assert_allclose((tan_y, tan_x), (np.tan(np.radians(20.0)), np.tan(np.radians(20.0)) * 32 / 24), rtol=1e-6)
    point = np.array([0.3, -0.2, 0.5, 1.0])
    clip = point @ proj_T.astype(np.float64)
    pixel = 0.5 * (clip[:2] / clip[3] + 1.0) * (32, 24)
    assert_allclose(pixel, camera.project(point[None, :3])[0][0], rtol=1e-5)
    assert 0.0 < clip[2] / clip[3] < 1.0  # between the planes


def test_intrinsics_and_c2w_give_the_same_camera() -> None:
    camera = dm.Camera.look_at((0.5, 1.0, 4.0), (0.1, 0, 0), (0, 1, 0), fov=40.0, width=32, height=24)
    pose = {"c2w": np.linalg.inv(camera.viewmat)[:3], "width": 32, "height": 24}
    other = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    renderer = GSRenderer3DGS(*make_matrices_from_yaml({**pose, **other}))
    assert_allclose(renderer.camera.viewmat, camera.viewmat, atol=1e-6)
    assert_allclose(renderer.camera.K, K, rtol=1e-5)  # the principal point goes through proj_T


@pytest.mark.parametrize("dtype", scenes.DTYPES)
def test_images_are_those_of_the_rasteriser(dtype: Any, rng: Any) -> None:
    inputs = splats(rng, dtype)
    renderer = GSRenderer3DGS(*make_matrices_from_yaml(CFG), bg=(0.2, 0.4, 0.6))
    out = renderer.render(**inputs, render_normal_map=True)
    features = np.concatenate([inputs["rgb"], inputs["normals"]], 1)
    native = dm.rasterize(inputs["xyz"], covars=inputs["cov"], opacities=inputs["opacity"], colors=features,
                          cameras=renderer.camera, backgrounds=np.array([0.2, 0.4, 0.6, 0, 0, 0], dtype))  # fmt: skip
    assert out["image"].shape == (24, 32, 3) and out["alpha"].shape == out["depth"].shape == (24, 32)
    scenes.assert_same_bits(np.ascontiguousarray(out["image"]), np.ascontiguousarray(native.color[..., :3]))
    scenes.assert_same_bits(np.ascontiguousarray(out["normal_map"]), np.ascontiguousarray(native.color[..., 3:]))
    scenes.assert_same_bits(out["alpha"], native.alpha)
    scenes.assert_same_bits(out["depth"], native.expected_depth)
    plain = renderer.render(inputs["xyz"], inputs["cov"])
    assert plain["normal_map"] is None and np.isfinite(plain["image"]).all()
    shaded = renderer.render(inputs["xyz"], inputs["cov"], normals=inputs["normals"])
    assert not np.array_equal(plain["image"], shaded["image"])


def test_tensors_have_gradients_everywhere(rng: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    inputs = {name: torch.tensor(a, requires_grad=True) for name, a in splats(rng).items()}
    renderer = GSRenderer3DGS(*make_matrices_from_yaml(CFG), bg=(0.2, 0.4, 0.6))
    out = renderer.render(**inputs, return_torch=True, render_normal_map=True)
    arrays = {name: t.detach().numpy() for name, t in inputs.items()}
    expected = renderer.render(**arrays, render_normal_map=True)
    for name, image in out.items():
        assert_allclose(image.detach().numpy(), expected[name], rtol=1e-12, atol=1e-14)
    sum(image.square().sum() for image in out.values()).backward()
    for name, tensor in inputs.items():
        assert torch.isfinite(tensor.grad).all() and tensor.grad.abs().sum() > 0, name
    for _ in range(2):  # the whole chain, shading included, along random directions
        direction = {name: torch.from_numpy(rng.standard_normal(a.shape)) for name, a in arrays.items()}
        direction["cov"] = direction["cov"] + direction["cov"].transpose(1, 2)
        sides = []
        for side in (1e-6, -1e-6):
            moved = {name: t.detach() + side * direction[name] for name, t in inputs.items()}
            images = renderer.render(**moved, return_torch=True, render_normal_map=True).values()
            sides.append(float(sum(image.square().sum() for image in images)))
        exact = sum(float((inputs[name].grad * d).sum()) for name, d in direction.items())
        assert exact == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)
    shaded = renderer.render(inputs["xyz"], inputs["cov"], normals=inputs["normals"], return_torch=True)["image"]
    assert_allclose(
        shaded.detach().numpy(),
        renderer.render(arrays["xyz"], arrays["cov"], normals=arrays["normals"])["image"],
        rtol=1e-9,
    )


def test_the_centres_decide_the_dtype(rng: Any) -> None:
    renderer, inputs = GSRenderer3DGS(*make_matrices_from_yaml(CFG)), splats(rng)
    single = {name: a.astype(np.float32) for name, a in inputs.items()}
    mixed = {**inputs, "xyz": single["xyz"], "opacity": inputs["opacity"][:, None].tolist()}
    expected = renderer.render(**single, render_normal_map=True)
    for name, image in renderer.render(**mixed, render_normal_map=True).items():
        scenes.assert_same_bits(np.ascontiguousarray(image), np.ascontiguousarray(expected[name]), name)
    pytest.importorskip("torch", reason="PyTorch is not installed")
    image = renderer.render(**mixed, return_torch=True)["image"].numpy()
    scenes.assert_same_bits(np.ascontiguousarray(image), np.ascontiguousarray(expected["image"]))


BAD_MATRICES = {
    "cfg: expected a dictionary, got int": 3,
    "cfg: expected keys among width, height, .*, got 'depth'": {**CFG, "depth": 1},
    "cfg: expected the key 'height'": {"width": 32},
    "cfg: expected either lookat or c2w": {**CFG, "c2w": np.eye(4)},
    "fov: expected either fov or fx and fy": {**CFG, "fx": 3.0},
    "lookat: expected a dictionary of eye, target and up": {**CFG, "lookat": {"eye": [0, 0, 1]}},
    r"c2w: expected shape \(4, 4\) or \(3, 4\), got \(3, 3\)": {"width": 8, "height": 8, "fov": 40.0, "c2w": np.eye(3)},
    "fov: expected degrees below 180": {**CFG, "fov": 190.0},
    "zfar: expected more than znear": {**CFG, "znear": 10.0, "zfar": 1.0},
}


@pytest.mark.parametrize("message", BAD_MATRICES)
def test_bad_matrices(message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        make_matrices_from_yaml(BAD_MATRICES[message])  # type: ignore[arg-type]


def test_bad_renderers(rng: Any) -> None:
    arguments = list(make_matrices_from_yaml(CFG))
    with pytest.raises(dm.ConfigError, match="device: expected 'cpu', got 'cuda'"):
        GSRenderer3DGS(*arguments, device="cuda")
    with pytest.raises(dm.ConfigError, match=r"viewmatrix: expected shape \(4, 4\)"):
        GSRenderer3DGS(*arguments[:4], np.eye(3), *arguments[5:])
    with pytest.raises(dm.ConfigError, match=r"projmatrix: expected the focal length .* px of tanfovx"):
        GSRenderer3DGS(*arguments[:2], 2.0 * arguments[2], *arguments[3:])
    renderer = GSRenderer3DGS(*arguments)
    inputs = splats(rng)
    with pytest.raises(dm.ConfigError, match="normals: expected normals for a normal map, got None"):
        renderer.render(inputs["xyz"], inputs["cov"], render_normal_map=True)
    with pytest.raises(dm.ConfigError, match=r"rgb: expected shape \(15, 3\)"):
        renderer.render(inputs["xyz"], inputs["cov"], rgb=inputs["rgb"][:3])
