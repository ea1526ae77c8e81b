# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The Gaussian rasteriser and its exact adjoint."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NoReturn, Protocol, get_args, runtime_checkable

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, Kept, as_array, as_names, as_positive, device_of, place, to_host
from .._arrays import axes as axes_of
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


@dataclass(frozen=True)
class RasterMeta:
    """What the rasteriser found out about the Gaussians; C cameras, N Gaussians."""

    means2d: Array
    """Projected means [px], shape (C, N, 2); 0 for Gaussians behind the near plane or rejected ones."""
    radii: Array
    """Half width and height [px] of the ellipse in which the opacity is at least 1/255, shape (C, N, 2); 0 where the
    Gaussian does not appear."""
    depths: Array
    """Camera z of the means [m], shape (C, N)."""
    visible: Array
    """Gaussians that reach the image, shape (C,), int64."""
    culled_near: Array
    """Gaussians closer than 0.01 to the camera's plane or behind it, shape (C,)."""
    culled_frustum: Array
    """Gaussians whose ellipse reaches no pixel, shape (C,)."""
    culled_transparent: Array
    """Gaussians with an opacity below 1/255, shape (C,)."""
    rejected_not_finite: Array
    """Gaussians with NaN or infinity in an input or in their projection, shape (C,)."""
    rejected_degenerate: Array
    """Gaussians whose covariance is not positive semi-definite, or whose quaternion is zero, shape (C,)."""
    tile_entries: Array
    """Pairs of a Gaussian and a tile of 16 x 16 pixels, shape (C,)."""


@dataclass(frozen=True)
class RasterGradients:
    """Gradients of a scalar with respect to the rasteriser's inputs; None where not asked for."""

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
    """Shape (N, K) or (C, N, K), as given."""
    backgrounds: Array | None = None
    """Shape (K,) or (C, K), as given."""
    viewmats: Array | None = None
    """Shape (4, 4) or (C, 4, 4), as given; the twelve numbers of the pose are taken as independent."""
    means2d: Array | None = None
    """With respect to the projected means `RasterMeta.means2d` [1/px], shape (C, N, 2): what densification looks at."""


