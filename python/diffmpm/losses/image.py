# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses on images: value and exact gradient from one call; a mean over pixels, whatever their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _core
from .._arrays import (
    Array,
    as_array,
    as_positive,
    check_device_name,
    chosen_device,
    device_of,
    place,
    to_host,
)
from .._deprecated import renamed_arguments, renamed_attributes
from .._options import choice
from ..errors import ConfigError
from .base import LossValue, Parts, total, weighted

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEDULES: tuple[str, ...] = ("constant", "linear", "cosine")

INSIDE_ALPHA = 0.5
"""Opacity above which a pixel of a target counts as covered, where a mask is needed."""

PYRAMID_SCALES = (1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0)
"""Standard deviations of the blurs, in image heights."""

MOST_SCALE = 16.0
"""Widest blur, in image heights."""


@dataclass(frozen=True, kw_only=True)
class WeightSchedule:
    """Weight that changes over a run: from `start` to `end`, along a line or half a cosine wave.

    Raises:
        ConfigError: If the kind is unknown or a weight is negative.
    """

    start: float = 1.0
    """Weight at progress 0, at least 0."""
    end: float = 1.0
    """Weight at progress 1, at least 0; has no effect if constant."""
    kind: str = "constant"
    """"constant", "linear" or "cosine"."""

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, as_positive(getattr(self, name), name, zero=True))
        choice(self.kind, "kind", SCHEDULES)

    def at(self, progress: float) -> float:
        """Return the weight at a progress from 0 to 1; beyond, that of the nearer end."""
        t = min(1.0, max(0.0, progress))
        if self.kind == "constant":
            return self.start
        share = t if self.kind == "linear" else 0.5 - 0.5 * float(np.cos(np.pi * t))
        return self.start + (self.end - self.start) * share


@renamed_arguments(covs="covars")
@renamed_attributes(covs="covars")
@dataclass(frozen=True, eq=False)
class Images:
    """Images of one scene from C cameras; float arrays of one dtype, all on the CPU or all on a CUDA device.

    Raises:
        ConfigError: If a shape, device or value does not fit.
    """

    alpha: Array | None = None
    """Opacity in [0, 1], shape (C, H, W)."""
    depth: Array | None = None
    """Accumulated depth [m], shape (C, H, W): opacity times expected depth."""
    color: Array | None = None
    """Colours or other features, shape (C, H, W, K)."""
    covars: Array | None = None
    """Covariances of the Gaussians [m^2], shape (M, 3, 3)."""

    def __post_init__(self) -> None:
        shapes = {"alpha": (None,) * 3, "depth": (None,) * 3, "color": (None,) * 4, "covars": (None, 3, 3)}
        device = "any"
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None:
                array = as_array(value, name, shape, device=device)
                device = device_of(array)
                if array.size == 0:
                    raise ConfigError(f"{name}: expected at least one pixel or Gaussian, got shape {array.shape}")
                object.__setattr__(self, name, array)

    def to(self, device: str) -> Images:
        """Return the images on a device, "cpu", "cuda" or "cuda:N"; copies of those that are elsewhere.

        Raises:
            ConfigError: If it is none of them.
            DeviceError: If there is no such device.
            MemoryError: If its memory is full.
        """
        target = chosen_device(check_device_name(device))
        given = (self.alpha, self.depth, self.color, self.covars)
        return Images(*(None if image is None else place(image, target) for image in given))

    @cached_property
    def distances(self) -> tuple[Array, Array]:
        """Distance of each pixel to the covered ones and to the empty ones, in image heights, shapes (C, H, W)."""
        from scipy import ndimage

        inside = to_host(required(self.alpha, "alpha")) > INSIDE_ALPHA
        height = inside.shape[1]
        far = float(np.hypot(*inside.shape[1:]))
        pair = []
        for mask in (inside, ~inside):
            found = [ndimage.distance_transform_edt(~m) if m.any() else np.full(m.shape, far) for m in mask]
            distance = np.asarray(found, dtype=required(self.alpha, "alpha").dtype) / height
            pair.append(place(distance, device_of(self.alpha)))
        return pair[0], pair[1]


