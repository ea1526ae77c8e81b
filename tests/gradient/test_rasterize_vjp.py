# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The adjoint of the rasteriser: autograd, central differences, dot products, clamps and cutoffs."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tolerances as tol
from raster_scenes import (
    FORMS,
    OUTPUTS,
    SCENES,
    GaussianScene,
    covariances,
    make_scene,
    objective,
    pull_back,
    relative,
    run,
)

each_scene = pytest.mark.parametrize("case", SCENES)
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def mirror() -> ModuleType:
    pytest.importorskip("torch", reason="the reference implementation needs PyTorch")
    import raster_mirror
    import torch

    torch.set_num_threads(1)
    return raster_mirror


def mirror_images(mirror: ModuleType, scene: GaussianScene, inputs: dict[str, Any]) -> tuple[list[Any], dict[str, int]]:
    """Return colour, alpha and depth of the mirror, stacked over cameras, and its counts of special cases."""
    import torch

    covars = inputs["covars"] if "covars" in inputs else mirror.covariances(inputs["quats"], inputs["scales"])
    K, out, counts = torch.from_numpy(scene.K), [], {}
    for c in range(len(inputs["viewmats"])):
        *images, cases = mirror.render(
            inputs["means"], covars, inputs["opacities"], inputs["colors"], inputs["viewmats"][c], K, scene.width,
            scene.height, inputs["backgrounds"][c],
        )  # fmt: skip
        out.append(images)
        counts = {k: counts.get(k, 0) + v for k, v in cases.items()}
    return [torch.stack(list(images)) for images in zip(*out, strict=True)], counts


def mirror_gradients(
    mirror: ModuleType, scene: GaussianScene
) -> tuple[list[Any], dict[str, np.ndarray], dict[str, int]]:
    import torch

    inputs = {name: torch.from_numpy(a.copy()).requires_grad_() for name, a in scene.inputs.items()}
    images, counts = mirror_images(mirror, scene, inputs)
    loss = sum((i * torch.from_numpy(scene.cotangents[n])).sum() for i, n in zip(images, OUTPUTS, strict=True))
    loss.backward()
    grads = {name: x.grad.numpy() for name, x in inputs.items()}
    if "covars" in grads:
        grads["covars"] = 0.5 * (grads["covars"] + grads["covars"].transpose(0, 2, 1))
    return [i.detach().numpy() for i in images], grads, counts


@each_form
@each_scene
def test_matches_autograd(case: str, form: str, rng: np.random.Generator, mirror: ModuleType) -> None:
    scene = make_scene(rng, case, form)
    raster = run(scene)
    images, expected, counts = mirror_gradients(mirror, scene)
    for name, image in zip(OUTPUTS, images, strict=True):
        np.testing.assert_allclose(getattr(raster, name), image, rtol=0, atol=tol.RASTER_MIRROR, err_msg=name)
    got = pull_back(raster, scene)
    assert set(got) == set(expected)
    for name, gradient in expected.items():
        assert relative(got[name], gradient) < tol.RASTER_MIRROR, name
    # The scenes cover their special cases.
    assert counts["skipped"] > 0
    assert (counts["clamped"] > 0) == (case == "opaque")
    assert (counts["ended"] > 0) == (case in ("opaque", "crowd"))
    assert (raster.meta.culled_near.sum() > 0) == (case == "grazing")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9, 17])
def test_any_number_of_channels(channels: int, rng: np.random.Generator, mirror: ModuleType) -> None:
    scene = make_scene(rng, channels=channels)
    _, expected, _ = mirror_gradients(mirror, scene)
    got = pull_back(run(scene), scene)
    for name, gradient in expected.items():
        assert relative(got[name], gradient) < tol.RASTER_MIRROR, name


@each_form
@each_scene
def test_float32_is_close_to_float64(case: str, form: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, case, form)
    scene = scene.with_inputs(**{n: a.astype(np.float32).astype(np.float64) for n, a in scene.inputs.items()})
    single, double = run(scene, np.float32), run(scene)
    for name in OUTPUTS:
        expected = getattr(double, name)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(getattr(single, name), expected, rtol=0, atol=scale * tol.RASTER_IMAGE[tol.F32])
    got = pull_back(single, scene, np.float32)
    for name, gradient in pull_back(double, scene).items():
        assert got[name].dtype == np.float32
        assert relative(got[name], gradient) < tol.RASTER_SINGLE_PRECISION, name


