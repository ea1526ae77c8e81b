# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Values of image losses agree with their formulas in NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from diffmpm import losses
from diffmpm.losses import ImageLoss, Images
from scipy import ndimage

RNG = np.random.default_rng(0)
SHAPE = (2, 21, 34)
HEIGHT = SHAPE[1]


def make_images() -> Images:
    halves = RNG.normal(size=(30, 3, 3))
    covars = np.matmul(halves, halves.transpose(0, 2, 1)) + 0.01 * np.eye(3)
    alpha = np.where(RNG.random(SHAPE) < 0.2, 0.0, RNG.random(SHAPE))
    return Images(alpha, 3.0 * alpha * RNG.random(SHAPE), RNG.random((*SHAPE, 3)), covars)


X, Y = make_images(), make_images()


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur along both axes of images (C, H, W)."""
    for axis in (1, 2):
        images = ndimage.gaussian_filter1d(images, sigma, axis=axis, mode="constant")
    return images


def pool(images: np.ndarray, size: int) -> np.ndarray:
    """Means over squares of pixels, with zeros beyond the border."""
    count, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, -height % size), (0, -width % size)))
    return padded.reshape(count, padded.shape[1] // size, size, padded.shape[2] // size, size).mean(axis=(2, 4))


def cross_entropy() -> float:
    def minus_log(p: np.ndarray) -> np.ndarray:
        return np.where(p < 1e-3, 1.0 - p / 1e-3 - np.log(1e-3), -np.log(np.maximum(p, 1e-3)))

    return float(np.mean(Y.alpha * minus_log(X.alpha) + (1.0 - Y.alpha) * minus_log(1.0 - X.alpha)))


def pyramid() -> float:
    """Scales of 0, 1.05, 4.2 and 63 pixels, averaged over squares of 1, 1, 2 and 32."""
    total = 0.0
    for scale, size in ((0.0, 1), (0.05, 1), (0.2, 2), (3.0, 32)):
        means = pool(X.alpha - Y.alpha, size)
        blurred = blur(means, scale * HEIGHT / size) if scale > 0.0 else means
        total += np.mean(blurred**2) / 64.0 / max(scale, 0.5 / HEIGHT)
    return total


def distance() -> float:
    covered = Y.alpha > 0.5
    outside, inside = (
        np.stack([ndimage.distance_transform_edt(m) for m in mask]) / HEIGHT for mask in (~covered, covered)
    )
    return float(np.mean(X.alpha * outside + (1.0 - X.alpha) * inside))


def depth() -> float:
    expected = np.divide(Y.depth, Y.alpha, out=np.zeros(SHAPE), where=Y.alpha > 0.0)
    return float(np.mean(Y.alpha * (X.depth - X.alpha * expected) ** 2) / 1.7**2)


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    mx, my = blur(x, 1.5), blur(y, 1.5)
    sxx, syy, sxy = blur(x * x, 1.5) - mx**2, blur(y * y, 1.5) - my**2, blur(x * y, 1.5) - mx * my
    similar = (2 * mx * my + 1e-4) * (2 * sxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (sxx + syy + 9e-4))
    return float(1.0 - similar.mean())


def edges(x: np.ndarray, y: np.ndarray) -> float:
    def slopes(a: np.ndarray) -> np.ndarray:
        out = np.zeros((2, *a.shape))
        out[0, :, :, 1:-1] = 0.5 * (a[:, :, 2:] - a[:, :, :-2])
        out[1, :, 1:-1] = 0.5 * (a[:, 2:] - a[:, :-2])
        return out

    g, h = slopes(x), slopes(y)
    strength = np.sqrt((h**2).sum(axis=0))
    return float((strength - (g * h).sum(axis=0) / np.sqrt((g**2).sum(axis=0) + 0.05**2)).sum() / strength.sum())


def channels(formula: Callable[[np.ndarray, np.ndarray], float]) -> float:
    """Apply a formula to all channels, stacked as separate images."""
    return formula(*(np.concatenate(list(np.moveaxis(images.color, -1, 0))) for images in (X, Y)))


def spectrum() -> float:
    logs = np.log(np.linalg.eigvalsh(X.covars))
    return float(((logs - logs.mean(axis=1, keepdims=True)) ** 2).sum() / len(logs))


def size() -> float:
    return float(np.mean((np.linalg.slogdet(X.covars)[1] / 6.0 - np.log(0.3)) ** 2))


def absolute() -> float:
    d = np.abs(X.alpha - Y.alpha)
    return float(np.mean(np.where(d < 1e-3, d * d / 2e-3, d - 5e-4)))


CASES: list[tuple[ImageLoss, Callable[[], float]]] = [
    (losses.SilhouetteL1(), absolute),
    (losses.SilhouetteL2(), lambda: float(np.mean((X.alpha - Y.alpha) ** 2))),
    (losses.SilhouetteBCE(), cross_entropy),
    (losses.SilhouettePyramid(scales=(0.0, 0.05, 0.2, 3.0)), pyramid),
    (losses.SilhouetteDistance(), distance),
    (losses.Depth(extent=1.7), depth),
    (losses.Color(), lambda: float(np.mean((X.color - Y.color) ** 2))),
    (losses.SSIM(), lambda: channels(ssim)),
    (losses.SSIM(image="alpha"), lambda: ssim(X.alpha, Y.alpha)),
    (losses.EdgeAlignment(), lambda: edges(X.alpha, Y.alpha)),
    (losses.EdgeAlignment(image="color"), lambda: channels(edges)),
    (losses.CovarianceSpectrum(), spectrum),
    (losses.CovarianceSize(size=0.3), size),
]


@pytest.mark.parametrize(("loss", "formula"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_values_are_those_of_the_formulas(loss: ImageLoss, formula: Callable[[], float]) -> None:
    assert loss.evaluate(X, Y).value == pytest.approx(formula(), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 9), (2, 9, 2)])
def test_small_images(shape: tuple[int, ...]) -> None:
    """Images narrower than every filter."""
    x, y = (Images(RNG.random(shape)) for _ in range(2))
    assert losses.SSIM(image="alpha").evaluate(x, y).value == pytest.approx(ssim(x.alpha, y.alpha), rel=1e-12)
    for loss in (losses.SilhouettePyramid(), losses.EdgeAlignment()):
        value = loss.evaluate(x, y)
        assert np.isfinite(value.value)
        assert value.adj["adj_alpha"].shape == shape
