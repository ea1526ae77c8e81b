# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What the rasteriser draws, culls and rejects, at the borders of its input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from raster_scenes import covariances, make_scene, pull_back, run

DTYPES = (np.float32, np.float64)
CAMERA = dm.Camera.look_at((0, -4, 0), (0, 0, 0), width=32, height=24, fov=40.0)
COUNTS = (
    "visible", "culled_near", "culled_frustum", "culled_transparent", "rejected_not_finite", "rejected_degenerate",
)  # fmt: skip


def draw(means: Any, *, dtype: Any = np.float64, camera: Any = CAMERA, **changes: Any) -> dm.render.Raster:
    x = np.atleast_2d(np.asarray(means, dtype))
    n = len(x)
    inputs: dict[str, Any] = {
        "covars": 0.01 * np.tile(np.eye(3, dtype=dtype), (n, 1, 1)), "opacities": np.full(n, 0.5, dtype),
        "colors": np.ones((n, 1), dtype), **changes,
    }  # fmt: skip
    return dm.rasterize(x, cameras=camera, **inputs)


def counts(raster: dm.render.Raster) -> dict[str, int]:
    return {name: int(getattr(raster.meta, name).sum()) for name in COUNTS if getattr(raster.meta, name).any()}


def test_shapes_of_one_and_of_several_cameras(rng: np.random.Generator) -> None:
    one = draw(np.zeros(3))
    assert one.color.shape == (24, 32, 1)
    assert one.alpha.shape == one.depth.shape == one.expected_depth.shape == (24, 32)
    several = draw(np.zeros(3), camera=[CAMERA, CAMERA])
    assert several.color.shape == (2, 24, 32, 1)
    assert several.alpha.shape == several.depth.shape == (2, 24, 32)
    np.testing.assert_array_equal(several.color[1], one.color)
    assert several.meta.means2d.shape == several.meta.radii.shape == (2, 1, 2)
    assert one.meta.depths.shape == (1, 1)
    single = dm.rasterize(
        np.zeros((1, 3)), covars=0.01 * np.eye(3)[None], opacities=0.5, colors=np.ones((1, 1)), viewmats=CAMERA.viewmat,
        Ks=CAMERA.K, width=32, height=24,
    )  # fmt: skip
    np.testing.assert_array_equal(single.color, one.color)
    assert single.vjp(adj_alpha=one.alpha, wrt="viewmats").viewmats.shape == (4, 4)
    assert several.vjp(adj_alpha=several.alpha, wrt="viewmats").viewmats.shape == (2, 4, 4)
    listed = draw(np.zeros(3), camera=[CAMERA])
    assert listed.color.shape == (1, 24, 32, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_aligned_and_of_the_dtype(dtype: Any) -> None:
    raster = draw(np.zeros(3), dtype=dtype)
    grads = raster.vjp(adj_color=np.ones_like(raster.color), wrt="all")
    arrays = [raster.color, raster.alpha, raster.depth, raster.expected_depth, raster.meta.means2d, grads.means]
    for a in [*arrays, grads.covars, grads.colors, grads.viewmats]:
        assert a.dtype == dtype
    for a in arrays[:3]:
        assert a.ctypes.data % 64 == 0


def test_gaussians_of_a_surface_are_drawn_as_their_arrays() -> None:
    body = dm.sample("sphere", particles=60)
    surface = dm.gaussians(body.x, body.F, samples=50)
    ones = np.ones_like(surface.means)
    expected = dm.rasterize(
        surface.means, CAMERA, covars=surface.covars, opacities=ones[:, 0], colors=np.float32(0.8) * ones
    )
    raster = dm.rasterize(surface, CAMERA)
    np.testing.assert_array_equal(raster.color, expected.color)
    assert raster.alpha.max() > 0.5
    np.testing.assert_array_equal(
        raster.vjp(adj_alpha=raster.alpha).covars, expected.vjp(adj_alpha=raster.alpha).covars
    )
    shaded = dm.rasterize(surface, [CAMERA], colors=dm.render.shade(surface.normals).color, opacities=0.5)
    assert shaded.color.shape == (1, 24, 32, 3)
    with pytest.raises(dm.ConfigError, match="covars: expected None beside Gaussians"):
        dm.rasterize(surface, CAMERA, covars=surface.covars)


def test_one_gaussian_in_closed_form() -> None:
    sigma, distance, opacity = 0.3, 4.0, 0.8
    raster = draw(np.zeros(3), covars=sigma**2 * np.eye(3)[None], opacities=opacity, backgrounds=np.array([0.25]))
    variance = (CAMERA.K[0, 0] * sigma / distance) ** 2 + 0.3
    columns, rows = np.meshgrid(np.arange(32) + 0.5 - 16, np.arange(24) + 0.5 - 12)
    alpha = opacity * np.exp(-0.5 * (columns**2 + rows**2) / variance)
    alpha[alpha < 1 / 255] = 0.0
    np.testing.assert_allclose(raster.alpha, alpha, atol=1e-14)
    np.testing.assert_allclose(raster.color[..., 0], alpha + (1 - alpha) * 0.25, atol=1e-14)
    np.testing.assert_allclose(raster.depth, distance * alpha, atol=1e-13)
    np.testing.assert_allclose(raster.expected_depth[alpha > 0], distance, rtol=1e-12)
    np.testing.assert_allclose(raster.meta.means2d[0], [[16, 12]], atol=1e-12)
    radius = np.sqrt(2 * np.log(255 * opacity) * variance)
    np.testing.assert_allclose(raster.meta.radii[0], [[radius, radius]], rtol=1e-3)
    np.testing.assert_allclose(raster.meta.depths, [[distance]])


def test_nearer_gaussians_hide_farther_ones_and_ties_go_by_index() -> None:
    means = [[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0.5, 0]]
    raster = draw(means, covars=np.tile(np.eye(3), (4, 1, 1)), opacities=0.5, colors=np.eye(4))
    weights = raster.color[12, 16]
    np.testing.assert_allclose(weights, [0.0625, 0.5, 0.25, 0.125], rtol=0.02)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 3, 200, 1000])
