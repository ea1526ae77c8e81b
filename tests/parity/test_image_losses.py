# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image losses on a device are those of the CPU; those that need more than a device knows say so."""

from __future__ import annotations

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

ANYWHERE: list[ImageLoss] = [
    losses.SilhouetteL2(),
    losses.SilhouettePyramid(weight=3.0),
    losses.SilhouettePyramid(scales=(0.0, 0.02, 0.3)),
    losses.SilhouetteDistance(),
    losses.Depth(extent=7.0),
    losses.Color(),
]


def images(seed: int, dtype: Any) -> Images:
    """Images of discs, partly covered at the rim, empty elsewhere."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:37j, -1:1:45j]
    alpha = np.stack([np.clip(4.0 * (r - np.hypot(x - 0.1 * r, y)), 0.0, 1.0) for r in (0.4, 0.7)])
    depth, color = alpha * (3.0 + 0.1 * random.random(alpha.shape)), random.random((*alpha.shape, 3))
    alpha = np.clip(alpha + 0.05 * random.standard_normal(alpha.shape) * (alpha > 0), 0.0, 1.0)
    return Images(alpha.astype(dtype), depth.astype(dtype), color.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ANYWHERE, ids=lambda loss: loss.name)
def test_values_and_gradients(loss: ImageLoss, dtype: Any, device: str) -> None:
    seen, target = images(1, dtype), images(2, dtype)
    expected = loss.evaluate(seen, target)
    got = loss.evaluate(seen.to(device), target.to(device))
    assert got.value == pytest.approx(expected.value, rel=tol.PARITY[np.dtype(dtype)])
    assert set(got.adj) == set(expected.adj)
    for name, adj in got.adj.items():
        assert isinstance(adj, dm.DeviceArray)
        assert adj.dtype == dtype
        assert_same_vector(host(adj), expected.adj[name], tol.PARITY[np.dtype(dtype)], name)


def test_images_go_there_and_back(device: str) -> None:
    given = images(1, np.float32)
    back = given.to(device).to("cpu")
    for name in ("alpha", "depth", "color"):
        assert_array_equal(getattr(back, name), getattr(given, name))
    with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N, got 'gpu'"):
        given.to("gpu")


def test_wrong_devices(device: str) -> None:
    here = images(1, np.float32)
    there = here.to(device)
    for loss in (losses.SilhouetteL1(), losses.SilhouetteBCE(), losses.SSIM(), losses.EdgeAlignment()):
        with pytest.raises(ConfigError, match=f"expected CPU images for {loss.name}, got some on a device"):
            loss.evaluate(there, there)
    with pytest.raises(ConfigError, match="target alpha: expected an array on the device"):
        losses.SilhouetteL2().evaluate(there, here)
    with pytest.raises(ConfigError, match="target alpha: expected a CPU array"):
        losses.SilhouetteL2().evaluate(here, there)
    with pytest.raises(ConfigError, match="depth: expected an array on the device, as the others are"):
        Images(on(device, np.zeros((1, 4, 4))), np.zeros((1, 4, 4)))
