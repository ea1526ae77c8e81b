# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image losses that look at neighbourhoods and edges, and losses on the covariances of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _core
from .._arrays import Array, as_positive
from .._options import choice
from ..errors import ConfigError
from .image import CoreLoss, Images


@dataclass(frozen=True, kw_only=True)
class SSIM(CoreLoss):
    """1 - mean structural similarity of the channels of `image`, for values in a range of about 1.

    The window is a Gaussian of 1.5 pixels, as published.

    References:
        Wang, Bovik, Sheikh, Simoncelli 2004, Image quality assessment: from error visibility to structural similarity.
    """

    image: str = "color"
    """"color" or "alpha"."""

    name = "ssim"
    _formula = _core.ImageLoss.ssim

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.image, "image", ("alpha", "color"))

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The image that is compared."""
        return (self.image,)


@dataclass(frozen=True, kw_only=True)
class EdgeAlignment(CoreLoss):
    """Sum of |g*| - <g, g*> / sqrt(|g|^2 + e^2) over the sum of |g*|: slopes g, those of the target g*, e = 0.05.

    About 0 where every edge of the target has an edge of that direction and sense, 1 where there is none. Edges with
    slopes below e per pixel count less.
    """

    image: str = "alpha"
    """"alpha" or "color"."""

    name = "edge_alignment"
    _formula = _core.ImageLoss.edges

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.image, "image", ("alpha", "color"))

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The image that is compared."""
        return (self.image,)


@dataclass(frozen=True, kw_only=True)
class _CovarianceLoss(CoreLoss):
    needs = ("covars",)

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the loss without its weight, and the cotangents of the covariances."""
        try:
            return super().compute(images, target)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _targets(self, target: Images) -> list[Array]:
        return []


@dataclass(frozen=True, kw_only=True)
class CovarianceSpectrum(_CovarianceLoss):
    """Mean over Gaussians of sum_k (log l_k - mean log l)^2 over the eigenvalues l: 0 for balls, large for needles."""

    name = "covariance_spectrum"
    _formula = _core.ImageLoss.spectrum


@dataclass(frozen=True, kw_only=True)
class CovarianceSize(_CovarianceLoss):
    """Mean over Gaussians of (log det C / 6 - log size)^2: it keeps their mean radius at a size."""

    size: float
    """Wanted standard deviation [m], above 0."""

    name = "covariance_size"
    _formula = _core.ImageLoss.size

    def __post_init__(self) -> None:
        super().__post_init__()
        as_positive(self.size, "size")

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        return {"length": self.size}