def test_depth_order_of_many(count: int, dtype: Any, rng: np.random.Generator) -> None:
    """Colour i at depth rank i: accumulated weights show that the nearest come first in any input order."""
    order = rng.permutation(count)
    means = np.zeros((count, 3))
    means[:, 1] = np.linspace(-2, 2, count)
    covars = np.tile(4.0 * np.eye(3), (count, 1, 1))
    colors = np.linspace(0, 1, count)[:, None]
    opacities = np.full(count, 0.02)
    args = {"covars": covars, "opacities": opacities}
    straight = draw(means, dtype=dtype, colors=colors.astype(dtype), **{k: a.astype(dtype) for k, a in args.items()})
    mixed = draw(
        means[order], dtype=dtype, colors=colors[order].astype(dtype), **{k: a.astype(dtype) for k, a in args.items()}
    )
    np.testing.assert_array_equal(mixed.color, straight.color)


@pytest.mark.parametrize("dtype", DTYPES)
def test_culled_and_rejected_are_counted(dtype: Any) -> None:
    nan, inf, far = np.nan, np.inf, 1e30
    means = np.zeros((13, 3), dtype)
    means[1:8] = [[0, -4.0, 0], [0, -3.995, 0], [0, -9, 0], [nan, 0, 0], [0, inf, 0], [50, 0, 0], [0, 0, -far]]
    covars = 0.01 * np.tile(np.eye(3, dtype=dtype), (13, 1, 1))
    covars[8] = -10 * np.eye(3)
    covars[9, 0, 1] = nan
    covars[10] = 0.0  # a point: the dilation makes it visible
    colors = np.ones((13, 2), dtype)
    colors[11, 1] = inf
    opacities = np.full(13, 0.5, dtype)
    opacities[12] = 0.003
    raster = draw(means, dtype=dtype, covars=covars, colors=colors, opacities=opacities)
    got = counts(raster)
    assert got["visible"] == 2  # numbers 0 and 10
    assert got["culled_near"] == 3
    assert got["culled_transparent"] == 1
    assert got["culled_frustum"] + got["rejected_not_finite"] == 6
    assert got["rejected_degenerate"] == 1
    assert sum(got.values()) == 13
    assert (raster.meta.radii[0, [0, 10]] > 0).all()
    assert not np.delete(raster.meta.radii[0], [0, 10], axis=0).any()
    assert np.isfinite(raster.color).all()
    alone = draw(means[[0, 10]], dtype=dtype, covars=covars[[0, 10]], colors=colors[[0, 10]])
    np.testing.assert_array_equal(raster.color, alone.color)
    grads = raster.vjp(adj_color=np.ones_like(raster.color), adj_depth=np.ones_like(raster.depth), wrt="all")
    expected = alone.vjp(adj_color=np.ones_like(raster.color), adj_depth=np.ones_like(raster.depth), wrt="all")
    for name in ("means", "covars", "opacities", "colors"):
        g = getattr(grads, name)
        np.testing.assert_array_equal(g[[0, 10]], getattr(expected, name))
        assert not np.delete(g, [0, 10], axis=0).any()
    np.testing.assert_array_equal(grads.viewmats, expected.viewmats)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"quats": np.zeros((1, 4))}, "rejected_degenerate"),
        ({"quats": np.full((1, 4), np.nan)}, "rejected_not_finite"),
        ({"scales": np.array([[np.inf, 1, 1]])}, "rejected_not_finite"),
        ({"scales": np.zeros((1, 3))}, "visible"),
        ({"scales": np.array([[0.0, 0.1, -0.1]])}, "visible"),
        ({"opacities": np.array([np.nan])}, "rejected_not_finite"),
        ({"opacities": np.array([-1.0])}, "culled_transparent"),
        ({"opacities": np.array([0.0])}, "culled_transparent"),
    ],
)
def test_bad_values_of_one_gaussian(changes: dict[str, Any], count: str) -> None:
    inputs = {"quats": np.array([[1.0, 0, 0, 0]]), "scales": np.full((1, 3), 0.1), **changes}
    raster = draw(np.zeros(3), covars=None, **inputs)
    got = counts(raster)
    assert sum(got.values()) == 1
    assert count in got
    assert np.isfinite(raster.color).all()
    for gradient in vars(raster.vjp(adj_color=np.ones_like(raster.color), wrt="all")).values():
        assert gradient is None or np.isfinite(gradient).all()


