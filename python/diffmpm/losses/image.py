# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses on images: value and exact gradient from one call; a mean over pixels, whatever their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .. import _core
from .._arrays import (
    Array,
    as_array,
    as_positive,
    check_device_name,
    chosen_device,
    device_of,
    dot,
    place,
    to_host,
    zeros_like,
)
from ..config import choice
from ..errors import ConfigError
from .value import LossValue

SCHEDULES: tuple[str, ...] = ("constant", "linear", "cosine")

INSIDE_ALPHA = 0.5
"""Opacity above which a pixel of a target counts as covered, where a mask is needed."""

BCE_CLAMP = 1e-3
"""Probability below which -log p goes on as a straight line: an opaque pixel on empty ground costs a finite amount and
keeps a gradient."""

HUBER_ALPHA = 1e-3
"""Difference of opacities below which the L1 loss is a parabola, so that it has a gradient everywhere."""

PYRAMID_SCALES = (1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0)
"""Standard deviations of the blurs, in image heights."""


POOLED_SIGMA = 1.5
"""Standard deviation, in averaged pixels, down to which a wide blur is made on averaged pixels."""


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
    covs: Array | None = None
    """Covariances of the Gaussians [m^2], shape (M, 3, 3)."""

    def __post_init__(self) -> None:
        shapes = {"alpha": (None,) * 3, "depth": (None,) * 3, "color": (None,) * 4, "covs": (None, 3, 3)}
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
        given = (self.alpha, self.depth, self.color, self.covs)
        return Images(*(None if image is None else place(image, target) for image in given))

    @cached_property
    def expected_depth(self) -> Array:
        """Expected depth [m] of each pixel, 0 where it is empty, shape (C, H, W)."""
        alpha, reached = wanted(self.alpha, "alpha"), to_host(wanted(self.depth, "depth"))
        opacity = to_host(alpha)
        depth = np.divide(reached, opacity, out=np.zeros_like(reached), where=opacity > 0)
        return place(depth, device_of(alpha))

    @cached_property
    def distances(self) -> tuple[Array, Array]:
        """Distance of each pixel to the covered ones and to the empty ones, in image heights, shapes (C, H, W)."""
        from scipy import ndimage

        inside = to_host(wanted(self.alpha, "alpha")) > INSIDE_ALPHA
        height = inside.shape[1]
        far = float(np.hypot(*inside.shape[1:]))
        pair = []
        for mask in (inside, ~inside):
            found = [ndimage.distance_transform_edt(~m) if m.any() else np.full(m.shape, far) for m in mask]
            distance = np.asarray(found, dtype=wanted(self.alpha, "alpha").dtype) / height
            pair.append(place(distance, device_of(self.alpha)))
        return pair[0], pair[1]


@dataclass(frozen=True, kw_only=True)
class ImageLoss(ABC):
    """A scalar of images. Subclasses write `_evaluate` without the weight, and a `name`.

    `anywhere` says that `_evaluate` keeps to what arrays on a device know as well.

    Raises:
        ConfigError: If the weight is negative.
    """

    weight: float | WeightSchedule = 1.0
    """Factor of the loss, at least 0; a number is a constant schedule."""
    name: ClassVar[str]
    _need: ClassVar[tuple[str, ...]] = ("alpha",)
    anywhere: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.weight, WeightSchedule):
            as_positive(self.weight, "weight", zero=True)

    @property
    def need(self) -> tuple[str, ...]:
        """Names of the fields of `Images` that the loss compares."""
        return self._need

    @abstractmethod
    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        """Return the unweighted value and its cotangents."""

    def weight_at(self, progress: float) -> float:
        """Return the weight at a progress of the run from 0 to 1."""
        return self.weight.at(progress) if isinstance(self.weight, WeightSchedule) else float(self.weight)

    def evaluate(self, images: Images, target: Images, *, progress: float = 0.0) -> LossValue:
        """Return value and gradient; `adj` holds keyword arguments of `Raster.vjp`, and "adj_covs" [1/m^2].

        Args:
            images: What is judged. Differentiable. On a CUDA device for `SilhouetteL2`, `SilhouettePyramid`,
                `SilhouetteDistance`, `Depth` and `Color` only; the gradient is then there too.
            target: What it should look like, on the same device; a constant.
            progress: Progress of the run from 0 to 1, for the schedule of the weight.

        Raises:
            ConfigError: If an image that the loss needs is missing or shapes differ.
        """
        for name in self.need:
            array, goal = wanted(getattr(images, name), name), getattr(target, name)
            device = device_of(array)
            if device != "cpu" and not self.anywhere:
                raise ConfigError(f"{name}: expected CPU images for {self.name}, got some on a device; use .to('cpu')")
            if name != "covs":
                as_array(goal, f"target {name}", array.shape, array.dtype, device=device)
        value, adj = self._evaluate(images, target)
        factor = self.weight_at(progress)
        scaled = {key: _contiguous(a * a.dtype.type(factor)) for key, a in adj.items()}
        return LossValue(factor * value, scaled, {self.name: factor * value})


