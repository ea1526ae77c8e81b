# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Images of Gaussians, and shading, as differentiable functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array, DeviceArray, as_positive, shape_text
from .._options import Range
from ..errors import ConfigError, MissingPackageError
from ..render import Camera
from ..render import shade as native_shade
from ..render.camera import MAX_EDGE, NEAR_PLANE, check_intrinsics, check_viewmats, stack_cameras
from ..render.raster import GREY
from ._operator import (
    Function,
    Owner,
    Wrt,
    as_size,
    in_transform,
    nothing,
    operator,
    outside_graphs,
    refuse_double,
)
from ._tensors import FLOATS, checked, to_array, to_tensor
from .surface import Gaussians

MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
"""What `rasterize` returns: colours, accumulated depth (D) or expected depth (ED), or both."""
_MAX_CHANNELS = 1 << 15
_MAX_CAMERAS = 1 << 20
_MAX_NUMBERS = 1 << 50
_STATUS = (
    "visible", "culled_near", "culled_frustum", "culled_transparent", "rejected_not_finite", "rejected_degenerate",
)  # fmt: skip

_Scalars = Annotated[Array, ("n",)]
_Vectors = Annotated[Array, ("n", 3)]
_Matrices = Annotated[Array, ("n", 3, 3)]
_Colors = Annotated[Array, ("c?", "n", "k")]
_Edge = Annotated[int, Range(least=1, most=MAX_EDGE)]
_PLANE = ("c", "height", "width", 1)
_Plane = Annotated[Array, _PLANE]


def _check_rasterize(args: Any, sizes: dict[str, Any]) -> None:
    if (args.covars is None) == (args.quats is None) or (args.quats is None) != (args.scales is None):
        raise ConfigError(
            "covars: expected either covars or quats and scales, got another combination; pass one of them"
        )
    c, k = as_size(sizes["c"], "cameras", 1, _MAX_CAMERAS), as_size(sizes["k"], "channels of colors", 1, _MAX_CHANNELS)
    as_positive(args.near_plane, "near_plane")
    if c * args.height * args.width * (k + 1) > _MAX_NUMBERS:
        shape = shape_text((c, args.height, args.width, k))
        raise MemoryError(f"images: expected a shape that fits into memory, got {shape}")


@operator(
    results={
        "color": ("c", "height", "width", "k"), "alpha": _PLANE, "depth": _PLANE,
        "means2d": ("c", "n", 2), "radii": ("c", "n", 2), "depths": ("c", "n"),
        "status": ("c", len(_STATUS), torch.int64), "entries": ("c", torch.int64), "images": Owner,
    },
    check=_check_rasterize,
    first=["means", "viewmats"],
    rereads=True,
    needed=["covars", "quats", "scales", "backgrounds"],
)  # fmt: skip
def _rasterize(
    means: _Vectors, covars: _Matrices | None, quats: Annotated[Array, ("n", 4)] | None, scales: _Vectors | None,
    opacities: _Scalars, colors: _Colors, backgrounds: Annotated[Array, ("c", "k")] | None,
    viewmats: Annotated[Tensor, ("c", 4, 4, torch.float64)], Ks: Annotated[Tensor, ("c", 3, 3, torch.float64)],
    width: _Edge, height: _Edge, near_plane: float,
) -> tuple[Any, ...]:  # fmt: skip
    poses, lenses = to_array(viewmats), to_array(Ks)
    if not isinstance(poses, DeviceArray) and not isinstance(lenses, DeviceArray):
        check_viewmats(poses, "viewmats", (None,)), check_intrinsics(lenses, "Ks", (None,))
    make = _core.Rasterization32 if means.dtype == np.float32 else _core.Rasterization64
    native = make(
        means, covars, quats, scales, opacities, colors, backgrounds, poses, lenses, width, height, near_plane
    )
    counts: tuple[Any, ...] = (native.status_counts, native.entry_counts)
    if isinstance(means, DeviceArray):  # integers, which cross as the bits of floats
        counts = tuple(to_tensor(count, viewmats).view(torch.int64) for count in native.counts_on_device)
    alpha, depth = (to_tensor(array, viewmats)[..., None] for array in (native.alpha, native.depth))
    return native.color, alpha, depth, native.means2d, native.extents, native.depths, *counts, native


@operator(
    forward=_rasterize,
    wrt=["means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats", "means2d"],
)
def _rasterize_vjp(
    images: Owner, means: _Vectors, colors: _Colors, adj_color: Annotated[Array, ("c", "height", "width", "k")] | None,
    adj_alpha: _Plane | None, adj_depth: _Plane | None, wrt: Wrt,
) -> dict[str, Array]:  # fmt: skip
    native: Any = images
    return native.vjp(adj_color, adj_alpha, adj_depth, wrt)  # type: ignore[no-any-return]


