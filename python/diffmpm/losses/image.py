# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of images: means over pixels, so that their scale does not depend on the resolution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .. import _core
from .._arrays import Array, as_array, as_positive, check_device_name, device_of, move_to, resolve_device, to_host
from .._deprecated import renamed_arguments, renamed_attributes
from .._repr import short_repr
from ..errors import ConfigError
from .base import LossValue, Parts, Weighted, WeightSchedule, total, weighted

INSIDE_ALPHA = 0.5
"""Opacity above which a target pixel counts as covered in a mask."""

PYRAMID_SCALES = (1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0)
"""Standard deviations of the blurs, in image heights."""

MOST_SCALE = 16.0
"""Widest blur, in image heights."""


@short_repr
@renamed_arguments(covs="covars")
@renamed_attributes(covs="covars")
@dataclass(frozen=True, eq=False)
class Images:
    """Images of one scene from C cameras: float arrays of one dtype on one device.

    Raises:
        ConfigError: If a shape, device or value is invalid.
    """

    alpha: Array | None = None
    """Opacity in [0, 1], shape (C, H, W)."""
    depth: Array | None = None
    """Accumulated depth [m], shape (C, H, W): opacity times expected depth."""
    color: Array | None = None
    """Colours or other features, shape (C, H, W, K)."""
    covars: Array | None = None
    """Covariances of the Gaussians [m^2], shape (M, 3, 3)."""
    normals: Array | None = None
    """Normals, shape (C, H, W, 3)."""

    def __post_init__(self) -> None:
        shapes = {"alpha": (None,) * 3, "depth": (None,) * 3, "color": (None,) * 4, "covars": (None, 3, 3)}
        shapes["normals"] = (None, None, None, 3)
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
        """Return the images on a device, "cpu", "cuda" or "cuda:N"; copied if they are on another one.

        Raises:
            ConfigError: If the name is invalid.
            DeviceError: If there is no such device.
            MemoryError: If its memory is full.
        """
        target = resolve_device(check_device_name(device))
        images = (self.alpha, self.depth, self.color, self.covars, self.normals)
        return Images(*(None if image is None else move_to(image, target) for image in images))

    @cached_property
    def distances(self) -> tuple[Array, Array]:
        """Distance of each pixel to the nearest covered and to the nearest empty pixel, in image heights, (C, H, W)."""
        from scipy import ndimage

        alpha = required(self.alpha, "alpha")
        inside = to_host(alpha) > INSIDE_ALPHA
        far = float(np.hypot(*inside.shape[1:]))

        def distance(masks: Array) -> Array:
            pixels = [ndimage.distance_transform_edt(~m) if m.any() else np.full(m.shape, far) for m in masks]
            return move_to(np.asarray(pixels, dtype=alpha.dtype) / inside.shape[1], device_of(alpha))

        return distance(inside), distance(~inside)