@dataclass(frozen=True, kw_only=True)
class SilhouetteL1(ImageLoss):
    """Mean of |a - a*| over pixels, rounded off to a parabola within `HUBER_ALPHA` of 0."""

    name = "silhouette_l1"

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        d = _difference(images.alpha, target.alpha)
        near = np.abs(d) < HUBER_ALPHA
        values = np.where(near, 0.5 / HUBER_ALPHA * d * d, np.abs(d) - 0.5 * HUBER_ALPHA)
        slope = np.where(near, d / HUBER_ALPHA, np.sign(d))
        return _mean(values), {"adj_alpha": slope.astype(d.dtype) / d.dtype.type(d.size)}


@dataclass(frozen=True, kw_only=True)
class SilhouetteL2(ImageLoss):
    """Mean of (a - a*)^2 over pixels."""

    name = "silhouette_l2"
    anywhere = True

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        d = _difference(images.alpha, target.alpha)
        return dot(d, d) / d.size, {"adj_alpha": d * d.dtype.type(2.0 / d.size)}


@dataclass(frozen=True, kw_only=True)
class SilhouetteBCE(ImageLoss):
    """Binary cross entropy, the mean of -a* log a - (1 - a*) log(1 - a); linear below `BCE_CLAMP`."""

    name = "silhouette_bce"

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        a, goal = wanted(images.alpha, "alpha"), wanted(target.alpha, "target alpha")
        (covered, slope), (empty, rise) = _minus_log(a), _minus_log(1.0 - a)
        adj = (goal * slope - (1.0 - goal) * rise) / a.dtype.type(a.size)
        return _mean(goal * covered + (1.0 - goal) * empty), {"adj_alpha": adj.astype(a.dtype)}


@dataclass(frozen=True, kw_only=True)
class SilhouettePyramid(ImageLoss):
    """Sum over scales s of mean (B_s (a - a*))^2 s_0 / s, B_s a Gaussian blur of standard deviation s image heights.

    Wide blurs are made on images whose pixels have been averaged in squares.

    A pixel feels a missing or superfluous part of the outline from a few s away, where the plain difference is flat:
    that is where the Gaussians at the rim of the body are. Dividing by s keeps a thin misfit, whose blurred square
    falls as 1 / s, of equal weight at all scales.
    """

    scales: tuple[float, ...] = PYRAMID_SCALES
    """Standard deviations in image heights, each at least 0; 0 does not blur and counts as half a pixel."""

    name = "silhouette_pyramid"
    anywhere = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scales", tuple(as_array(self.scales, "scales", (None,)).tolist()))
        for scale in self.scales:
            as_positive(scale, "scales", zero=True)

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        d = _difference(images.alpha, target.alpha)
        total, adj = 0.0, zeros_like(d)
        height = d.shape[1]
        finest = 0.5 / height
        for scale in self.scales:
            sigma = scale * height
            size = 1 << int(np.log2(max(1.0, sigma / POOLED_SIGMA)))
            blurred = blur(pool(d, size), sigma / size)
            factor = PYRAMID_SCALES[0] / max(scale, finest)
            total += factor * dot(blurred, blurred) / blurred.size
            slope = blur(blurred, sigma / size) * d.dtype.type(2.0 * factor / blurred.size)
            adj += pool_vjp(slope, size, d.shape)
        return total, {"adj_alpha": adj}


