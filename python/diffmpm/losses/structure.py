# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image losses of neighbourhoods and edges, and losses of the covariances of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _core
from .._arrays import Array, as_positive
from .._options import choice
from .image import CoreLoss, Images


@dataclass(frozen=True, kw_only=True)
class _OneImage(CoreLoss):
    image: str

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.image, "image", ("alpha", "color", "normals"))

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The image that is compared."""
        return (self.image,)


@dataclass(frozen=True, kw_only=True)
class SSIM(_OneImage):
    """1 - mean structural similarity of the channels of `image`, for values in a range of about 1.

    The window is a Gaussian of 1.5 pixels, as published.

    References:
        Wang, Bovik, Sheikh, Simoncelli 2004, Image quality assessment: from error visibility to structural similarity.
    """

    image: str = "color"
    """"color", "normals" or "alpha"."""

    name = "ssim"
    formula = _core.ImageLoss.ssim


@dataclass(frozen=True, kw_only=True)
class EdgeAlignment(_OneImage):
    """Sum of |g*| - <g, g*> / sqrt(|g|^2 + e^2) over the sum of |g*|: image gradient g, target gradient g*, e = 0.05.

    About 0 if each edge of the target matches an edge of the same direction and sign, 1 if none does. Edges with
    gradients below e per pixel count less.
    """

    image: str = "alpha"
    """"alpha", "color" or "normals"."""

    name = "edge_alignment"
    formula = _core.ImageLoss.edges


@dataclass(frozen=True, kw_only=True)
class _CovarianceLoss(CoreLoss):
    needs = ("covars",)

    def _targets(self, target: Images) -> list[Array]:
        return []


@dataclass(frozen=True, kw_only=True)
class CovarianceSpectrum(_CovarianceLoss):
    """Mean over Gaussians of sum_k (log l_k - mean log l)^2 with eigenvalues l: 0 for spheres, large for needles."""

    name = "covariance_spectrum"
    formula = _core.ImageLoss.spectrum


@dataclass(frozen=True, kw_only=True)
class CovarianceSize(_CovarianceLoss):
    """Mean over Gaussians of (log det C / 6 - log size)^2: penalises mean radii that differ from `size`."""

    size: float
    """Target standard deviation [m], above 0."""

    name = "covariance_size"
    formula = _core.ImageLoss.size

    def __post_init__(self) -> None:
        super().__post_init__()
        as_positive(self.size, "size")

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        return {"length": self.size}
