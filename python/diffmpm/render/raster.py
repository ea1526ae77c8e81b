# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The Gaussian rasteriser and its exact adjoint."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from .. import _core
from .._arrays import (
    Array,
    ArrayLike,
    InputGuard,
    add,
    as_array,
    as_names,
    as_positive,
    contiguous,
    device_of,
    move_to,
    refuse_pickle,
    to_host,
)
from .._arrays import ndim as ndim_of
from .._repr import pictured, short_repr
from ..errors import ConfigError
from .camera import NEAR_PLANE, Camera, check_intrinsics, check_size, check_viewmats, stack_cameras

Input = Literal["means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats", "means2d"]
WRT: tuple[Input, ...] = get_args(Input)

GREY = 0.8
"""Default colour, in each of three channels."""


@runtime_checkable
class GaussiansLike(Protocol):
    """Gaussians with means and covariances, such as `diffmpm.Gaussians`."""

    @property
    def means(self) -> Array:
        """Centres [m], shape (N, 3)."""

    @property
    def covars(self) -> Array:
        """Covariances [m^2], shape (N, 3, 3)."""


@short_repr
@dataclass(frozen=True)
class RasterMeta:
    """Projection of N Gaussians into C cameras, and counts of Gaussians per camera, shape (C,), int64."""

    means2d: Array
    """Projected means [px], shape (C, N, 2); 0 for Gaussians behind the near plane and rejected ones."""
    radii: Array
    """Half width and height [px] of the ellipse with an opacity of at least 1/255, shape (C, N, 2); 0 where the
    Gaussian is not drawn."""
    depths: Array
    """Camera z of the means [m], shape (C, N)."""
    visible: Array
    """Gaussians that reach the image."""
    culled_near: Array
    """Gaussians in front of the near plane."""
    culled_frustum: Array
    """Gaussians whose ellipse covers no pixel."""
    culled_transparent: Array
    """Gaussians with an opacity below 1/255."""
    rejected_not_finite: Array
    """Gaussians with NaN or infinity in an input or in their projection."""
    rejected_degenerate: Array
    """Gaussians with a covariance that is not positive semi-definite, or a zero quaternion."""
    tile_entries: Array
    """Pairs of a Gaussian and a tile of 16 x 16 pixels."""


@short_repr
@dataclass(frozen=True)
class RasterGradients:
    """Gradients of a scalar with respect to the inputs of `rasterize`; None where `wrt` does not name them.

    Arrays have the dtype of the means. The unit is that of the scalar over that of the input.
    """

    means: Array | None = None
    """Shape (N, 3)."""
    covars: Array | None = None
    """Shape (N, 3, 3), symmetric."""
    quats: Array | None = None
    """Shape (N, 4); orthogonal to the quaternions, whose length has no effect."""
    scales: Array | None = None
    """Shape (N, 3)."""
    opacities: Array | None = None
    """Shape (N,)."""
    colors: Array | None = None
    """Shape (N, K) or (C, N, K), that of the argument."""
    backgrounds: Array | None = None
    """Shape (K,) or (C, K), that of the argument."""
    viewmats: Array | None = None
    """Shape (4, 4) or (C, 4, 4); the twelve numbers of the pose count as independent."""
    means2d: Array | None = None
    """Projected means `RasterMeta.means2d` [1/px], shape (C, N, 2), as used for densification."""


