# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image losses that look at neighbourhoods and edges, and losses on the covariances of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from ..config import choice
from ..errors import ConfigError
from .image import ImageLoss, Images, blur, wanted

SSIM_SIGMA = 1.5
"""Standard deviation of the window of SSIM in pixels, as published."""

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
"""Constants that keep the quotients of SSIM finite, for values in a range of 1, as published."""

EDGE_FLOOR = 0.05
"""Slope per pixel below which an image is flat: directions of weaker edges count less."""


@dataclass(frozen=True, kw_only=True)
class SSIM(ImageLoss):
    """1 - mean structural similarity of the channels of `image`, for values in a range of about 1.

    References:
        Wang, Bovik, Sheikh, Simoncelli 2004, Image quality assessment: from error visibility to structural similarity.
    """

    image: str = "color"
    """"color" or "alpha"."""

    name = "ssim"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.image, "image", ("alpha", "color"))

    @property
    def need(self) -> tuple[str, ...]:
        """The image that is compared."""
        return (self.image,)

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        x, y = (_channels_first(i, self.image) for i in (images, target))
        mx, my = blur(x, SSIM_SIGMA), blur(y, SSIM_SIGMA)
        sxx = blur(x * x, SSIM_SIGMA) - mx * mx
        syy = blur(y * y, SSIM_SIGMA) - my * my
        sxy = blur(x * y, SSIM_SIGMA) - mx * my
        mean_top, mean_low = 2.0 * mx * my + SSIM_C1, mx * mx + my * my + SSIM_C1
        top, low = 2.0 * sxy + SSIM_C2, sxx + syy + SSIM_C2
        means, spread = mean_top / mean_low, top / low
        by_sxx, by_sxy = -means * spread / low, 2.0 * means / low
        by_mx = spread * (2.0 * my - 2.0 * mx * means) / mean_low - 2.0 * mx * by_sxx - my * by_sxy
        slope = blur(by_mx, SSIM_SIGMA) + 2.0 * x * blur(by_sxx, SSIM_SIGMA) + y * blur(by_sxy, SSIM_SIGMA)
        adj = _channels_last(slope * x.dtype.type(-1.0 / x.size), self.image)
        return 1.0 - float(np.mean(means * spread, dtype=np.float64)), {f"adj_{self.image}": adj}


@dataclass(frozen=True, kw_only=True)
class EdgeAlignment(ImageLoss):
    """Sum of |g*| - <g, g*> / sqrt(|g|^2 + e^2) over the sum of |g*|: slopes g, those of the target g*, e `EDGE_FLOOR`.

    About 0 where every edge of the target has an edge of that direction and sense, 1 where there is none.
    """

    image: str = "alpha"
    """"alpha" or "color"."""

    name = "edge_alignment"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.image, "image", ("alpha", "color"))

    @property
    def need(self) -> tuple[str, ...]:
        """The image that is compared."""
        return (self.image,)

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        x, y = (_channels_first(i, self.image) for i in (images, target))
        (gx, gy), (hx, hy) = _slopes(x), _slopes(y)
        strength = np.sqrt(hx * hx + hy * hy)
        total = float(np.sum(strength, dtype=np.float64))
        if total == 0.0:
            return 0.0, {f"adj_{self.image}": np.zeros_like(getattr(images, self.image))}
        length = np.sqrt(gx * gx + gy * gy + EDGE_FLOOR**2)
        along = (gx * hx + gy * hy) / length
        by_gx, by_gy = ((along * g / length - h) / length for g, h in ((gx, hx), (gy, hy)))
        adj = _slopes_vjp(by_gx, by_gy) / x.dtype.type(total)
        value = float(np.sum(strength - along, dtype=np.float64)) / total
        return value, {f"adj_{self.image}": _channels_last(adj, self.image)}


@dataclass(frozen=True, kw_only=True)
class CovarianceSpectrum(ImageLoss):
    """Mean over Gaussians of sum_k (log l_k - mean log l)^2 over the eigenvalues l: 0 for balls, large for needles."""

    name = "covariance_spectrum"
    _need = ("covs",)

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        logs, values, axes = _spectrum(images.covs)
        spread = logs - logs.mean(axis=1, keepdims=True)
        return float(np.sum(spread * spread) / len(logs)), {
            "adj_covs": _from_spectrum(2.0 * spread / (values * len(logs)), axes, images)
        }


@dataclass(frozen=True, kw_only=True)
class CovarianceSize(ImageLoss):
    """Mean over Gaussians of (log det C / 6 - log size)^2: it keeps their mean radius at a size."""

    size: float
    """Wanted standard deviation [m], above 0."""

    name = "covariance_size"
    _need = ("covs",)

    def __post_init__(self) -> None:
        super().__post_init__()
        as_positive(self.size, "size")

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        logs, values, axes = _spectrum(images.covs)
        gap = logs.sum(axis=1, keepdims=True) / 6.0 - np.log(self.size)
        return float(np.sum(gap * gap) / len(logs)), {
            "adj_covs": _from_spectrum(gap / (3.0 * values * len(logs)), axes, images)
        }


def _spectrum(covs: Array | None) -> tuple[Array, Array, Array]:
    """Return logarithms of eigenvalues, eigenvalues, both (M, 3), and eigenvectors (M, 3, 3), float64.

    Losses that are symmetric in the eigenvalues have the gradient V f'(l) V^T, also where eigenvalues coincide.
    """
    given = wanted(covs, "covs").astype(np.float64)
    values, axes = np.linalg.eigh(0.5 * (given + given.transpose(0, 2, 1)))
    if not (values > 0.0).all():
        raise ConfigError(f"covs: expected positive definite matrices, got an eigenvalue of {values.min():g}")
    return np.log(values), values, axes


def _from_spectrum(slopes: Array, axes: Array, images: Images) -> Array:
    adj = np.matmul(axes * slopes[:, None, :], axes.transpose(0, 2, 1))
    return adj.astype(wanted(images.covs, "covs").dtype)


def _channels_first(images: Images, name: str) -> Array:
    if name == "alpha":
        return wanted(images.alpha, name)
    return np.ascontiguousarray(np.moveaxis(wanted(images.color, name), -1, 1))


def _channels_last(array: Array, name: str) -> Array:
    return array if name == "alpha" else np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _slopes(x: Array) -> tuple[Array, Array]:
    """Return the central differences along columns and rows of images (..., H, W), zero at the border."""
    along, across = np.zeros_like(x), np.zeros_like(x)
    along[..., :, 1:-1] = 0.5 * (x[..., :, 2:] - x[..., :, :-2])
    across[..., 1:-1, :] = 0.5 * (x[..., 2:, :] - x[..., :-2, :])
    return along, across


def _slopes_vjp(adj_along: Array, adj_across: Array) -> Array:
    adj = np.zeros_like(adj_along)
    inner = 0.5 * adj_along[..., :, 1:-1]
    adj[..., :, 2:] += inner
    adj[..., :, :-2] -= inner
    inner = 0.5 * adj_across[..., 1:-1, :]
    adj[..., 2:, :] += inner
    adj[..., :-2, :] -= inner
    return adj