@dataclass(frozen=True, kw_only=True)
class ImageLoss(ABC):
    """A scalar of images. A subclass has a `name` and the method `compute`; losses can be added and multiplied.

    Raises:
        ConfigError: If the weight is negative.
    """

    weight: float | WeightSchedule = 1.0
    """Factor of the loss, at least 0; a number is a constant schedule."""
    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("alpha",)
    """Names of the fields of `Images` that the loss compares."""
    supports_cuda: ClassVar[bool] = False
    """Whether `compute` takes images on a CUDA device; otherwise it gets copies on the CPU."""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, WeightSchedule):
            as_positive(self.weight, "weight", zero=True)

    @abstractmethod
    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the loss without its weight, and the cotangents of the images ("adj_alpha", ...)."""

    def weight_at(self, progress: float) -> float:
        """Return the weight at a progress of the run from 0 to 1."""
        return self.weight.at(progress) if isinstance(self.weight, WeightSchedule) else float(self.weight)

    def evaluate(self, images: Images, target: Images, *, progress: float = 0.0) -> LossValue:
        """Return value and gradient; `adj` holds keyword arguments of `Raster.vjp`, and "adj_covars" [1/m^2].

        Args:
            images: What is judged, on the CPU or a CUDA device, where the gradient is then too. Differentiable.
            target: What it should look like, on the same device; a constant.
            progress: Progress of the run from 0 to 1, for the schedule of the weight.

        Raises:
            ConfigError: If an image that the loss needs is missing or shapes differ.
        """
        for name in self.needs:
            array, goal = required(getattr(images, name), name), getattr(target, name)
            if name != "covars":
                as_array(goal, f"target {name}", array.shape, array.dtype, device=device_of(array))
        device = device_of(getattr(images, self.needs[0]))
        if device == "cpu" or self.supports_cuda:
            value, adj = self.compute(images, target)
        else:
            value, adj = self.compute(images.to("cpu"), target.to("cpu"))
            adj = {name: place(np.ascontiguousarray(array), device) for name, array in adj.items()}
        return weighted(self.name, self.weight_at(progress), value, adj)

    def scaled(self, factor: float) -> Self:
        """Return the same loss with its weight multiplied, that of a schedule all along."""
        factor, weight = as_positive(factor, "factor", zero=True), self.weight
        if isinstance(weight, WeightSchedule):
            return replace(self, weight=replace(weight, start=factor * weight.start, end=factor * weight.end))
        return replace(self, weight=factor * weight)

    def __add__(self, other: ImageLoss) -> ImageLoss:
        return ImageSum(parts=(self, other))

    def __mul__(self, factor: float) -> Self:
        return self.scaled(factor)

    __rmul__ = __mul__


@dataclass(frozen=True, kw_only=True)
class ImageSum(ImageLoss, Parts[ImageLoss]):
    """Sum of image losses, each with its own weight."""

    name = "sum"
    parts: Sequence[ImageLoss]
    """The losses."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take_parts(ImageLoss)

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the fields of `Images` that one of the losses compares."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.needs))

    def scaled(self, factor: float) -> Self:
        """Return the sum with every weight multiplied."""
        return replace(self, parts=tuple(part.scaled(factor) for part in self.parts))

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the sums of the parts' values and cotangents at progress 0."""
        found = self.evaluate(images, target)
        return found.value, found.adj

    def evaluate(self, images: Images, target: Images, *, progress: float = 0.0) -> LossValue:
        """Return the sums of the parts' values and cotangents, and every term; see `ImageLoss.evaluate`."""
        return total([part.evaluate(images, target, progress=progress) for part in self.parts])