@each_form
@each_scene
def test_matches_central_differences(case: str, form: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, case, form)
    grads = pull_back(run(scene), scene)
    for name, gradient in grads.items():
        direction = rng.standard_normal(gradient.shape)
        if name == "covars":
            direction = direction + direction.transpose(0, 2, 1)
        if name == "viewmats":
            direction[:, 3] = 0.0  # the last row is fixed
        direction /= np.linalg.norm(direction)
        h = 1e-7  # so small that no Gaussian crosses a threshold at any pixel
        values = [objective(run(moved), moved) for moved in (
            scene.with_inputs(**{name: scene.inputs[name] + s * h * direction}) for s in (1.0, -1.0)
        )]  # fmt: skip
        slope = (values[0] - values[1]) / (2.0 * h)
        assert abs(slope - np.vdot(gradient, direction)) < tol.CENTRAL_DIFFERENCE * np.linalg.norm(gradient), name


@each_form
@each_scene
def test_dot_product(case: str, form: str, rng: np.random.Generator, mirror: ModuleType) -> None:
    """<adj_y, J dx> by forward mode through the mirror equals <J^T adj_y, dx>."""
    import torch

    scene = make_scene(rng, case, form)
    grads = pull_back(run(scene), scene)
    for name, gradient in grads.items():
        direction = rng.standard_normal(gradient.shape)
        fixed = {n: torch.from_numpy(a) for n, a in scene.inputs.items()}

        def images(x: Any, name: str = name, fixed: dict[str, Any] = fixed) -> Any:
            return tuple(mirror_images(mirror, scene, {**fixed, name: x})[0])

        _, moved = torch.autograd.functional.jvp(images, fixed[name], torch.from_numpy(direction))
        expected = sum(np.vdot(scene.cotangents[n], m.numpy()) for n, m in zip(OUTPUTS, moved, strict=True))
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs(np.vdot(gradient, direction) - expected) < tol.DOT_PRODUCT * scale, name


@each_form
def test_no_gradient_is_missing(form: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, "plain", form)
    raster = run(scene)
    assert (raster.meta.visible > 0).all()
    visible = (raster.meta.radii[..., 0] > 0).any(axis=0)
    grads = pull_back(raster, scene)
    assert set(grads) == set(scene.inputs)
    for name, gradient in grads.items():
        assert gradient.shape == scene.inputs[name].shape
        assert np.isfinite(gradient).all()
        if name == "viewmats":
            assert (gradient[:, :3] != 0).all()
            assert (gradient[:, 3] == 0).all()
        elif name == "backgrounds":
            assert (gradient != 0).all()
        else:
            assert (gradient[visible] != 0).all(), name
            assert (gradient[~visible] == 0).all(), name
    for name in scene.inputs:
        alone = pull_back(raster, scene, wrt=(name,))
        assert set(alone) == {name}
        np.testing.assert_array_equal(alone[name], grads[name], err_msg=name)


@pytest.mark.parametrize("output", OUTPUTS)
def test_cotangents_add_up(output: str, rng: np.random.Generator) -> None:
    """Each cotangent is optional, and the adjoint is linear in them."""
    scene = make_scene(rng, "opaque")
    raster = run(scene)
    together = pull_back(raster, scene)
    one = pull_back(raster, replace(scene, cotangents={output: scene.cotangents[output]}))
    rest = pull_back(raster, replace(scene, cotangents={n: a for n, a in scene.cotangents.items() if n != output}))
    for name, gradient in together.items():
        assert relative(one[name] + rest[name], gradient) < tol.RASTER_MIRROR, name


def test_expected_depth(rng: np.random.Generator) -> None:
    scene = make_scene(rng, "plain")
    raster = run(scene)
    adj = scene.cotangents["depth"]
    covered = raster.alpha > 0
    assert covered.any()
    assert not covered.all()
    np.testing.assert_allclose((raster.expected_depth * raster.alpha)[covered], raster.depth[covered], rtol=1e-14)
    assert (raster.expected_depth[~covered] == 0).all()
    gradient = raster.vjp(adj_expected_depth=adj, adj_alpha=scene.cotangents["alpha"], wrt="means").means
    direction = rng.standard_normal(gradient.shape)
    h, values = 1e-7, []
    for sign in (1.0, -1.0):
        moved = run(scene.with_inputs(means=scene.inputs["means"] + sign * h * direction))
        values.append(np.vdot(moved.expected_depth, adj) + np.vdot(moved.alpha, scene.cotangents["alpha"]))
    slope = (values[0] - values[1]) / (2.0 * h)
    # Pixels with alpha near 1/255 divide by it; measured 2e-7.
    assert abs(slope - np.vdot(gradient, direction)) < 1e-5 * np.linalg.norm(gradient) * np.linalg.norm(direction)


