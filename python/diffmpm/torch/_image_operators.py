# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Shapes and gradients of the operators of the surface and of pictures; their schemas stand in `_operators`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._kernels import RASTER_GRADIENTS
from ._operators import call, once, ops, raise_failure, shortcut

STATUS_COUNT = 6
"""Ways in which a Gaussian takes part in an image or does not: visible, near, frustum, transparent, not finite,
degenerate."""


@torch.library.register_fake("diffmpm::rasterize")
def _(means: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    colors, viewmats, width, height = rest[4], rest[6], rest[8], rest[9]
    n, c, k = means.shape[0], viewmats.shape[0], colors.shape[-1]
    shapes = [(c, height, width, k), (c, height, width), (c, height, width), (c, n, 2), (c, n, 2), (c, n)]
    drawn = (means.new_empty(s) for s in shapes)
    counts = (means.new_empty(s, dtype=torch.int64) for s in ((c, STATUS_COUNT), (c,)))
    return *drawn, *counts, torch.empty((2,), dtype=torch.int64, device="cpu")


@torch.library.register_fake("diffmpm::rasterize_vjp")
def _(images: Tensor, means: Tensor, colors: Tensor, *rest: Any) -> list[Tensor]:
    wrt = rest[3]
    n = means.shape[0]
    c = next(adj for adj in rest[:3] if adj is not None).shape[0]
    shapes = {
        "means": (n, 3), "covars": (n, 3, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,),
        "colors": colors.shape, "backgrounds": (c, colors.shape[-1]), "viewmats": (c, 4, 4),
    }  # fmt: skip
    kinds = {"viewmats": torch.float64}
    wanted = [name for bit, name in enumerate(RASTER_GRADIENTS) if wrt >> bit & 1]
    return [means.new_empty(shapes[name], dtype=kinds.get(name, means.dtype)) for name in wanted]


@torch.library.register_fake("diffmpm::surface")
def _(x: Tensor, F: Tensor, sigma0: Tensor, parents: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    m, k = parents.shape
    return x.new_empty((m, 3)), x.new_empty((m, 3, 3)), x.new_empty((m, 3)), x.new_empty((m, k))


@torch.library.register_fake("diffmpm::surface_vjp")
def _(x: Tensor, F: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return x.new_empty(x.shape), x.new_empty(F.shape), x.new_empty(())


def _rasterize_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3:6])
    # The inputs, because the adjoint reads them again: PyTorch refuses to go on where one was changed in place.
    ctx.save_for_backward(output[8], *(t for t in inputs[:8] if t is not None))
    ctx.given = [t is not None for t in inputs[:8]]


def _rasterize_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    images, *saved = ctx.saved_tensors
    rest = iter(saved)
    inputs = [next(rest) if given else None for given in ctx.given]
    needed = ctx.needs_input_grad[: len(RASTER_GRADIENTS)]
    result: list[Tensor | None] = [None] * 11
    if any(needed) and any(adj is not None for adj in adjoints[:3]):
        wrt = sum(1 << bit for bit, need in enumerate(needed) if need)
        means = inputs[0]
        assert means is not None
        found = call(shortcut("rasterize_vjp", means), images, means, inputs[5], *adjoints[:3], wrt)
        anchor = next(t for t, need in zip(inputs, needed, strict=True) if need and t is not None)
        gradients = iter(once(anchor, found))
        result[: len(needed)] = [next(gradients) if need else None for need in needed]
    return tuple(result)


class _Rasterize(torch.autograd.Function):
    """The operator `rasterize`, as a function of its own."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        output: tuple[Tensor, ...] = shortcut("rasterize", args[0])(*args)
        _rasterize_setup(ctx, args, output)
        return output

    backward = staticmethod(_rasterize_backward)


def rasterize(*args: Any) -> tuple[Tensor, ...]:
    """Call the operator `rasterize` by the shortest way: eager calls pass by the generic autograd of operators."""
    if torch.compiler.is_compiling():
        return ops.rasterize(*args)  # type: ignore[no-any-return]
    try:
        return _Rasterize.apply(*args)  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise_failure(error, "rasterize")
        raise


def _surface_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs)


def _surface_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    inputs = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    if not any(adj is not None for adj in adjoints):
        return (None,) * 8
    found = call(ops.surface_vjp, *inputs, *adjoints)
    anchor = next(t for t, need in zip(inputs, needed, strict=False) if need)
    gradients = once(anchor, found)
    return *(g if need else None for g, need in zip(gradients, needed, strict=True)), *(None,) * 5


torch.library.register_autograd("diffmpm::rasterize", _rasterize_backward, setup_context=_rasterize_setup)
torch.library.register_autograd("diffmpm::surface", _surface_backward, setup_context=_surface_setup)
