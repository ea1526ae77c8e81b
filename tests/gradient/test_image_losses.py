# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gradients of image losses: central differences and dot products in float64, clamps and singular points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tolerances as tol
from diffmpm import losses
from diffmpm.losses import ImageLoss, Images
from scenes import five_point_difference

LOSSES: dict[str, ImageLoss] = {
    "l1": losses.SilhouetteL1(),
    "l2": losses.SilhouetteL2(weight=2.5),
    "bce": losses.SilhouetteBCE(),
    "pyramid": losses.SilhouettePyramid(scales=(0.0, 0.05, 0.3, 0.8)),
    "distance": losses.SilhouetteDistance(),
    "depth": losses.Depth(extent=1.7, weight=losses.WeightSchedule(start=0.5, end=2.0, interpolation="cosine")),
    "color": losses.Color(),
    "ssim": losses.SSIM(),
    "ssim of alpha": losses.SSIM(image="alpha"),
    "edges": losses.EdgeAlignment(),
    "edges of color": losses.EdgeAlignment(image="color"),
    "spectrum": losses.CovarianceSpectrum(),
    "size": losses.CovarianceSize(size=0.3),
}
FIELDS = {"alpha": (2, 12, 14), "depth": (2, 12, 14), "color": (2, 12, 14, 3), "covars": (5, 3, 3)}
PROGRESS = 0.3

each_loss = pytest.mark.parametrize("loss_name", LOSSES)


def make_images(seed: int, dtype: type = np.float64) -> Images:
    random = np.random.default_rng(seed)
    halves = random.normal(size=(5, 3, 3))
    covars = 0.1 * np.eye(3) + np.matmul(halves, halves.transpose(0, 2, 1))
    alpha, depth, color = (random.uniform(0.05, 0.95, FIELDS[name]) for name in ("alpha", "depth", "color"))
    return Images(*(a.astype(dtype) for a in (alpha, 3.0 * depth, color, covars)))


def moved(images: Images, step: float, along: dict[str, np.ndarray]) -> Images:
    return replace(images, **{name: getattr(images, name) + step * d for name, d in along.items()})


def directions(loss: ImageLoss, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    result = {name: random.normal(size=FIELDS[name]) for name in loss.needs}
    if "covars" in result:
        result["covars"] = result["covars"] + result["covars"].transpose(0, 2, 1)
    return result


def slope(loss: ImageLoss, images: Images, target: Images, along: dict[str, np.ndarray]) -> float:
    return five_point_difference(
        lambda step: loss.evaluate(moved(images, step, along), target, progress=PROGRESS).value,
        tol.CENTRAL_DIFFERENCE_STEP,
    )


def product(adj: dict[str, np.ndarray], along: dict[str, np.ndarray]) -> float:
    assert set(adj) == {f"adj_{name}" for name in along}
    return sum(float(np.vdot(adj[f"adj_{name}"], d)) for name, d in along.items())


@each_loss
def test_directional_derivatives_agree_with_differences(loss_name: str) -> None:
    loss, images, target = LOSSES[loss_name], make_images(1), make_images(2)
    adj = loss.evaluate(images, target, progress=PROGRESS).adj
    for seed in range(3, 8):
        along = directions(loss, seed)
        size = np.sqrt(sum(float(np.vdot(a, a)) for a in adj.values()))
        scale = size * np.sqrt(sum(float(np.vdot(d, d)) for d in along.values()))
        assert abs(slope(loss, images, target, along) - product(adj, along)) < tol.CENTRAL_DIFFERENCE * scale


@each_loss
def test_gradient_is_complete(loss_name: str) -> None:
    """Entries against differences, compared as vectors."""
    loss, images, target = LOSSES[loss_name], make_images(1), make_images(2)
    adj = loss.evaluate(images, target, progress=PROGRESS).adj
    random = np.random.default_rng(0)
    for name in loss.needs:
        picks = random.choice(int(np.prod(FIELDS[name])), 40)
        got, expected = [], []
        for pick in picks:
            unit = np.zeros(FIELDS[name])
            unit.flat[pick] = 1.0
            unit = 0.5 * (unit + unit.transpose(0, 2, 1)) if name == "covars" else unit
            expected.append(slope(loss, images, target, {name: unit}))
            got.append(float(np.vdot(adj[f"adj_{name}"], unit)))
        error = np.linalg.norm(np.subtract(got, expected)) / np.linalg.norm(expected)
        assert error < 10.0 * tol.CENTRAL_DIFFERENCE, name


@each_loss
def test_single_precision_agrees(loss_name: str) -> None:
    loss = LOSSES[loss_name]
    wide = loss.evaluate(make_images(1), make_images(2), progress=PROGRESS)
    narrow = loss.evaluate(make_images(1, np.float32), make_images(2, np.float32), progress=PROGRESS)
    assert narrow.value == pytest.approx(wide.value, rel=tol.SINGLE_PRECISION)
    for name, adj in wide.adj.items():
        assert narrow.adj[name].dtype == np.float32
        assert np.linalg.norm(narrow.adj[name] - adj) < tol.SINGLE_PRECISION * np.linalg.norm(adj)


@each_loss
def test_singular_images_give_finite_gradients(loss_name: str) -> None:
    """Empty and full images, equal images, and balls, which have repeated eigenvalues."""
    balls = np.broadcast_to(0.2 * np.eye(3), FIELDS["covars"]).copy()
    flat = {
        value: Images(*(np.full(FIELDS[n], value) for n in ("alpha", "depth", "color")), balls) for value in (0.0, 1.0)
    }
    for images in flat.values():
        for target in flat.values():
            value = LOSSES[loss_name].evaluate(images, target)
            assert np.isfinite(value.value)
            assert all(np.isfinite(a).all() for a in value.adj.values())


@pytest.mark.parametrize("loss_name", ["l1", "bce"])
@pytest.mark.parametrize("alpha", [1e-3, -1e-3, 0.999])
def test_clamps_join_smoothly(loss_name: str, alpha: float) -> None:
    """At a clamp (0.001 for both losses) the derivative equals the difference quotient."""
    images, target = Images(np.full((1, 1, 1), alpha)), Images(np.zeros((1, 1, 1)))
    adj = LOSSES[loss_name].evaluate(images, target).adj["adj_alpha"].item()
    h = 1e-9
    low, high = (LOSSES[loss_name].evaluate(Images(images.alpha + s * h), target).value for s in (-1, 1))
    assert adj == pytest.approx((high - low) / (2.0 * h), rel=1e-4)  # rounding 1e-16 / 1e-9, and a kink of h


def test_saturated_images_leave_a_gradient_outside() -> None:
    """For a square displaced by twice its width, pyramid and distance distinguish the near rim from the far rim of the
    body; a plain difference does not."""
    body, goal = np.zeros((1, 64, 64)), np.zeros((1, 64, 64))
    body[0, 28:36, 8:16] = goal[0, 28:36, 24:32] = 1.0
    for loss in (losses.SilhouettePyramid(), losses.SilhouetteDistance()):
        adj = loss.evaluate(Images(body), Images(goal)).adj["adj_alpha"][0]
        assert adj[32, 16] < adj[32, 7]  # the loss favours opacity on the side of the target
    plain = losses.SilhouetteL2().evaluate(Images(body), Images(goal)).adj["adj_alpha"][0]
    assert plain[32, 16] == plain[32, 7] == 0.0
