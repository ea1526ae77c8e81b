# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The surface of a body and its pictures as differentiable functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import as_positive
from .._deprecated import renamed_attributes
from ..errors import ConfigError, MissingPackageError
from ..render import Camera
from ..render import shade as native_shade
from ..render.camera import MAX_EDGE, NEAR_PLANE, stack_cameras
from ..render.raster import GREY
from ..surface import Binding, SurfaceConfig
from ..surface import bind as native_bind
from . import _image_operators as _image_operators
from ._checks import check_forms, checked, integer
from ._kernels import mark_checked
from ._operators import Function, call, nothing, outside_graphs, refuse_double
from .physics import shared

MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
"""What `rasterize` returns: colours, accumulated depth (D) or expected depth (ED), or both."""


class SurfaceBinding(NamedTuple):
    """A `diffmpm.surface.Binding` as tensors: what the samples keep from frame to frame. It has no gradient."""

    parents: Tensor
    """Particles that carry each sample, shape (M, K), int32."""
    offsets: Tensor
    """Rest offsets [m] from the parents, shape (M, K, 3)."""
    supports: Tensor
    """Radius [m] of the weights' kernel, shape (M,)."""
    axes: Tensor
    """Square root of the rest covariance over sigma0^2 [m], shape (M, 3, 3)."""
    normals: Tensor
    """Unit rest normals, shape (M, 3)."""
    sigma0: float
    """Standard deviation over the sample spacing."""


@renamed_attributes(covs="covars")
class Gaussians(NamedTuple):
    """M anisotropic Gaussians on the surface of a body."""

    means: Tensor
    """Centres [m], shape (M, 3)."""
    covars: Tensor
    """Covariances [m^2], shape (M, 3, 3)."""
    normals: Tensor
    """Outward unit normals, shape (M, 3)."""
    weights: Tensor
    """Shares of the parents, shape (M, K)."""
    parents: Tensor
    """Particles that carry each sample, shape (M, K), int32."""


@outside_graphs
def bind(
    x: Tensor, F: Tensor, *, samples: int = 50_000, config: SurfaceConfig | None = None, seed: int = 0
) -> SurfaceBinding:
    """Draw samples on the surface of a body and bind them to its particles; see `diffmpm.surface.bind`.

    Args:
        x: Positions [m], shape (N, 3). No gradient: which particle a sample belongs to is a choice. CUDA tensors are
            copied to the CPU; the result is where they are.
        F: Deformation gradients, or motion gradients, shape (N, 3, 3).
        samples: Number M of samples.
        config: Options; the defaults if None.
        seed: Seed of the samples.

    Raises:
        ConfigError: If an argument does not fit, or the particles have no surface.
    """
    x = checked(x, "x", (None, 3), anywhere=True)
    F = checked(F, "F", (x.shape[0], 3, 3), x)
    return SurfaceBinding(*_bind.apply(x, F, samples, config, seed))


def binding_tensors(binding: Binding, dtype: torch.dtype, device: torch.device | None = None) -> SurfaceBinding:
    """Return a binding as tensors of a dtype, on a device or else on the CPU."""
    parents = shared(np.ascontiguousarray(binding.parents)).to(device)
    arrays = (binding.offsets, binding.supports, binding.axes, binding.normals)
    offsets, supports, axes, normals = (shared(a).to(device, dtype) for a in arrays)
    return SurfaceBinding(parents, offsets, supports, axes, normals, binding.config.sigma0)


def _bound(x: Tensor, F: Tensor, samples: int, config: SurfaceConfig | None, seed: int) -> SurfaceBinding:
    body = (tensor.detach().resolve_neg().cpu().numpy() for tensor in (x, F))
    return binding_tensors(native_bind(*body, samples=samples, config=config, seed=seed), x.dtype, x.device)


def _bound_setup(ctx: Any, inputs: tuple[Any, ...], output: SurfaceBinding) -> None:
    ctx.mark_non_differentiable(*output[:5])


_bind = Function("bind", _bound, _bound_setup, lambda ctx, *adj: (None,) * 5)


def gaussians(
    x: Tensor,
    F: Tensor,
    *,
    samples: int = 50_000,
    config: SurfaceConfig | None = None,
    seed: int = 0,
    binding: SurfaceBinding | None = None,
    sigma0: Tensor | None = None,
) -> Gaussians:
    """Cover the surface of a body with anisotropic Gaussians; see `diffmpm.gaussians`.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64, on the CPU or, in builds with the CUDA backend,
            on a CUDA device. Differentiable.
        F: Deformation gradients, better motion gradients G, shape (N, 3, 3). Differentiable.
        samples: Number M of Gaussians, without a binding.
        config: Options, without a binding.
        seed: Seed of the samples, without a binding.
        binding: Samples of an earlier frame, from `bind`; under torch.compile it must be given.
        sigma0: Standard deviation over the sample spacing, shape (). Differentiable; that of the options if None.

    Raises:
        ConfigError: If an argument does not fit, or the particles have no surface.
    """
    x = checked(x, "x", (None, 3), anywhere=True)
    F = checked(F, "F", (x.shape[0], 3, 3), x)
    if binding is None:
        binding = bind(x, F, samples=samples, config=config, seed=seed)
    *arrays, size = binding
    # A number that is on the CPU need not be waited for.
    width = torch.tensor(size, dtype=x.dtype) if sigma0 is None else checked(sigma0, "sigma0", (), x)
    for what, got, wanted in (("dtype", arrays[1].dtype, x.dtype), ("device", arrays[1].device, x.device)):
        if got != wanted:
            raise ConfigError(f"binding: expected {wanted}, the {what} of x, got {got}; bind it again")
    means, covars, normals, weights = call("surface", x, F, width, *arrays)
    return Gaussians(means, covars, normals, weights, binding.parents)