def test_clamped_opacity_has_no_gradient() -> None:
    """A Gaussian that covers the image with an opacity above the clamp has gradients of colour and depth only."""
    import diffmpm as dm

    raster = dm.rasterize(
        np.array([[0.0, 0.0, 2.0]]), covars=100.0 * np.eye(3)[None], opacities=np.array([5.0]), colors=np.ones((1, 2)),
        viewmats=np.eye(4), Ks=np.array([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]), width=8, height=8,
    )  # fmt: skip
    np.testing.assert_allclose(raster.alpha, 0.999, rtol=1e-15)
    grads = raster.vjp(adj_color=np.ones_like(raster.color), adj_depth=np.ones_like(raster.depth), wrt="all")
    np.testing.assert_allclose(grads.colors, 64 * 0.999, rtol=1e-13)
    np.testing.assert_allclose(grads.means, [[0.0, 0.0, 64 * 0.999]], rtol=1e-13)  # through the depth only
    assert not grads.opacities.any()
    assert not grads.covars.any()


def test_no_gradient_behind_early_termination() -> None:
    """Three opaque sheets: pixels terminate at the second, so it and the third do not contribute."""
    import diffmpm as dm

    raster = dm.rasterize(
        np.array([[0.0, 0.0, 4.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0]]), covars=np.repeat(100.0 * np.eye(3)[None], 3, 0),
        opacities=2.0, colors=np.eye(3), viewmats=np.eye(4), Ks=np.array([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]), width=8,
        height=8,
    )  # fmt: skip
    np.testing.assert_allclose(raster.color, np.broadcast_to([0.0, 0.999, 0.0], (8, 8, 3)), rtol=1e-14)
    grads = raster.vjp(adj_color=np.ones_like(raster.color))
    assert grads.colors[1].all()
    assert not grads.colors[[0, 2]].any()
    assert not grads.opacities.any()


def test_quaternions_of_any_length(rng: np.random.Generator) -> None:
    """The length has no effect, so the gradient is orthogonal to the quaternion and inversely proportional to it."""
    scene = make_scene(rng, "plain", "quats")
    length = rng.uniform(0.01, 100.0, (len(scene.inputs["quats"]), 1))
    unit = scene.inputs["quats"] / np.linalg.norm(scene.inputs["quats"], axis=1, keepdims=True)
    short, long = scene.with_inputs(quats=unit), scene.with_inputs(quats=unit * length)
    np.testing.assert_allclose(run(long).color, run(short).color, rtol=0, atol=1e-13)
    one, other = pull_back(run(short), short)["quats"], pull_back(run(long), long)["quats"]
    np.testing.assert_allclose(other * length, one, rtol=1e-10, atol=1e-12 * np.abs(one).max())
    assert np.abs((one * unit).sum(1)).max() < 1e-13 * np.linalg.norm(one, axis=1).max()


def test_both_forms_agree(rng: np.random.Generator) -> None:
    scene = make_scene(rng, "plain", "quats")
    inputs = dict(scene.inputs)
    covars = covariances(inputs.pop("quats"), inputs.pop("scales"))
    other = replace(scene, inputs={**inputs, "covars": covars})
    np.testing.assert_allclose(run(scene).color, run(other).color, rtol=0, atol=1e-13)
    one, two = pull_back(run(scene), scene), pull_back(run(other), other)
    for name in ("means", "opacities", "colors", "viewmats", "backgrounds"):
        assert relative(one[name], two[name]) < 1e-12, name


def test_asymmetric_covariances_are_symmetrized(rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    twist = 0.01 * rng.standard_normal(scene.inputs["covars"].shape)
    twisted = scene.with_inputs(covars=scene.inputs["covars"] + twist - twist.transpose(0, 2, 1))
    np.testing.assert_allclose(run(twisted).color, run(scene).color, rtol=0, atol=1e-13)
    gradient = pull_back(run(twisted), twisted)["covars"]
    np.testing.assert_array_equal(gradient, gradient.transpose(0, 2, 1))
