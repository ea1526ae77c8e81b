# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Every bad argument of `rasterize` and of its adjoint gets one sentence."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest

CAMERA = dm.Camera.look_at((0, -4, 0), (0, 0, 0), width=8, height=6)
N = 5


def arguments(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "means": np.zeros((N, 3)), "covars": np.tile(np.eye(3), (N, 1, 1)), "opacities": np.full(N, 0.5),
        "colors": np.ones((N, 3)), "cameras": CAMERA,
    }  # fmt: skip
    return {**base, **changes}


def call(**changes: Any) -> dm.render.Raster:
    inputs = arguments(**changes)
    return dm.rasterize(inputs.pop("means"), **inputs)


LOOSE = {"cameras": None, "viewmats": np.eye(4), "Ks": np.eye(3), "width": 8, "height": 6}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": np.zeros((3, 100))}, r"means: expected shape \(N, 3\), got \(3, 100\); pass means.T.copy\(\)"),
        ({"means": "x"}, r"means: expected numbers"),
        ({"covars": np.zeros((N, 6))}, r"covars: expected shape \(5, 3, 3\), got \(5, 6\)"),
        ({"covars": None}, r"covars: expected either covars or quats and scales"),
        ({"quats": np.zeros((N, 4))}, r"covars: expected either covars or quats and scales"),
        ({"covars": None, "quats": np.zeros((N, 4))}, r"covars: expected either covars or quats and scales"),
        ({"covars": None, "quats": np.zeros((N, 3)), "scales": np.ones((N, 3))}, r"quats: expected shape \(5, 4\)"),
        ({"covars": None, "quats": np.zeros((N, 4)), "scales": np.ones(N)}, r"scales: expected shape \(5, 3\)"),
        ({"opacities": np.ones(N + 1)}, r"opacities: expected shape \(5,\), got \(6,\)"),
        (
            {"opacities": np.ones(N, np.float32)},
            r"opacities: expected float64, got float32; convert it with .astype\('float64'\)",
        ),
        ({"colors": np.ones((N, 0))}, r"colors: expected at least one channel, got shape \(5, 0\)"),
        ({"colors": np.ones(N)}, r"colors: expected shape \(5, N\), got \(5,\)"),
        ({"colors": np.ones((2, N, 3))}, r"colors: expected shape \(1, 5, N\), got \(2, 5, 3\)"),
        ({"backgrounds": np.ones(2)}, r"backgrounds: expected shape \(3,\), got \(2,\)"),
        ({"backgrounds": np.ones((2, 3))}, r"backgrounds: expected shape \(1, 3\), got \(2, 3\)"),
        ({"backgrounds": np.array([0, np.nan, 0])}, r"backgrounds: expected finite values, got nan at index \(1,\)"),
        ({"cameras": "front"}, r"cameras: expected a Camera or a sequence of them, got 'front'"),
        ({"cameras": []}, r"cameras: expected a Camera or a sequence of them, got \[\]"),
        ({"cameras": [CAMERA, CAMERA.resized(16, 12)]}, r"cameras: expected one size, got \[\(8, 6\), \(16, 12\)\]"),
        ({"width": 8}, r"cameras: expected either cameras or viewmats, Ks, width and height, got both"),
        ({"cameras": None}, r"cameras: expected cameras, or all of viewmats, Ks, width and height"),
        ({**LOOSE, "Ks": None}, r"cameras: expected cameras, or all of viewmats, Ks, width and height"),
        ({**LOOSE, "width": 0}, r"width: expected an integer from 1 to 32768, got 0"),
        ({**LOOSE, "height": 2.5}, r"height: expected an integer from 1 to 32768, got 2.5"),
        ({**LOOSE, "viewmats": np.eye(3)}, r"viewmats: expected shape \(4, 4\), got \(3, 3\)"),
        ({**LOOSE, "viewmats": np.zeros((0, 4, 4))}, r"viewmats: expected at least one camera"),
        ({**LOOSE, "viewmats": np.full((4, 4), np.nan)}, r"viewmats: expected finite values"),
        ({**LOOSE, "viewmats": np.eye(4) + np.eye(4, k=-3)}, r"viewmats: expected a last row of \(0, 0, 0, 1\)"),
        ({**LOOSE, "Ks": np.ones((2, 3, 3))}, r"Ks: expected shape \(1, 3, 3\), got \(2, 3, 3\)"),
        ({**LOOSE, "Ks": np.ones((3, 3))}, r"Ks: expected \(\(fx, 0, cx\), .* without skew"),
        ({**LOOSE, "Ks": np.diag([1.0, -1.0, 1.0])}, r"Ks: expected focal lengths > 0"),
    ],
)
def test_rasterize_names_the_bad_argument(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        call(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wrt": "colours"}, r"wrt: expected names from means, covars, .*, got 'colours'"),
        ({"adj_color": np.ones((6, 8))}, r"adj_color: expected shape \(6, 8, 3\), got \(6, 8\)"),
        ({"adj_alpha": np.ones((8, 6))}, r"adj_alpha: expected shape \(6, 8\), got \(8, 6\)"),
        ({"adj_depth": np.ones((6, 8), np.float32)}, r"adj_depth: expected float64, got float32"),
        ({"adj_depth": np.full((6, 8), np.inf)}, r"adj_depth: expected finite values, got inf"),
        ({"adj_expected_depth": np.ones(3)}, r"adj_expected_depth: expected shape \(6, 8\), got \(3,\)"),
    ],
)
def test_vjp_names_the_bad_argument(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        call().vjp(**changes)


def test_gradients_of_what_was_not_given_are_left_out() -> None:
    grads = call().vjp(adj_alpha=np.ones((6, 8)), wrt="all")
    assert grads.quats is None
    assert grads.scales is None
    assert grads.backgrounds is None
    assert grads.covars is not None
    assert call().vjp(adj_alpha=np.ones((6, 8)), wrt=("quats",)).quats is None


def test_lists_and_strided_arrays_are_taken() -> None:
    wide = np.ones((N, 6))
    from_view = call(colors=wide[:, ::2])
    np.testing.assert_array_equal(from_view.color, call().color)
    listed = call(means=[[0, 0, 0]] * N, opacities=[0.5] * N)
    np.testing.assert_array_equal(listed.color, call().color)
    single = {name: arguments()[name].astype(np.float32) for name in ("means", "covars", "colors")}
    assert call(**single, opacities=[0.5] * N, backgrounds=[1.0, 1.0, 1.0]).color.dtype == np.float32
    assert call(**single, opacities=1).color.dtype == np.float32


@pytest.mark.parametrize("name", ["means", "covars", "opacities", "colors", "backgrounds"])
def test_an_adjoint_of_values_that_were_overwritten_is_refused(name: str) -> None:
    inputs = arguments(opacities=np.full(N, 0.5), backgrounds=np.ones((1, 3)), cameras=[CAMERA])
    raster = dm.rasterize(**inputs)
    adj = np.ones_like(raster.color)
    raster.vjp(adj_color=adj)
    inputs[name] *= -1.0
    with pytest.raises(dm.ConfigError, match=f"{name}: expected the values that the images were computed from"):
        raster.vjp(adj_color=adj)
    inputs[name] *= -1.0
    raster.vjp(adj_color=adj)


def millimetres(**changes: Any) -> dict[str, Any]:
    """A scene half a millimetre wide, in metres."""
    means = np.random.default_rng(0).normal(size=(100, 3)) * 5e-4
    base: dict[str, Any] = {
        "means": means, "covars": np.tile(1e-8 * np.eye(3), (100, 1, 1)), "opacities": np.ones(100),
        "colors": np.ones((100, 3)),
        "cameras": dm.Camera.look_at((0, 0, 4e-3), (0, 0, 0), (0, 1, 0), width=32, height=32),
    }  # fmt: skip
    return {**base, **changes}


def test_the_near_plane_is_in_units_of_the_scene() -> None:
    """The picture is that of the scene a thousand times larger."""
    small = millimetres()
    large = millimetres(
        means=1e3 * small["means"], covars=1e6 * small["covars"],
        cameras=dm.Camera.look_at((0, 0, 4), (0, 0, 0), (0, 1, 0), width=32, height=32),
    )  # fmt: skip
    images = [dm.rasterize(scene.pop("means"), **scene) for scene in (small, large)]
    assert images[0].meta.culled_near[0] == 0
    assert images[0].color.max() > 0.99
    np.testing.assert_allclose(images[0].color, images[1].color, atol=1e-12)
    assert large["cameras"].near == 0.01


@pytest.mark.parametrize("near", [1e-3, 4e-3, 4.5e-3])
def test_the_near_plane_of_a_call(near: float) -> None:
    scene = millimetres()
    camera = scene.pop("cameras")
    loose = {"viewmats": camera.viewmat, "Ks": camera.K, "width": 32, "height": 32}
    means = scene.pop("means")
    image = dm.rasterize(means, **scene, **loose, near_plane=near)
    depths = camera.project(means)[1]
    assert image.meta.culled_near[0] == np.count_nonzero(depths <= near)
    assert dm.rasterize(means, **scene, **loose).meta.culled_near[0] == 100
    with pytest.raises(dm.ConfigError, match="near_plane: expected a finite number > 0, got 0"):
        dm.rasterize(means, **scene, **loose, near_plane=0.0)