def rasterize(
    means: Tensor | Gaussians,
    quats: Tensor | Camera | Sequence[Camera] | None = None,
    scales: Tensor | None = None,
    opacities: Tensor | None = None,
    colors: Tensor | None = None,
    viewmats: Tensor | None = None,
    Ks: Tensor | None = None,
    width: int | None = None,
    height: int | None = None,
    *,
    covars: Tensor | None = None,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    cameras: Camera | Sequence[Camera] | None = None,
    near_plane: float | None = None,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Draw Gaussians into images; the call shape is the one usual for 3D Gaussian splatting.

    Conventions: OpenCV axes, world-to-camera matrices, pixel centres at +0.5, quaternions w x y z of any length.
    CUDA tensors are drawn on their device by builds with the CUDA backend; others call gsplat, where
    that is installed. `meta["backend"]` says so.

    Args:
        means: Centres [m], shape (N, 3), float32 or float64. Differentiable, as are all tensors but Ks. Or `Gaussians`,
            whose means and covariances are drawn; the second argument may then be their cameras.
        quats: Orientations, shape (N, 4), and
        scales: standard deviations [m], shape (N, 3); or else `covars`.
        opacities: Opacities, shape (N,); 1 if None.
        colors: Colours or other features, shape (N, K) or (C, N, K); light grey if None.
        viewmats: World to camera, shape (C, 4, 4).
        Ks: Intrinsic matrices [px], shape (C, 3, 3).
        width: Columns of the images.
        height: Rows of the images.
        covars: Covariances [m^2], shape (N, 3, 3), instead of quats and scales.
        backgrounds: Colour behind everything, shape (C, K); zeros if None.
        render_mode: "RGB", "D" (accumulated depth), "ED" (expected depth), "RGB+D" or "RGB+ED".
        cameras: Cameras instead of viewmats, Ks, width and height.
        near_plane: Distance [m] from a camera's plane below which Gaussians are left out. If None that of the cameras,
            the nearest of several, or 0.01 with `viewmats`: in a scene of millimetres pass less.

    Returns:
        Images, shape (C, H, W, K), with depth as their last channel where asked for; opacities, shape (C, H, W, 1); and
        a dictionary: means2d [px] (after `retain_grad`, `backward` leaves the gradient of the images there), radii,
        each (C, N, 2), depths (C, N), width, height, n_cameras, backend, and the numbers of Gaussians by what became
        of them: visible, culled_near, culled_frustum, culled_transparent, rejected_not_finite, rejected_degenerate,
        each of shape (C,).

    Raises:
        ConfigError: If an argument does not fit.
        MissingPackageError: If the tensors are on a CUDA device, and neither the backend nor gsplat is installed.
    """
    if render_mode not in MODES:
        raise ConfigError(f"render_mode: expected one of {', '.join(MODES)}, got {render_mode!r}")
    if isinstance(means, Gaussians):
        if covars is not None:
            raise ConfigError("covars: expected None beside Gaussians, which have their own, got a tensor; drop it")
        if quats is not None:
            cameras, quats = quats, None  # type: ignore[assignment]
        covars, means = means.covars, means.means
    near = NEAR_PLANE
    if cameras is not None:
        views, intrinsics, width, height, near = stack_cameras(cameras)
        # A copy from pageable memory is done with that memory when it returns, and need not be waited for.
        viewmats, Ks = (torch.from_numpy(a).to(means.device, non_blocking=True) for a in (views, intrinsics))
        if means.is_cuda and not torch.compiler.is_compiling():
            for matrices in (viewmats, Ks):
                mark_checked(matrices)  # by their cameras
    near = near if near_plane is None else as_positive(near_plane, "near_plane")
    missing = {"viewmats": viewmats, "Ks": Ks, "width": width, "height": height}
    for name, value in missing.items():
        if value is None:
            raise ConfigError(f"{name}: expected a value, got None; pass it, or cameras for the view")
    assert viewmats is not None and Ks is not None
    by_gsplat = isinstance(means, Tensor) and means.is_cuda and _core.cuda_device_count() == 0
    means = means if by_gsplat else checked(means, "means", (None, 3), anywhere=True)
    opacities = torch.ones_like(means[:, 0]) if opacities is None else opacities
    colors = torch.full_like(means, GREY) if colors is None else colors
    if by_gsplat:
        return _gsplat(means, quats, scales, opacities, colors, viewmats, Ks, width, height, covars=covars,
                       backgrounds=backgrounds, render_mode=render_mode, near_plane=near)  # fmt: skip
    poses = _matrices(viewmats, "viewmats", (None, 4, 4), means)
    n, c = means.shape[0], poses.shape[0]
    lenses = _matrices(Ks, "Ks", (c, 3, 3), means)

    def fit(value: Tensor, name: str, *shape: int | None) -> Tensor:
        return checked(value, name, shape, means, of="means")

    forms = (
        None if covars is None else fit(covars, "covars", n, 3, 3),
        None if quats is None else fit(quats, "quats", n, 4),  # type: ignore[arg-type]
        None if scales is None else fit(scales, "scales", n, 3),
    )
    check_forms(*forms)
    opacities = fit(opacities, "opacities", n)
    lead = (c, n) if isinstance(colors, Tensor) and colors.dim() == 3 else (n,)
    colors = fit(colors, "colors", *lead, None)
    if backgrounds is not None:
        backgrounds = fit(backgrounds, "backgrounds", c, colors.shape[-1])
    color, alpha, depth, means2d, radii, depths, status, entries, _ = _image_operators.rasterize(
        means, *forms, opacities, colors, backgrounds, poses, lenses, integer(width, "width", 1, MAX_EDGE),
        integer(height, "height", 1, MAX_EDGE), near,
    )  # fmt: skip
    meta: dict[str, Any] = {"means2d": means2d, "radii": radii, "depths": depths, "width": width, "height": height}
    meta |= {"n_cameras": c, "backend": "diffmpm", "tile_entries": entries}
    names = ("visible", "culled_near", "culled_frustum", "culled_transparent", "rejected_not_finite",
             "rejected_degenerate")  # fmt: skip
    meta |= dict(zip(names, status.unbind(1), strict=True))
    return _picked(render_mode, color, alpha, depth), alpha[..., None], meta


@outside_graphs
def shade(normals: Tensor, points: Tensor, *, albedo: Tensor, **options: Any) -> Tensor:
    """Return the colours of lit points, by the formula of `diffmpm.render.shade`.

    Args:
        normals: Unit normals, shape (N, 3). Differentiable, as are all tensors.
        points: Places [m], shape (N, 3).
        albedo: Colours of the material, shape (N, 3).
        **options: The other arguments of `diffmpm.render.shade`: lights, eye, ambient, diffuse, specular, ...

    Returns:
        Colours, shape (N, 3).

    Raises:
        ConfigError: If an argument does not fit.
    """
    normals = checked(normals, "normals", (None, 3))
    points = checked(points, "points", tuple(normals.shape), normals, of="normals")
    albedo = checked(albedo, "albedo", tuple(normals.shape), normals, of="normals")
    return _shade.apply(normals, points, albedo, options)[0]  # type: ignore[no-any-return]


def _lit(normals: Tensor, points: Tensor, albedo: Tensor, options: dict[str, Any]) -> tuple[Tensor, Any]:
    arrays = [t.detach().resolve_neg().contiguous().numpy() for t in (normals, points, albedo)]
    shading = native_shade(arrays[0], arrays[1], albedo=arrays[2], **options)
    return torch.from_numpy(np.ascontiguousarray(shading.color)), shading


def _lit_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Any]) -> None:
    ctx.save_for_backward(*inputs[:3])  # PyTorch notices where one was changed in place
    ctx.shading = output[1]


def _lit_backward(ctx: Any, adj: Tensor, _: None) -> tuple[Tensor | None, ...]:
    inputs = ctx.saved_tensors
    return *_shade_vjp.apply(ctx.shading, adj, *inputs), None


def _pulled_back(shading: Any, adj: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    found = shading.vjp(adj.resolve_neg().contiguous().numpy(), wrt=("normals", "points", "albedo"))
    return tuple(torch.from_numpy(g) for g in (found.normals, found.points, found.albedo))


_shade_vjp = Function("shade_vjp", _pulled_back, nothing, refuse_double)
_shade = Function("shade", _lit, _lit_setup, _lit_backward)


def _picked(mode: str, color: Tensor, alpha: Tensor, depth: Tensor) -> Tensor:
    if mode == "RGB":
        return color
    if "ED" in mode:
        depth = torch.where(alpha > 0.0, depth / torch.where(alpha > 0.0, alpha, 1.0), 0.0)
    return depth[..., None] if mode in ("D", "ED") else torch.cat([color, depth[..., None]], -1)


def _matrices(value: Tensor, name: str, shape: tuple[int | None, ...], means: Tensor) -> Tensor:
    matrices = checked(value, name, shape, anywhere=True)
    if matrices.device != means.device:
        raise ConfigError(
            f"{name}: expected a tensor on {means.device}, as the others are, got one on {matrices.device}"
        )
    return matrices.double()


def _gsplat(*args: Any, **options: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
    try:
        import gsplat
    except ImportError as error:
        raise MissingPackageError(
            "gsplat: needed for CUDA tensors, which this build does not draw itself, and not installed; "
            "pip install gsplat, or pass CPU tensors"
        ) from error
    colors, alphas, meta = gsplat.rasterization(*args, **options)
    return colors, alphas, {**meta, "backend": "gsplat"}
