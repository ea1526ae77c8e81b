# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Reproduce a reference image and its gradients, computed by an independent dense program in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from raster_scenes import FORMS, relative

IMAGES = {"color": "image", "alpha": "alpha", "depth": "depth"}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("oracle") / "splat_scene_a.npz") as file:
        return dict(file)


def draw(stored: dict[str, np.ndarray], form: str, dtype: Any) -> dm.render.Raster:
    shape = ("covars",) if form == "covars" else ("quats", "scales")
    arrays = {name: stored[name].astype(dtype) for name in ("opacities", "colors", *shape)}
    return dm.rasterize(
        stored["means"].astype(dtype), **arrays, viewmats=stored["viewmat"], Ks=stored["K"], width=int(stored["width"]),
        height=int(stored["height"]), backgrounds=stored["background"].astype(dtype),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_image_and_gradients(form: str, dtype: Any, stored: dict[str, np.ndarray]) -> None:
    raster = draw(stored, form, dtype)
    for name, key in IMAGES.items():
        image = getattr(raster, name)
        assert image.dtype == dtype
        np.testing.assert_allclose(image, stored[key], rtol=0, atol=tol.RASTER_IMAGE[np.dtype(dtype)], err_msg=name)
    adjoints = {f"adj_{name}": stored[f"cot_{key}"].astype(dtype) for name, key in IMAGES.items()}
    grads = raster.vjp(**adjoints, wrt="all")
    names = {"means", "opacities", "colors", "backgrounds"} | ({"covars"} if form == "covars" else {"quats", "scales"})
    for name in names:
        expected = stored["g_background" if name == "backgrounds" else f"g_{name}"]
        gradient = getattr(grads, name)
        assert gradient.shape == expected.shape
        assert relative(gradient, expected) < tol.RASTER_ORACLE[np.dtype(dtype)], name


def test_the_mirror_agrees(stored: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch", reason="the mirror is written in PyTorch, which is not installed")
    import raster_mirror

    t = {name: torch.from_numpy(np.asarray(a)) for name, a in stored.items()}
    size = int(stored["width"]), int(stored["height"])
    covars = raster_mirror.covariances(t["quats"], t["scales"])
    images = raster_mirror.render(
        t["means"], covars, t["opacities"], t["colors"], t["viewmat"], t["K"], *size, t["background"]
    )
    for image, key in zip(images, IMAGES.values(), strict=False):
        np.testing.assert_allclose(image.numpy(), stored[key], rtol=0, atol=tol.RASTER_MIRROR)
