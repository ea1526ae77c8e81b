# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The rasteriser on a device matches the CPU: images, counts and gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from diffmpm.errors import ConfigError
from numpy.testing import assert_array_equal
from raster_scenes import FORMS, OUTPUTS, SCENES, GaussianScene, make_scene, pull_back, run
from scenes import DTYPES, assert_same_bits, assert_same_vector, host


def assert_parity(scene: GaussianScene, dtype: Any, device: str) -> None:
    expected, got = run(scene, dtype), run(scene, dtype, device)
    tolerance = tol.PARITY[np.dtype(dtype)]
    for name in OUTPUTS:
        assert_same_vector(host(getattr(got, name)), getattr(expected, name), tolerance, name)
    for name, values in vars(expected.meta).items():
        other = host(getattr(got.meta, name))
        if values.dtype.kind == "f":
            assert_same_vector(other, values, tolerance, name)
        else:
            assert_array_equal(other, values, name)
    gradients = pull_back(got, scene, dtype)
    for name, values in pull_back(expected, scene, dtype).items():
        assert_same_vector(gradients[name], values, tolerance, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", SCENES)
def test_every_scene(case: str, form: str, dtype: Any, device: str, rng: np.random.Generator) -> None:
    assert_parity(make_scene(rng, case, form), dtype, device)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 11])
def test_any_number_of_channels(channels: int, device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, "opaque", channels=channels)
    assert_parity(scene, np.float64, device)
    per_camera = np.stack([scene.inputs["colors"], 1.0 - scene.inputs["colors"]])
    assert_parity(scene.with_inputs(colors=per_camera), np.float64, device)


def test_one_camera_no_background_and_single_cotangents(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, cameras=1)
    scene.inputs.pop("backgrounds")
    assert_parity(scene, np.float32, device)
    for name, cotangent in scene.cotangents.items():
        assert_parity(replace(scene, cotangents={name: cotangent}), np.float64, device)


def test_many_gaussians_in_one_tile_and_one_in_all_tiles(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, "plain")
    n = 700  # several batches in a tile, all nearly transparent
    inputs = {name: np.resize(scene.inputs[name], (n, *scene.inputs[name].shape[1:])) for name in ("covars", "colors")}
    inputs |= {"means": 0.05 * rng.standard_normal((n, 3)), "opacities": np.full(n, 0.02)}
    inputs["covars"] = inputs["covars"].copy()
    inputs["covars"][5] = 4.0 * np.eye(3)
    assert_parity(scene.with_inputs(**inputs), np.float64, device)


def test_equal_depths_are_ordered_by_index(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    pairs = {name: scene.inputs[name].copy() for name in ("means", "covars", "opacities")}
    for array in pairs.values():
        array[1::2] = array[::2]
    assert_parity(scene.with_inputs(**pairs), np.float64, device)


def test_empty_images(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    empty = {name: scene.inputs[name][:0] for name in ("means", "covars", "opacities", "colors")}
    assert_parity(scene.with_inputs(**empty), np.float32, device)
    assert_parity(scene.with_inputs(means=scene.inputs["means"] + 1e3), np.float32, device)
    bad = scene.inputs["means"].copy()
    bad[3], bad[4, 1] = np.nan, np.inf
    assert_parity(scene.with_inputs(means=bad), np.float32, device)


def test_runs_are_bitwise_reproducible(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, "crowd")
    first, second = (run(scene, np.float32, device) for _ in range(2))
    for name in OUTPUTS:
        assert_same_bits(host(getattr(first, name)), host(getattr(second, name)), name)
    again = pull_back(second, scene, np.float32)
    for name, values in pull_back(first, scene, np.float32).items():
        assert_same_bits(again[name], values, name)


def test_single_camera_and_scalars(device: str, rng: np.random.Generator) -> None:
    camera = dm.Camera.look_at((3, 1, 1), (0, 0, 0), width=30, height=20)
    means, covars = rng.standard_normal((20, 3)), np.tile(0.04 * np.eye(3), (20, 1, 1))
    colors, background = rng.random((20, 3)), (1.0, 0.5, 0.0)
    options: dict[str, Any] = {"opacities": 0.7, "cameras": camera, "backgrounds": background}
    expected = dm.rasterize(means, covars=covars, colors=colors, **options)
    on_device = [dm.to_device(a) for a in (means, covars, colors)]
    got = dm.rasterize(on_device[0], covars=on_device[1], colors=on_device[2], **options)
    assert got.color.shape == (20, 30, 3)
    assert_same_vector(host(got.color), expected.color, 1e-10)
    adj = rng.standard_normal(expected.color.shape)
    for name in ("means", "backgrounds", "viewmats"):
        a = getattr(expected.vjp(adj_color=adj, wrt=name), name)
        b = getattr(got.vjp(adj_color=dm.to_device(adj), wrt=name), name)
        assert_same_vector(host(b), a, 1e-10, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_expected_depth(dtype: Any, device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng)
    expected, got = run(scene, dtype), run(scene, dtype, device)
    tolerance = tol.PARITY[np.dtype(dtype)]
    assert (host(got.alpha) == 0).any(), "empty pixels are the point"
    assert_same_vector(host(got.expected_depth), expected.expected_depth, tolerance)
    adj = rng.standard_normal(expected.depth.shape).astype(dtype)
    alpha = rng.standard_normal(expected.depth.shape).astype(dtype)
    for more in ({}, {"adj_alpha": alpha}):
        a = expected.vjp(adj_expected_depth=adj, **more, wrt="all")
        on_device = {name: dm.to_device(values) for name, values in more.items()}
        b = got.vjp(adj_expected_depth=dm.to_device(adj), **on_device, wrt="all")
        for name in scene.inputs:
            assert_same_vector(host(getattr(b, name)), getattr(a, name), tolerance, name)


def test_errors_name_mixed_devices_and_missing_arguments(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, cameras=1)
    got = run(scene, np.float64, device)
    with pytest.raises(ConfigError, match="adj_color: expected an array on the device"):
        got.vjp(adj_color=scene.cotangents["color"])
    with pytest.raises(ConfigError, match="colors: expected an array on the device"):
        dm.rasterize(
            dm.to_device(scene.inputs["means"]),
            covars=dm.to_device(scene.inputs["covars"]),
            opacities=0.5,
            colors=scene.inputs["colors"],
            viewmats=scene.inputs["viewmats"],
            Ks=scene.K,
            width=8,
            height=8,
        )