@dataclass(frozen=True, kw_only=True)
class ImageLoss(Weighted):
    """A scalar function of images. Subclasses define `name` and `compute`; losses can be added and multiplied.

    Raises:
        ConfigError: If the weight is negative.
    """

    weight: float | WeightSchedule = 1.0
    """Factor of the loss, at least 0; a number is a constant schedule."""
    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("alpha",)
    """Fields of `Images` that the loss compares."""
    supports_cuda: ClassVar[bool] = False
    """Whether `compute` accepts CUDA images. Otherwise it gets copies on the CPU."""

    @abstractmethod
    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss, and the cotangents of the images ("adj_alpha", ...)."""

    def evaluate(self, images: Images, target: Images, *, progress: float = 0.0) -> LossValue:
        """Return value and gradient; `adj` has an entry "adj_NAME" for each field of `Images` that the loss compares.

        Args:
            images: Images of the body, on the CPU or a CUDA device. The gradient is on the same device. Differentiable.
            target: Images of the target, on the same device. Not differentiable.
            progress: Progress of the run from 0 to 1, for the schedule of the weight.

        Raises:
            ConfigError: If an image that the loss needs is missing or shapes differ.
        """
        for name in self.needs:
            array = required(getattr(images, name), name)
            if name != "covars":
                as_array(getattr(target, name), f"target {name}", array.shape, array.dtype, device=device_of(array))
        device = device_of(getattr(images, self.needs[0]))
        if device == "cpu" or self.supports_cuda:
            value, adj = self.compute(images, target)
        else:
            value, adj = self.compute(images.to("cpu"), target.to("cpu"))
            adj = {name: move_to(np.ascontiguousarray(array), device) for name, array in adj.items()}
        return weighted(self.name, self.weight_at(progress), value, adj)

    def __add__(self, other: ImageLoss) -> ImageLoss:
        return ImageSum(parts=(self, other))


@dataclass(frozen=True, kw_only=True)
class ImageSum(Parts[ImageLoss], ImageLoss):
    """Sum of image losses, each with its own weight."""

    name = "sum"
    parts: Sequence[ImageLoss]
    """The losses."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._flatten(ImageLoss)

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields of `Images` that at least one of the losses compares."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.needs))

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the sums of the values and cotangents at progress 0."""
        value = self.evaluate(images, target)
        return value.value, value.adj

    def evaluate(self, images: Images, target: Images, *, progress: float = 0.0) -> LossValue:
        """Return the sums of the values and cotangents, and all terms; see `ImageLoss.evaluate`."""
        return total([part.evaluate(images, target, progress=progress) for part in self.parts])


@dataclass(frozen=True, kw_only=True)
class CoreLoss(ImageLoss):
    """A loss that the core computes on the CPU and on CUDA devices."""

    supports_cuda = True
    formula: ClassVar[_core.ImageLoss]

    def compute(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangents of the images."""
        inputs = [required(getattr(images, name), name) for name in self.needs]
        value, adj = _core.image_loss(self.formula, inputs, self._targets(target), **self._options(inputs[0].shape))
        return value, {f"adj_{name}": array for name, array in zip(self.needs, adj, strict=True)}

    def _targets(self, target: Images) -> list[Array]:
        """Return the target arrays that the core compares with."""
        return [required(getattr(target, name), f"target {name}") for name in self.needs]

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the keyword arguments of the core for images of this shape."""
        return {}


@dataclass(frozen=True, kw_only=True)
class SilhouetteL1(CoreLoss):
    """Mean of |a - a*| over pixels, quadratic within 0.001 of 0."""

    name = "silhouette_l1"
    formula = _core.ImageLoss.l1


@dataclass(frozen=True, kw_only=True)
class SilhouetteL2(CoreLoss):
    """Mean of (a - a*)^2 over pixels."""

    name = "silhouette_l2"
    formula = _core.ImageLoss.l2


@dataclass(frozen=True, kw_only=True)
class SilhouetteBCE(CoreLoss):
    """Binary cross entropy, the mean of -a* log a - (1 - a*) log(1 - a); linear below probabilities of 0.001."""

    name = "silhouette_bce"
    formula = _core.ImageLoss.bce


@dataclass(frozen=True, kw_only=True)
class SilhouettePyramid(CoreLoss):
    """Sum over scales s of mean (B_s (a - a*))^2 s_0 / s, with the Gaussian blur B_s of standard deviation s.

    Wide blurs are computed at reduced resolution. The gradient of a pixel extends a few s beyond an error of the
    outline, where that of the plain difference is zero. The factor 1 / s balances the scales: the blurred square of a
    thin error is proportional to 1 / s.
    """

    scales: tuple[float, ...] = PYRAMID_SCALES
    """Standard deviations in image heights, each from 0 to 16; 0 means no blur, with the factor of half a pixel."""

    name = "silhouette_pyramid"
    formula = _core.ImageLoss.pyramid

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
    """Mean of a d + (1 - a) e with the distances d to the target's silhouette and e to its background.

    The chamfer distance of two masks, in image heights: the cost of opacity grows with its distance.
    """

    name = "silhouette_distance"
    formula = _core.ImageLoss.distance

    def _targets(self, target: Images) -> list[Array]:
        return list(target.distances)


@dataclass(frozen=True, kw_only=True)
class Depth(CoreLoss):
    """Mean of a* (D - a z*)^2 / extent^2 with the accumulated depth D = a z and the target's expected depth z*.

    Zero where the target is empty; a pixel counts in proportion to its opacity.
    """

    extent: float = 1.0
    """Length [m] that makes the loss dimensionless, such as the size of the shape; above 0."""

    name = "depth"
    formula = _core.ImageLoss.depth
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
    formula = _core.ImageLoss.l2
    needs = ("color",)


@dataclass(frozen=True, kw_only=True)
class Normals(CoreLoss):
    """Mean of |n - n*|^2 over pixels and channels."""

    name = "normals"
    formula = _core.ImageLoss.l2
    needs = ("normals",)


def required(array: Array | None, name: str) -> Array:
    """Return an image; refuse None."""
    if array is None:
        raise ConfigError(f"{name}: expected an array, got None; the loss compares it")
    return array