@pictured("images")
@short_repr
class Raster:
    """Images of Gaussians, made by `rasterize`. For a single `Camera` the axis C is left out.

    `vjp` reads the arguments again and raises an error if a CPU array was changed in between. CUDA arrays are not
    checked: do not write into them. A raster can be neither pickled nor deep-copied; its images and `meta` can.
    """

    _shown = ("color",)

    def __init__(
        self, native: Any, dtype: np.dtype[Any], single: bool, background_axes: int, guard: InputGuard
    ) -> None:
        self._native = native
        self._guard = guard
        self._dtype = dtype
        self._single = single
        self._background_axes = background_axes

    @cached_property
    def color(self) -> Array:
        """Colours or other features, shape (C, H, W, K): sum of weight * value, plus transmittance * background."""
        return self._squeezed(self._native.color)

    @cached_property
    def alpha(self) -> Array:
        """Opacity, shape (C, H, W): 1 - transmittance."""
        return self._squeezed(self._native.alpha)

    @cached_property
    def depth(self) -> Array:
        """Accumulated depth [m], shape (C, H, W): sum of weight * z."""
        return self._squeezed(self._native.depth)

    @cached_property
    def expected_depth(self) -> Array:
        """Depth divided by opacity [m], shape (C, H, W); 0 where the opacity is 0."""
        expected: Array = _core.ratio(contiguous(self.depth), contiguous(self.alpha))
        return expected

    @cached_property
    def meta(self) -> RasterMeta:
        """Projected Gaussians, and counts of culled and rejected ones; always with the axis C."""
        counts = (*self._native.status_counts.T, self._native.entry_counts)
        return RasterMeta(self._native.means2d, self._native.extents, self._native.depths, *counts)

    def vjp(
        self,
        *,
        adj_color: ArrayLike | None = None,
        adj_alpha: ArrayLike | None = None,
        adj_depth: ArrayLike | None = None,
        adj_expected_depth: ArrayLike | None = None,
        wrt: Iterable[Input] | Input | Literal["all"] = ("means", "covars", "quats", "scales", "opacities", "colors"),
    ) -> RasterGradients:
        """Run the exact adjoint: gradients of sum <adj_y, y> over the images with respect to the inputs.

        The derivative is zero where a pixel clamps the opacity to 0.999, skips a Gaussian or terminates before it, and
        where the point of the Jacobian is clamped.

        Args:
            adj_color: Cotangent of `color`, of its shape and dtype.
            adj_alpha: Cotangent of `alpha`.
            adj_depth: Cotangent of `depth`.
            adj_expected_depth: Cotangent of `expected_depth`.
            wrt: Inputs to differentiate by: means, covars, quats, scales, opacities, colors, backgrounds, viewmats,
                means2d; or "all". Inputs that the raster does not have are skipped.

        Raises:
            ConfigError: If a shape, dtype or name is wrong, a cotangent on the CPU is not finite (CUDA arrays are not
                checked, which would synchronize), or an input was changed.
        """
        selected = WRT if isinstance(wrt, str) and wrt == "all" else as_names(wrt, "wrt", WRT)
        inputs = set(self._native.inputs)
        names = [name for name in selected if name in inputs]
        self._guard.check()
        device = device_of(self.alpha)

        def checked(adj: ArrayLike | None, name: str, image: Array) -> Array | None:
            options: Any = {"device": device, "finite": device == "cpu"}
            return None if adj is None else as_array(adj, name, image.shape, self._dtype, **options)

        of_color = checked(adj_color, "adj_color", self.color)
        of_alpha = checked(adj_alpha, "adj_alpha", self.alpha)
        of_depth = checked(adj_depth, "adj_depth", self.depth)
        of_expected = checked(adj_expected_depth, "adj_expected_depth", self.depth)
        if of_expected is not None:
            through_depth, through_alpha = _core.ratio_vjp(contiguous(self.depth), contiguous(self.alpha), of_expected)
            of_depth = through_depth if of_depth is None else add(of_depth, through_depth)
            of_alpha = through_alpha if of_alpha is None else add(of_alpha, through_alpha)
        gradients: dict[str, Array] = self._native.vjp(of_color, of_alpha, of_depth, names)
        if "backgrounds" in gradients and self._background_axes == 1:
            rows = gradients["backgrounds"]
            gradients["backgrounds"] = functools.reduce(add, (rows[c] for c in range(len(rows))))
        if "viewmats" in gradients:
            gradients["viewmats"] = self._squeezed(gradients["viewmats"]).astype(self._dtype, copy=False)
        return RasterGradients(**gradients)

    def _squeezed(self, image: Array) -> Array:
        return image[0] if self._single else image


def rasterize(
    means: GaussiansLike | ArrayLike,
    cameras: Camera | Sequence[Camera] | None = None,
    *,
    opacities: ArrayLike | None = None,
    colors: ArrayLike | None = None,
    covars: ArrayLike | None = None,
    quats: ArrayLike | None = None,
    scales: ArrayLike | None = None,
    viewmats: ArrayLike | None = None,
    Ks: ArrayLike | None = None,
    width: int | None = None,
    height: int | None = None,
    backgrounds: ArrayLike | None = None,
    near_plane: float | None = None,
) -> Raster:
    """Draw Gaussians into images, front to back.

    A Gaussian is projected with the Jacobian of the perspective and dilated by 0.3 px^2. Its opacity at a pixel is
    min(0.999, o exp(-q/2)); below 1/255 it is skipped. A pixel terminates before the Gaussian that would bring its
    transmittance below 1e-4. Gaussians are sorted by the camera z of their mean, ties by index. Invalid Gaussians (NaN,
    indefinite covariance) are not drawn, and counted in `Raster.meta`.

    Args:
        means: Gaussians, as `diffmpm.gaussians` returns them, or centres [m], shape (N, 3), float32 or float64. The
            other arrays of Gaussians and the images have their dtype and device.
        cameras: One camera, or several of one size; or viewmats, Ks, width and height instead.
        opacities: Opacities, shape (N,), or one number; 1 if None.
        colors: Colours or other features, shape (N, K) with K >= 1, or (C, N, K) for colours that depend on the camera.
            Light grey if None; `diffmpm.render.shade` returns shaded ones.
        covars: Covariances [m^2], shape (N, 3, 3); their symmetric part is used. Or quats and scales instead.
        quats: Orientations (w, x, y, z) of any length, shape (N, 4).
        scales: Standard deviations [m] along the axes, shape (N, 3).
        viewmats: World to camera, OpenCV axes, shape (C, 4, 4), or (4, 4) for a single camera.
        Ks: Intrinsic matrices [px], shape (C, 3, 3), or (3, 3) for all cameras.
        width: Columns of the images.
        height: Rows of the images.
        backgrounds: Background colour, shape (K,) or (C, K); zeros if None.
        near_plane: Depth [m] below which Gaussians are not drawn. If None, the smallest of the cameras, or 0.01 with
            `viewmats`; pass less in a scene of millimetres.

    Raises:
        ConfigError: If a shape, dtype or value is invalid.

    References:
        Zwicker et al. 2002, EWA splatting; Kerbl et al. 2023, 3D Gaussian splatting; docs/method.md, section 6.
    """
    views, intrinsics, w, h, near, single = _views(cameras, viewmats, Ks, width, height)
    near = near if near_plane is None else as_positive(near_plane, "near_plane")
    if isinstance(means, GaussiansLike):
        if covars is not None:
            raise ConfigError("covars: expected None beside Gaussians, which have their own, got an array; drop it")
        covars, means = means.covars, means.means
    x = as_array(means, "means", (None, 3), finite=False, device="any")
    n, dtype, count, device = x.shape[0], x.dtype, views.shape[0], device_of(x)
    options: Any = {"finite": False, "device": device}
    if (covars is None) == (quats is None and scales is None) or (quats is None) != (scales is None):
        raise ConfigError(
            "covars: expected either covars or quats and scales, got another combination; pass one of them"
        )
    shapes = {"covars": (covars, (n, 3, 3)), "quats": (quats, (n, 4)), "scales": (scales, (n, 3))}
    forms = [None if a is None else as_array(a, name, s, dtype, **options) for name, (a, s) in shapes.items()]
    if opacities is None:
        opacities = 1.0
    if getattr(opacities, "ndim", 0) == 0 and isinstance(opacities, int | float | np.number | np.ndarray):
        opacities = move_to(np.full(n, opacities, dtype), device)
    o = as_array(opacities, "opacities", (n,), dtype, **options)
    if colors is None:
        colors = move_to(np.full((n, 3), GREY, dtype), device)
    c = _features(colors, n, count, dtype, device)
    background, axes = _background(backgrounds, count, c.shape[-1], dtype, device)
    make = _core.Rasterization32 if dtype == np.float32 else _core.Rasterization64
    native = make(x, *forms, o, c, background, views, intrinsics, w, h, near)
    named = dict(zip(shapes, forms, strict=True))
    guard = InputGuard("images", means=x, **named, opacities=o, colors=c, backgrounds=background)
    return Raster(native, dtype, single, axes, guard)


