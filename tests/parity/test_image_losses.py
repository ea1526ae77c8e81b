# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image losses on a device match the CPU, including a loss written in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from diffmpm import losses
from diffmpm.errors import ConfigError
from diffmpm.losses import ImageLoss, Images
from numpy.testing import assert_array_equal
from scenes import DTYPES, assert_same_vector, host, on


@dataclass(frozen=True, kw_only=True)
class Covered(ImageLoss):
    """Squared difference of the covered areas, in NumPy."""

    name = "covered"

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        assert isinstance(images.alpha, np.ndarray)
        away = images.alpha.mean() - target.alpha.mean()
        adj = np.broadcast_to(2.0 * away / images.alpha.size, images.alpha.shape)
        return float(away**2), {"adj_alpha": adj.astype(images.alpha.dtype)}


LOSSES: list[ImageLoss] = [
    losses.SilhouetteL1(),
    losses.SilhouetteL2(),
    losses.SilhouetteBCE(),
    losses.SilhouettePyramid(weight=3.0),
    losses.SilhouettePyramid(scales=(0.0, 0.02, 0.3)),
    losses.SilhouetteDistance(),
    losses.Depth(extent=7.0),
    losses.Color(),
    losses.SSIM(),
    losses.SSIM(image="alpha"),
    losses.EdgeAlignment(),
    losses.EdgeAlignment(image="color", weight=0.5),
    losses.CovarianceSpectrum(),
    losses.CovarianceSize(size=0.3),
    Covered(),
]


def images(seed: int, dtype: Any) -> Images:
    """Return images of discs, partly covered at the rim, empty elsewhere."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:37j, -1:1:45j]
    alpha = np.stack([np.clip(4.0 * (r - np.hypot(x - 0.1 * r, y)), 0.0, 1.0) for r in (0.4, 0.7)])
    depth, color = alpha * (3.0 + 0.1 * random.random(alpha.shape)), random.random((*alpha.shape, 3))
    alpha = np.clip(alpha + 0.05 * random.standard_normal(alpha.shape) * (alpha > 0), 0.0, 1.0)
    halves = random.normal(size=(300, 3, 3))
    covars = np.matmul(halves, halves.transpose(0, 2, 1)) + 0.01 * np.eye(3)
    return Images(*(a.astype(dtype) for a in (alpha, depth, color, covars)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_values_and_gradients(loss: ImageLoss, dtype: Any, device: str) -> None:
    body, target = images(1, dtype), images(2, dtype)
    expected = loss.evaluate(body, target)
    got = loss.evaluate(body.to(device), target.to(device))
    assert got.value == pytest.approx(expected.value, rel=tol.PARITY[np.dtype(dtype)])
    assert set(got.adj) == set(expected.adj)
    for name, adj in got.adj.items():
        assert isinstance(adj, dm.DeviceArray)
        assert adj.dtype == dtype
        assert_same_vector(host(adj), expected.adj[name], tol.PARITY[np.dtype(dtype)], name)
    again = loss.evaluate(body.to(device), target.to(device))
    assert again.value == got.value
    for name, adj in got.adj.items():
        assert_array_equal(host(again.adj[name]), host(adj))


def test_round_trip(device: str) -> None:
    original = images(1, np.float32)
    back = original.to(device).to("cpu")
    for name in ("alpha", "depth", "color", "covars"):
        assert_array_equal(getattr(back, name), getattr(original, name))
    with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N, got 'gpu'"):
        original.to("gpu")


def test_wrong_devices(device: str) -> None:
    on_cpu = images(1, np.float32)
    on_device = on_cpu.to(device)
    with pytest.raises(ConfigError, match="target alpha: expected an array on the device"):
        losses.SilhouetteL2().evaluate(on_device, on_cpu)
    with pytest.raises(ConfigError, match="target alpha: expected a CPU array"):
        losses.SilhouetteL2().evaluate(on_cpu, on_device)
    with pytest.raises(ConfigError, match="depth: expected an array on the device, as the others are"):
        Images(on(device, np.zeros((1, 4, 4))), np.zeros((1, 4, 4)))


def test_flat_covariances_raise_an_error(device: str) -> None:
    flat = Images(covars=np.diag([1.0, 0.5, -0.25])[None]).to(device)
    with pytest.raises(ConfigError, match=r"covars: .* got an eigenvalue of -0\.25"):
        losses.CovarianceSize(size=1.0).evaluate(flat, Images())


def test_gradients_match_central_differences(device: str) -> None:
    """Check against differences, because equal errors on both devices would agree."""
    body, target = images(1, np.float64), images(2, np.float64).to(device)
    random = np.random.default_rng(3)
    for loss in LOSSES:
        adj = loss.evaluate(body.to(device), target).adj
        along = {name: random.normal(size=getattr(body, name).shape) for name in loss.needs}
        if "covars" in along:
            along["covars"] += along["covars"].transpose(0, 2, 1)
        h = 1e-6
        low, high = (
            loss.evaluate(
                replace(body, **{name: getattr(body, name) + s * h * d for name, d in along.items()}).to(device), target
            ).value
            for s in (-1, 1)
        )
        expected = sum(float(np.vdot(host(adj[f"adj_{name}"]), d)) for name, d in along.items())
        assert expected == pytest.approx((high - low) / (2.0 * h), rel=1e-4, abs=1e-7), loss.name