@dataclass(frozen=True, kw_only=True)
class CoreLoss(ImageLoss):
    """A loss that the core computes, on the CPU and on a device."""

    supports_cuda = True
    _formula: ClassVar[_core.ImageLoss]

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the loss without its weight, and the cotangents of the images."""
        given = [required(getattr(images, name), name) for name in self.needs]
        value, adj = _core.image_loss(self._formula, given, self._targets(target), **self._options(given[0].shape))
        return value, {f"adj_{name}": array for name, array in zip(self.needs, adj, strict=True)}

    def _targets(self, target: Images) -> list[Array]:
        """Return the arrays that the images are compared with."""
        return [required(getattr(target, name), f"target {name}") for name in self.needs]

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the other arguments of the core for images of a shape."""
        return {}


@dataclass(frozen=True, kw_only=True)
class SilhouetteL1(CoreLoss):
    """Mean of |a - a*| over pixels, rounded off to a parabola within 0.001 of 0."""

    name = "silhouette_l1"
    _formula = _core.ImageLoss.l1


@dataclass(frozen=True, kw_only=True)
class SilhouetteL2(CoreLoss):
    """Mean of (a - a*)^2 over pixels."""

    name = "silhouette_l2"
    _formula = _core.ImageLoss.l2


@dataclass(frozen=True, kw_only=True)
class SilhouetteBCE(CoreLoss):
    """Binary cross entropy, the mean of -a* log a - (1 - a*) log(1 - a); linear below probabilities of 0.001."""

    name = "silhouette_bce"
    _formula = _core.ImageLoss.bce


@dataclass(frozen=True, kw_only=True)
class SilhouettePyramid(CoreLoss):
    """Sum over scales s of mean (B_s (a - a*))^2 s_0 / s, B_s a Gaussian blur of standard deviation s image heights.

    Wide blurs are made on images whose pixels have been averaged in squares.

    A pixel feels a missing or superfluous part of the outline from a few s away, where the plain difference is flat:
    that is where the Gaussians at the rim of the body are. Dividing by s keeps a thin misfit, whose blurred square
    falls as 1 / s, of equal weight at all scales.
    """

    scales: tuple[float, ...] = PYRAMID_SCALES
    """Standard deviations in image heights, each from 0 to 16; 0 does not blur and counts as half a pixel."""

    name = "silhouette_pyramid"
    _formula = _core.ImageLoss.pyramid

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scales", tuple(as_array(self.scales, "scales", (None,)).tolist()))
        for scale in self.scales:
            if as_positive(scale, "scales", zero=True) > MOST_SCALE:
                raise ConfigError(f"scales: expected at most {MOST_SCALE:g} image heights, got {scale:g}")

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        height = shape[1]
        return {"scales": [(s * height, PYRAMID_SCALES[0] / max(s, 0.5 / height)) for s in self.scales]}


@dataclass(frozen=True, kw_only=True)
class SilhouetteDistance(CoreLoss):
    """Mean of a d + (1 - a) e: d is a pixel's distance to the target's silhouette, e to the target's background.

    The distances of the chamfer distance between two masks, in image heights: opacity costs more the farther out it is.
    """

    name = "silhouette_distance"
    _formula = _core.ImageLoss.distance

    def _targets(self, target: Images) -> list[Array]:
        return list(target.distances)


@dataclass(frozen=True, kw_only=True)
class Depth(CoreLoss):
    """Mean of a* (D - a z*)^2 / extent^2: D = a z is the accumulated depth, z* the target's expected depth.

    Nothing is asked for where the target is empty, and what the body covers by half counts by half.
    """

    extent: float = 1.0
    """Length [m] that makes the loss a number: the size of the shape, above 0."""

    name = "depth"
    _formula = _core.ImageLoss.depth
    needs = ("alpha", "depth")

    def __post_init__(self) -> None:
        super().__post_init__()
        as_positive(self.extent, "extent")

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        return {"length": self.extent}


@dataclass(frozen=True, kw_only=True)
class Color(CoreLoss):
    """Mean of |c - c*|^2 over pixels and channels."""

    name = "color"
    _formula = _core.ImageLoss.l2
    needs = ("color",)


def required(array: Array | None, name: str) -> Array:
    """Return an image that must be there.

    Raises:
        ConfigError: If it is missing.
    """
    if array is None:
        raise ConfigError(f"{name}: expected an array, got None; the loss compares it")
    return array