def _views(
    cameras: Camera | Sequence[Camera] | None,
    viewmats: ArrayLike | None,
    Ks: ArrayLike | None,
    width: int | None,
    height: int | None,
) -> tuple[Array, Array, int, int, float, bool]:
    """Return viewmats (C, 4, 4), Ks (C, 3, 3), width, height, near plane, and whether there is a single camera."""
    separate = (viewmats, Ks, width, height)
    if cameras is not None:
        if any(a is not None for a in separate):
            raise ConfigError(
                "cameras: expected either cameras or viewmats, Ks, width and height, got both; drop one of them"
            )
        views, Ks, w, h, near = stack_cameras(cameras)
        return views, Ks, w, h, near, isinstance(cameras, Camera)
    if viewmats is None or Ks is None or width is None or height is None:
        raise ConfigError("cameras: expected cameras, or all of viewmats, Ks, width and height, got neither")
    single = ndim_of(viewmats, "viewmats") == 2
    views = check_viewmats(viewmats, "viewmats", () if single else (None,)).reshape(-1, 4, 4)
    if views.shape[0] == 0:
        raise ConfigError("viewmats: expected at least one camera, got shape (0, 4, 4)")
    shared = ndim_of(Ks, "Ks") == 2
    K = check_intrinsics(Ks, "Ks", () if shared else (views.shape[0],))
    K = np.ascontiguousarray(np.broadcast_to(K, (views.shape[0], 3, 3)))
    return views, K, check_size(width, "width"), check_size(height, "height"), NEAR_PLANE, single


def _features(colors: ArrayLike, n: int, cameras: int, dtype: np.dtype[Any], device: str) -> Array:
    lead = (cameras, n) if ndim_of(colors, "colors") == 3 else (n,)
    c = as_array(colors, "colors", (*lead, None), dtype, finite=False, device=device)
    if c.shape[-1] == 0:
        raise ConfigError(f"colors: expected at least one channel, got shape {c.shape}")
    return c


def _background(
    value: ArrayLike | None, cameras: int, channels: int, dtype: np.dtype[Any], device: str
) -> tuple[Array | None, int]:
    """Return the backgrounds, shape (C, K), and the number of axes of the argument."""
    if value is None:
        return None, 2
    axes = 2 if ndim_of(value, "backgrounds") == 2 else 1
    shape = (cameras, channels) if axes == 2 else (channels,)
    b = as_array(value, "backgrounds", shape, dtype, finite=device_of(value) == "cpu", device="any")
    if device_of(b) == device and axes == 2:
        return b, axes
    return move_to(np.ascontiguousarray(np.broadcast_to(to_host(b), (cameras, channels))), device), axes


refuse_pickle(
    "Raster: its adjoint needs memory of the core and cannot be pickled or copied; keep its images and meta, or "
    "call rasterize again",
    _core.Rasterization32,
    _core.Rasterization64,
)