def test_frustum_is_culled_by_the_ellipse_not_by_the_mean() -> None:
    edge = 4.0 * 0.5 * 32 / CAMERA.K[0, 0]
    inside, outside = [edge + 0.2, 0, 0], [edge + 1.5, 0, 0]
    raster = draw([inside, outside])
    assert counts(raster) == {"visible": 1, "culled_frustum": 1}
    assert raster.alpha[:, -1].max() > 1 / 255


def dense_alpha(mean: np.ndarray, cov: np.ndarray, opacity: float) -> np.ndarray:
    """Opacity of one Gaussian in front of CAMERA at every pixel, without any culling; its mean lies in the image."""
    R, (fx, fy) = CAMERA.viewmat[:3, :3], np.diag(CAMERA.K)[:2]
    x, y, z = R @ mean + CAMERA.viewmat[:3, 3]
    J = np.array([[fx / z, 0, -fx * x / z**2], [0, fy / z, -fy * y / z**2]])
    inverse = np.linalg.inv(J @ R @ cov @ R.T @ J.T + 0.3 * np.eye(2))
    columns, rows = np.meshgrid(np.arange(32) + 0.5 - 16 - fx * x / z, np.arange(24) + 0.5 - 12 - fy * y / z)
    d = np.stack([columns, rows], -1)
    alpha = opacity * np.exp(-0.5 * ((d @ inverse) * d).sum(-1))
    return np.where(alpha < 1 / 255, 0.0, alpha)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_pixel_is_lost_by_culling(dtype: Any, rng: np.random.Generator) -> None:
    """Long thin Gaussians in all directions, and small round ones, against every pixel."""
    for n in range(200):
        long = np.array([1.5, 0.003, 0.003]) if n % 2 else np.full(3, 0.02)
        mean, quat = rng.uniform(-0.6, 0.6, 3).astype(dtype), rng.standard_normal((1, 4)).astype(dtype)
        scale = (long * rng.uniform(0.1, 1.0))[None].astype(dtype)
        raster = draw(mean, dtype=dtype, covars=None, quats=quat, scales=scale, opacities=0.9)
        expected = dense_alpha(mean, covariances(quat.astype(np.float64), scale.astype(np.float64))[0], 0.9)
        np.testing.assert_allclose(raster.alpha, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (4, 4), (5, 3), (16, 16), (17, 33)])
