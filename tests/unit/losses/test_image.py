# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from diffmpm import ConfigError, losses
from diffmpm.losses import Images, WeightSchedule


def test_schedules_go_from_start_to_end():
    for interpolation, middle in (
        ("constant", 1.0),
        ("linear", 1.5),
        ("cosine", 1.0 + 2.0 * (0.5 - 0.5 * np.cos(np.pi / 4))),
    ):
        schedule = WeightSchedule(start=1.0, end=3.0, interpolation=interpolation)
        assert schedule.at(-1.0) == schedule.at(0.0) == 1.0
        assert schedule.at(0.25) == pytest.approx(middle)
        assert schedule.at(1.0) == schedule.at(7.0) == pytest.approx(1.0 if interpolation == "constant" else 3.0)


def test_weight_scales_value_gradient_and_term():
    images, target = Images(np.full((1, 4, 4), 0.5)), Images(np.zeros((1, 4, 4)))
    one = losses.SilhouetteL2().evaluate(images, target)
    two = losses.SilhouetteL2(weight=WeightSchedule(end=5.0, interpolation="linear")).evaluate(
        images, target, progress=0.25
    )
    assert two.value == pytest.approx(2.0 * one.value) == two.terms["silhouette_l2"]
    np.testing.assert_allclose(two.adj["adj_alpha"], 2.0 * one.adj["adj_alpha"])


@pytest.mark.parametrize("loss", [losses.SilhouetteL1(), losses.SilhouetteL2(), losses.SilhouettePyramid()])
def test_losses_vanish_for_equal_images(loss):
    images = Images(np.random.default_rng(0).uniform(size=(2, 8, 8)))
    value = loss.evaluate(images, images)
    assert value.value == 0.0
    assert not value.adj["adj_alpha"].any()


def test_ssim_of_equal_and_of_different_images():
    random = np.random.default_rng(0)
    image, other = (Images(color=random.uniform(size=(1, 32, 32, 3))) for _ in range(2))
    assert losses.SSIM().evaluate(image, image).value == pytest.approx(0.0, abs=1e-12)
    assert losses.SSIM().evaluate(image, other).value > 0.5


def test_edge_alignment_of_known_edges():
    step = np.zeros((1, 16, 16))
    step[:, :, 8:] = 1.0
    loss = losses.EdgeAlignment()
    assert loss.evaluate(Images(step), Images(step)).value < 0.01
    assert loss.evaluate(Images(0.0 * step), Images(step)).value == pytest.approx(1.0)
    assert loss.evaluate(Images(1.0 - step), Images(step)).value > 1.9
    assert loss.evaluate(Images(step), Images(0.0 * step)).value == 0.0


def test_covariance_losses_vanish_for_balls_of_the_target_size():
    images = Images(covars=np.broadcast_to(0.04 * np.eye(3), (4, 3, 3)))
    for loss in (losses.CovarianceSpectrum(), losses.CovarianceSize(size=0.2)):
        assert loss.evaluate(images, Images()).value == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: WeightSchedule(interpolation="wave"),
            "interpolation: expected one of constant, linear, cosine, got 'wave'",
        ),
        (lambda: WeightSchedule(start=-1.0), "start: expected"),
        (lambda: losses.SilhouetteL2(weight=-1.0), "weight: expected"),
        (lambda: losses.SilhouettePyramid(scales=(-1.0,)), "scales: expected"),
        (lambda: losses.SilhouettePyramid(scales=(17.0,)), "scales: expected at most 16 image heights, got 17"),
        (lambda: losses.Depth(extent=0.0), "extent: expected"),
        (lambda: losses.CovarianceSize(size=0.0), "size: expected"),
        (lambda: losses.SSIM(image="depth"), "image: expected one of alpha, color, normals, got 'depth'"),
        (lambda: losses.EdgeAlignment(image="depth"), "image: expected one of alpha, color, normals, got 'depth'"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_bad_images_are_named():
    alpha = Images(np.zeros((1, 4, 4)))
    with pytest.raises(ConfigError, match="color: expected an array, got None"):
        losses.Color().evaluate(alpha, alpha)
    with pytest.raises(ConfigError, match="target alpha: expected shape"):
        losses.SilhouetteL2().evaluate(alpha, Images(np.zeros((1, 4, 5))))
    with pytest.raises(ConfigError, match="covars: expected positive definite matrices, got an eigenvalue of 0"):
        losses.CovarianceSpectrum().evaluate(Images(covars=np.zeros((1, 3, 3))), Images())