@dataclass(frozen=True, kw_only=True)
class SilhouetteDistance(ImageLoss):
    """Mean of a d + (1 - a) e: d is a pixel's distance to the target's silhouette, e to the target's background.

    The distances of the chamfer distance between two masks, in image heights: opacity costs more the farther out it is.
    """

    name = "silhouette_distance"
    anywhere = True

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        a = wanted(images.alpha, "alpha")
        outside, inside = target.distances
        value = (dot(a, outside) + dot(1.0 - a, inside)) / a.size
        return value, {"adj_alpha": (outside - inside) / a.dtype.type(a.size)}


@dataclass(frozen=True, kw_only=True)
class Depth(ImageLoss):
    """Mean of a* (D - a z*)^2 / extent^2: D = a z is the accumulated depth, z* the target's expected depth.

    Nothing is asked for where the target is empty, and what the body covers by half counts by half.
    """

    extent: float = 1.0
    """Length [m] that makes the loss a number: the size of the shape, above 0."""

    name = "depth"
    anywhere = True
    _need = ("alpha", "depth")

    def __post_init__(self) -> None:
        super().__post_init__()
        as_positive(self.extent, "extent")

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        a, d = wanted(images.alpha, "alpha"), wanted(images.depth, "depth")
        goal, expected = wanted(target.alpha, "target alpha"), target.expected_depth
        gap = (d - a * expected) / d.dtype.type(self.extent)
        weighted = goal * gap
        slope = d.dtype.type(2.0 / (d.size * self.extent))
        adj = {"adj_depth": weighted * slope, "adj_alpha": weighted * expected * -slope}
        return dot(weighted, gap) / d.size, adj


@dataclass(frozen=True, kw_only=True)
class Color(ImageLoss):
    """Mean of |c - c*|^2 over pixels and channels."""

    name = "color"
    anywhere = True
    _need = ("color",)

    def _evaluate(self, images: Images, target: Images) -> tuple[float, dict[str, Any]]:
        d = _difference(images.color, target.color)
        return dot(d, d) / d.size, {"adj_color": d * d.dtype.type(2.0 / d.size)}


def blur(images: Array, sigma: float) -> Array:
    """Return images (..., H, W) blurred by a Gaussian of `sigma` pixels, with zeros outside; equal to its transpose."""
    return _core.blur(_contiguous(images), sigma) if sigma > 0.0 else images


def pool(images: Array, size: int) -> Array:
    """Return the means of squares of `size` x `size` pixels, with zeros outside."""
    return images if size == 1 else _core.pool(_contiguous(images), size)


def pool_vjp(adj: Array, size: int, shape: tuple[int, ...]) -> Array:
    """Pull a cotangent of `pool` back to images of a shape (..., H, W)."""
    return adj if size == 1 else _core.pool_vjp(_contiguous(adj), size, shape)


def wanted(array: Array | None, name: str) -> Array:
    """Return an image that must be there.

    Raises:
        ConfigError: If it is missing.
    """
    if array is None:
        raise ConfigError(f"{name}: expected an array, got None; the loss compares it")
    return array


def _difference(image: Array | None, target: Array | None) -> Array:
    return wanted(image, "image") - wanted(target, "target")


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array) if device_of(array) == "cpu" else array


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))


def _minus_log(p: Array) -> tuple[Array, Array]:
    """Return -log p and its derivative, continued linearly below `BCE_CLAMP`."""
    safe = np.maximum(p, BCE_CLAMP)
    return -np.log(safe) + np.maximum(BCE_CLAMP - p, 0.0) / BCE_CLAMP, -1.0 / safe