def test_any_image_size(size: tuple[int, int], dtype: Any) -> None:
    camera = replace(
        CAMERA, width=size[0], height=size[1], K=np.array([[30.0, 0, size[0] / 2], [0, 30, size[1] / 2], [0, 0, 1]])
    )
    raster = draw(
        np.zeros(3), dtype=dtype, camera=camera, covars=np.eye(3, dtype=dtype)[None], backgrounds=np.ones(1, dtype)
    )
    assert raster.color.shape == (size[1], size[0], 1)
    assert (raster.alpha > 0.1).all() or max(size) > 17
    grads = raster.vjp(adj_color=np.ones_like(raster.color), adj_alpha=np.ones_like(raster.alpha), wrt="all")
    # colour 1 before a background of 1: the colour's cotangent cancels, and each pixel's alpha is left
    np.testing.assert_allclose(grads.colors.sum() + grads.backgrounds.sum(), raster.alpha.size, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_gaussians(dtype: Any) -> None:
    raster = dm.rasterize(
        np.zeros((0, 3), dtype), covars=np.zeros((0, 3, 3), dtype), opacities=np.zeros(0, dtype), cameras=CAMERA,
        colors=np.zeros((0, 3), dtype), backgrounds=np.array([0.1, 0.2, 0.3], dtype),
    )  # fmt: skip
    np.testing.assert_array_equal(raster.color, np.broadcast_to(np.array([0.1, 0.2, 0.3], dtype), (24, 32, 3)))
    assert not raster.alpha.any()
    assert not raster.expected_depth.any()
    assert counts(raster) == {}
    grads = raster.vjp(adj_color=np.ones_like(raster.color), wrt="all")
    assert grads.means.shape == (0, 3)
    assert grads.colors.shape == (0, 3)
    assert not grads.viewmats.any()
    np.testing.assert_allclose(grads.backgrounds, 24 * 32)


def test_no_background_is_black(rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    black = run(scene.with_inputs(backgrounds=np.zeros((2, 3))))
    inputs = {name: a for name, a in scene.inputs.items() if name != "backgrounds"}
    without = replace(scene, inputs=inputs)
    raster = run(without)
    np.testing.assert_array_equal(raster.color, black.color)
    grads = raster.vjp(adj_color=scene.cotangents["color"], wrt="all")
    assert grads.backgrounds is None
    np.testing.assert_array_equal(grads.means, black.vjp(adj_color=scene.cotangents["color"]).means)


def test_no_cotangent_gives_zeros(rng: np.random.Generator) -> None:
    raster = run(make_scene(rng))
    for gradient in vars(raster.vjp(wrt="all")).values():
        assert gradient is None or not gradient.any()


def test_shared_background_sums_its_cameras(rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    one = scene.with_inputs(backgrounds=scene.inputs["backgrounds"][0])
    two = scene.with_inputs(backgrounds=np.repeat(scene.inputs["backgrounds"][:1], 2, axis=0))
    np.testing.assert_array_equal(run(one).color, run(two).color)
    shared, apart = pull_back(run(one), one)["backgrounds"], pull_back(run(two), two)["backgrounds"]
    assert shared.shape == (3,)
    np.testing.assert_allclose(shared, apart.sum(axis=0), rtol=1e-14)


def test_colors_per_camera(rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    colors = rng.uniform(size=(2, *scene.inputs["colors"].shape))
    both = scene.with_inputs(colors=colors)
    raster, grads = run(both), pull_back(run(both), both)
    total = np.zeros_like(grads["means"])
    for c in range(2):
        inputs = {**scene.inputs, "colors": colors[c]}
        inputs["viewmats"], inputs["backgrounds"] = inputs["viewmats"][c : c + 1], inputs["backgrounds"][c : c + 1]
        single = replace(scene, inputs=inputs, cotangents={k: a[c : c + 1] for k, a in scene.cotangents.items()})
        np.testing.assert_array_equal(run(single).color[0], raster.color[c])
        alone = pull_back(run(single), single)
        np.testing.assert_array_equal(alone["colors"], grads["colors"][c])
        total += alone["means"]
    np.testing.assert_allclose(total, grads["means"], rtol=1e-12, atol=1e-12)


def test_extra_channels_do_not_change_the_others(rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    normals = rng.standard_normal((len(scene.inputs["means"]), 3))
    wide = scene.with_inputs(
        colors=np.hstack([scene.inputs["colors"], normals]),
        backgrounds=np.pad(scene.inputs["backgrounds"], ((0, 0), (0, 3))),
    )
    got, plain = run(wide), run(scene)
    np.testing.assert_allclose(got.color[..., :3], plain.color, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(got.alpha, plain.alpha)


def test_many_gaussians_in_one_tile(rng: np.random.Generator) -> None:
    """Lists longer than what is unpacked at a time; nearly transparent, so that no pixel ends early."""
    n = 700
    means = np.column_stack([rng.uniform(-0.2, 0.2, n), rng.uniform(-1, 1, n), rng.uniform(-0.2, 0.2, n)])
    args = {
        "covars": np.tile(0.05 * np.eye(3), (n, 1, 1)),
        "opacities": np.full(n, 0.01),
        "colors": rng.uniform(size=(n, 1)),
    }
    raster = draw(means, **args)
    grads = raster.vjp(adj_color=np.ones_like(raster.color))
    direction = rng.standard_normal(n)
    h = 1e-6
    values = [
        draw(means, **{**args, "colors": args["colors"] + s * h * direction[:, None]}).color.sum() for s in (1, -1)
    ]
    np.testing.assert_allclose((values[0] - values[1]) / (2 * h), grads.colors[:, 0] @ direction, rtol=1e-7)
    assert int(raster.meta.tile_entries[0]) > 128 * 4