# Eager calls return the projected means as an input of the images, so that `retain_grad` stores their gradient. It goes
# no further: the adjoint of the images already includes the path to the means. `passed` holds that gradient. The
# results exist before they get their gradients; they are arguments in tuples, in which autograd does not look.


def _means2d_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.set_materialize_grads(False)
    ctx.passed = inputs[2]


def _means2d_backward(ctx: Any, adj: Tensor | None) -> tuple[None, ...]:
    if adj is not None and not (ctx.passed and adj is ctx.passed.pop()):
        raise NotImplementedError(
            "means2d: expected to be read for the gradient that the images have with respect to it, got a loss of its "
            "own, which would not reach the means; project the means in PyTorch"
        )
    return None, None, None


_means2d = Function("means2d", lambda anchor, output, _: output[3].detach(), _means2d_setup, _means2d_backward)


def _draw_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _rasterize.save(ctx, inputs[:-3], output)
    ctx.passed = inputs[-1]


def _draw_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    *gradients, of_means2d = _rasterize.pull_back(ctx, adjoints, [*ctx.needs_input_grad[:8], True])
    ctx.passed[:] = [of_means2d]
    return (*gradients, None, None, None, None, of_means2d, None, None)


_draw = Function("rasterize", lambda *args: args[-2], _draw_setup, _draw_backward)


def _call_rasterize(*args: Any) -> tuple[Tensor, ...]:
    """Call the operator; in eager mode `Tensor.retain_grad` works on its result `means2d`."""
    moving = (*args[:4], args[7])  # the inputs that the projected means depend on
    anchor = next((t for t in moving if t is not None and t.requires_grad), None) if torch.is_grad_enabled() else None
    if anchor is None or torch.compiler.is_compiling() or in_transform():
        return _rasterize(*args)  # type: ignore[no-any-return]
    output = _rasterize.below_autograd(args)
    passed: list[Tensor | None] = []
    means2d = _means2d.apply(anchor, output, passed)
    output = _draw.apply(*args, means2d, output, passed)
    return (*output[:3], means2d, *output[4:])


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
        Images, shape (C, H, W, K), with depth as their last channel if the mode has one; opacities, shape (C, H, W, 1);
        and a dictionary: means2d [px] (after `retain_grad`, `backward` stores the gradient of the images in it), radii,
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
    near = near if near_plane is None else as_positive(near_plane, "near_plane")
    missing = {"viewmats": viewmats, "Ks": Ks, "width": width, "height": height}
    for name, value in missing.items():
        if value is None:
            raise ConfigError(f"{name}: expected a value, got None; pass it, or cameras for the view")
    assert viewmats is not None and Ks is not None
    by_gsplat = isinstance(means, Tensor) and means.is_cuda and _core.cuda_device_count() == 0
    means = means if by_gsplat else checked(means, "means", (None, 3), cuda=True)
    opacities = torch.ones_like(means[:, 0]) if opacities is None else opacities
    colors = torch.full_like(means, GREY) if colors is None else colors
    if by_gsplat:
        return _gsplat(means, quats, scales, opacities, colors, viewmats, Ks, width, height, covars=covars,
                       backgrounds=backgrounds, render_mode=render_mode, near_plane=near)  # fmt: skip
    inputs = _rasterize.accept(
        means,
        covars=covars,
        quats=quats,
        scales=scales,
        opacities=opacities,
        colors=colors,
        backgrounds=backgrounds,
        viewmats=_double(viewmats),
        Ks=_double(Ks),
    )
    edges = [as_size(size, name, 1, MAX_EDGE) for size, name in ((width, "width"), (height, "height"))]
    color, alpha, depth, means2d, radii, depths, status, entries, _ = _call_rasterize(*inputs, *edges, near)
    meta: dict[str, Any] = {"means2d": means2d, "radii": radii, "depths": depths, "width": width, "height": height}
    meta |= {"n_cameras": len(viewmats), "backend": "diffmpm", "tile_entries": entries}
    meta |= dict(zip(_STATUS, status.unbind(1), strict=True))
    return _picked(render_mode, color, alpha, depth), alpha, meta


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
    result = shading.vjp(adj.resolve_neg().contiguous().numpy(), wrt=("normals", "points", "albedo"))
    return tuple(torch.from_numpy(g) for g in (result.normals, result.points, result.albedo))


_shade_vjp = Function("shade_vjp", _pulled_back, nothing, refuse_double)
_shade = Function("shade", _lit, _lit_setup, _lit_backward)


def _picked(mode: str, color: Tensor, alpha: Tensor, depth: Tensor) -> Tensor:
    if mode == "RGB":
        return color
    if "ED" in mode:
        depth = torch.where(alpha > 0.0, depth / torch.where(alpha > 0.0, alpha, 1.0), 0.0)
    return depth if mode in ("D", "ED") else torch.cat([color, depth], -1)


def _double(matrices: Any) -> Any:
    """Return the matrices of cameras in double precision."""
    return matrices.double() if isinstance(matrices, Tensor) and matrices.dtype in FLOATS else matrices


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