class Raster:
    """Images of Gaussians, made by `rasterize`. With a single camera, given as such, the axis C is left out.

    The arrays that were given are read again by `vjp`, which refuses to go on where one on the CPU has other values by
    then. Those on a device are not looked at: do not write into them in between. A raster is neither pickled nor copied
    deeply: its images and `meta` are.
    """

    def __init__(self, native: Any, dtype: np.dtype[Any], single: bool, background_axes: int, kept: Kept) -> None:
        self._native = native
        self._kept = kept
        self._dtype = dtype
        self._single = single
        self._background_axes = background_axes

    @cached_property
    def color(self) -> Array:
        """Colours and other features, shape (C, H, W, K): sum of weight * value, plus transmittance * background."""
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
        expected: Array = self.depth / self._divisor
        return expected

    @cached_property
    def _divisor(self) -> Array:
        """The opacity, and a tiny number where it is 0: all others are so large that adding it changes no bit."""
        return self.alpha + self._dtype.type(np.finfo(self._dtype).tiny)

    @cached_property
    def meta(self) -> RasterMeta:
        """Projected Gaussians, and how many were culled or rejected; always with the axis C."""
        visible, near, frustum, transparent, not_finite, degenerate = self._native.status_counts.T
        return RasterMeta(
            means2d=self._native.means2d,
            radii=self._native.extents,
            depths=self._native.depths,
            visible=visible,
            culled_near=near,
            culled_frustum=frustum,
            culled_transparent=transparent,
            rejected_not_finite=not_finite,
            rejected_degenerate=degenerate,
            tile_entries=self._native.entry_counts,
        )

    def vjp(
        self,
        *,
        adj_color: object = None,
        adj_alpha: object = None,
        adj_depth: object = None,
        adj_expected_depth: object = None,
        wrt: Iterable[Input] | Input | Literal["all"] = ("means", "covars", "quats", "scales", "opacities", "colors"),
    ) -> RasterGradients:
        """Run the exact adjoint: gradients of sum <adj_y, y> over the images with respect to the inputs.

        Nothing passes where a pixel clamps the opacity to 0.999, skips a Gaussian or has ended before it, or where the
        point of the Jacobian is clamped: there the derivative is zero.

        Args:
            adj_color: Cotangent of `color`, of its shape and dtype.
            adj_alpha: Cotangent of `alpha`.
            adj_depth: Cotangent of `depth`.
            adj_expected_depth: Cotangent of `expected_depth`.
            wrt: Names of the gradients wanted, from means, covars, quats, scales, opacities, colors, backgrounds,
                viewmats, means2d; or "all". Those of inputs that were not given are left out.

        Raises:
            ConfigError: If a shape, dtype or name does not fit, or a cotangent on the CPU is not finite. Those on a
                device are not checked, which would wait for it. If an array that was given has changed.
        """
        names = self._wanted(wrt)
        self._kept.check()
        given = {"adj_color": (adj_color, self.color), "adj_alpha": (adj_alpha, self.alpha),
                 "adj_depth": (adj_depth, self.depth)}  # fmt: skip
        device = device_of(self.alpha)
        options: Any = {"device": device, "finite": device == "cpu"}
        adjoints = {
            n: None if a is None else as_array(a, n, y.shape, self._dtype, **options) for n, (a, y) in given.items()
        }
        if adj_expected_depth is not None:
            self._add_expected_depth(adjoints, adj_expected_depth, options)
        return self._collect(self._native.vjp(*adjoints.values(), names), names)

    def _add_expected_depth(self, adjoints: dict[str, Array | None], adj: object, options: Any) -> None:
        """Take the cotangent of depth / alpha to those of depth and alpha."""
        adj = as_array(adj, "adj_expected_depth", self.depth.shape, self._dtype, **options)
        covered = self.alpha / self._divisor  # 1, or 0 where the opacity is 0
        of_depth = adj * covered / self._divisor
        minus = self._dtype.type(-1)
        for name, part in (("adj_depth", of_depth), ("adj_alpha", of_depth * minus * self.expected_depth)):
            before = adjoints[name]
            adjoints[name] = part if before is None else before + part

    def _wanted(self, wrt: Iterable[str]) -> list[str]:
        names = WRT if isinstance(wrt, str) and wrt == "all" else as_names(wrt, "wrt", WRT)
        given = set(self._native.given)
        return [name for name in names if name in given]

    def _collect(self, native: dict[str, Array], names: list[str]) -> RasterGradients:
        out = {name: native[name] for name in names}
        if "backgrounds" in out and self._background_axes == 1:
            rows = out["backgrounds"]
            out["backgrounds"] = sum((rows[c] for c in range(1, len(rows))), rows[0])
        if "viewmats" in out:
            out["viewmats"] = self._squeezed(out["viewmats"]).astype(self._dtype, copy=False)
        return RasterGradients(**out)

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
    """Draw Gaussians into images, front to back, with what the exact adjoint needs.

    A Gaussian is projected with the perspective's Jacobian, dilated by 0.3 px^2, and has the opacity
    min(0.999, o exp(-q/2)) at a pixel; below 1/255 it is skipped there. A pixel ends before the Gaussian that would
    bring its transmittance below 1e-4. Gaussians are ordered by the camera z of their mean, ties by index. Gaussians
    that cannot be drawn (NaN, no covariance) are left out and counted in `Raster.meta`.

    Args:
        means: Gaussians, as `diffmpm.gaussians` returns them: their means and covariances are drawn. Or centres [m],
            shape (N, 3), float32 or float64. All other arrays of Gaussians have this dtype and device, and so have the
            images.
        cameras: One camera, or several of one size. Or, instead, viewmats, Ks, width and height.
        opacities: Opacities, shape (N,), or one number; 1 if None.
        colors: Colours or other features, shape (N, K) with K >= 1, or (C, N, K) for colours that depend on the camera.
            Light grey if None; `diffmpm.render.shade` returns shaded ones.
        covars: Covariances [m^2], shape (N, 3, 3); their symmetric part is used. Or, instead:
        quats: Orientations (w, x, y, z) of any length, shape (N, 4), and
        scales: standard deviations [m] along the axes, shape (N, 3).
        viewmats: World to camera, OpenCV axes, shape (C, 4, 4), or (4, 4) for a single camera,
        Ks: intrinsic matrices [px], shape (C, 3, 3), or (3, 3) for all cameras,
        width: columns, and
        height: rows of the images.
        backgrounds: Colour behind everything, shape (K,) or (C, K); zeros if None.
        near_plane: Distance [m] from a camera's plane below which Gaussians are left out. If None that of the cameras,
            the nearest of several, or 0.01 with `viewmats`: in a scene of millimetres pass less.

    Raises:
        ConfigError: If a shape, dtype or value does not fit.

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
        opacities = place(np.full(n, opacities, dtype), device)
    o = as_array(opacities, "opacities", (n,), dtype, **options)
    if colors is None:
        colors = place(np.full((n, 3), GREY, dtype), device)
    c = _features(colors, n, count, dtype, device)
    background, axes = _background(backgrounds, count, c.shape[-1], dtype, device)
    kind = _core.Rasterization32 if dtype == np.float32 else _core.Rasterization64
    native = kind(x, *forms, o, c, background, views, intrinsics, w, h, near)
    kept = Kept(
        "images", means=x, **dict(zip(shapes, forms, strict=True)), opacities=o, colors=c, backgrounds=background
    )
    return Raster(native, dtype, single, axes, kept)


def _views(
    cameras: Camera | Sequence[Camera] | None, viewmats: object, Ks: object, width: int | None, height: int | None
) -> tuple[Array, Array, int, int, float, bool]:
    loose = (viewmats, Ks, width, height)
    if cameras is not None:
        if any(a is not None for a in loose):
            raise ConfigError(
                "cameras: expected either cameras or viewmats, Ks, width and height, got both; drop one of them"
            )
        views, Ks, w, h, near = stack_cameras(cameras)
        return views, Ks, w, h, near, isinstance(cameras, Camera)
    if any(a is None for a in loose):
        raise ConfigError("cameras: expected cameras, or all of viewmats, Ks, width and height, got neither")
    single = axes_of(viewmats, "viewmats") == 2
    views = check_viewmats(viewmats, "viewmats", () if single else (None,)).reshape(-1, 4, 4)
    if views.shape[0] == 0:
        raise ConfigError("viewmats: expected at least one camera, got shape (0, 4, 4)")
    shared = axes_of(Ks, "Ks") == 2
    K = check_intrinsics(Ks, "Ks", () if shared else (views.shape[0],))
    K = np.ascontiguousarray(np.broadcast_to(K, (views.shape[0], 3, 3)))
    w, h = check_size(width, "width"), check_size(height, "height")  # type: ignore[arg-type]
    return views, K, w, h, NEAR_PLANE, single


def _features(colors: object, n: int, cameras: int, dtype: np.dtype[Any], device: str) -> Array:
    lead = (cameras, n) if axes_of(colors, "colors") == 3 else (n,)
    c = as_array(colors, "colors", (*lead, None), dtype, finite=False, device=device)
    if c.shape[-1] == 0:
        raise ConfigError(f"colors: expected at least one channel, got shape {c.shape}")
    return c


def _background(
    value: object, cameras: int, channels: int, dtype: np.dtype[Any], device: str
) -> tuple[Array | None, int]:
    if value is None:
        return None, 2
    axes = 2 if axes_of(value, "backgrounds") == 2 else 1
    shape = (cameras, channels) if axes == 2 else (channels,)
    b = as_array(value, "backgrounds", shape, dtype, finite=device_of(value) == "cpu", device="any")
    if device_of(b) == device and axes == 2:
        return b, axes
    return place(np.ascontiguousarray(np.broadcast_to(to_host(b), (cameras, channels))), device), axes


def _refuse_pickle(_: object) -> NoReturn:
    raise TypeError(
        "Raster: its adjoint needs memory of the core and cannot be pickled or copied; keep its images and meta, or "
        "call rasterize again"
    )


for _native in (_core.Rasterization32, _core.Rasterization64):
    copyreg.pickle(_native, _refuse_pickle)
