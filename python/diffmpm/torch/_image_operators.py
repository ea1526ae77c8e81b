# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Shapes and gradients of the operators of the surface and of pictures; their schemas stand in `_checks`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._checks import RASTER_GRADIENTS
from ._operators import (
    Function,
    below_autograd,
    call,
    in_transform,
    once,
    raise_failure,
    register_gradient,
    register_shapes,
)

STATUS_COUNT = 6
"""Ways in which a Gaussian takes part in an image or does not: visible, near, frustum, transparent, not finite,
degenerate."""
_INPUTS = len(RASTER_GRADIENTS) - 1


@register_shapes("rasterize")
def _(sizes: dict[str, Any], means: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    width, height = rest[8:10]
    n, c, k = sizes["n"], sizes["c"], sizes["k"]
    shapes = [(c, height, width, k), (c, height, width), (c, height, width), (c, n, 2), (c, n, 2), (c, n)]
    drawn = (means.new_empty(s) for s in shapes)
    counts = (means.new_empty(s, dtype=torch.int64) for s in ((c, STATUS_COUNT), (c,)))
    return *drawn, *counts, torch.empty((2,), dtype=torch.int64, device="cpu")


@register_shapes("rasterize_vjp")
def _(sizes: dict[str, Any], images: Tensor, means: Tensor, colors: Tensor, *rest: Any) -> list[Tensor]:
    wrt = rest[3]
    n = sizes["n"]
    c = next(adj for adj in rest[:3] if adj is not None).shape[0]
    shapes = {
        "means": (n, 3), "covars": (n, 3, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,),
        "colors": colors.shape, "backgrounds": (c, sizes["k"]), "viewmats": (c, 4, 4), "means2d": (c, n, 2),
    }  # fmt: skip
    kinds = {"viewmats": torch.float64}
    wanted = [name for bit, name in enumerate(RASTER_GRADIENTS) if wrt >> bit & 1]
    return [means.new_empty(shapes[name], dtype=kinds.get(name, means.dtype)) for name in wanted]


@register_shapes("surface")
def _(sizes: dict[str, Any], x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    m, k = sizes["m"], sizes["k"]
    return x.new_empty((m, 3)), x.new_empty((m, 3, 3)), x.new_empty((m, 3)), x.new_empty((m, k))


@register_shapes("surface_vjp")
def _(sizes: dict[str, Any], x: Tensor, F: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return x.new_empty(x.shape), x.new_empty(F.shape), x.new_empty(())


def _rasterize_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3:6])
    # The inputs, because the adjoint reads them again: PyTorch refuses to go on where one was changed in place.
    ctx.save_for_backward(output[8], *(t for t in inputs[:_INPUTS] if t is not None))
    ctx.given = [t is not None for t in inputs[:_INPUTS]]


def _rasterize_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    return (*_pull_back(ctx, adjoints, ctx.needs_input_grad[:_INPUTS]), None, None, None, None)


def _pull_back(ctx: Any, adjoints: tuple[Tensor | None, ...], needed: tuple[bool, ...]) -> list[Tensor | None]:
    """Return the gradients that are needed, in the order of RASTER_GRADIENTS."""
    images, *saved = ctx.saved_tensors
    rest = iter(saved)
    inputs = [next(rest) if given else None for given in ctx.given]
    if not any(needed) or all(adj is None for adj in adjoints[:3]):
        return [None] * len(needed)
    wrt = sum(1 << bit for bit, need in enumerate(needed) if need)
    found = call("rasterize_vjp", images, inputs[0], inputs[5], *adjoints[:3], wrt)
    anchor = next(t for t, need in zip(inputs, needed, strict=False) if need and t is not None)
    gradients = iter(once(anchor, found))
    return [next(gradients) if need else None for need in needed]


register_gradient("rasterize", _rasterize_setup, _rasterize_backward)


# Eager calls return the projected means as an input of the images, so that their gradient can be asked for. It ends
# there: the adjoint of the images has taken everything to the means already. `seen` holds what it gave the others.


def _means2d_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.set_materialize_grads(False)
    ctx.seen = inputs[3]


def _means2d_backward(ctx: Any, adj: Tensor | None) -> tuple[None, ...]:
    if adj is not None and not (ctx.seen and adj is ctx.seen.pop()):
        raise NotImplementedError(
            "means2d: expected to be read for the gradient that the images have with respect to it, got a loss of its "
            "own, which would not reach the means; project the means in PyTorch"
        )
    return None, None, None, None


_means2d = Function(
    "means2d", lambda anchor, shape, dtype, _: anchor.new_empty(shape, dtype=dtype), _means2d_setup, _means2d_backward
)


def _draw_images(*args: Any) -> tuple[Tensor, ...]:
    *inputs, means2d, _ = args
    output: tuple[Tensor, ...] = below_autograd("rasterize", inputs)
    means2d.detach().copy_(output[3])
    return output


def _draw_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _rasterize_setup(ctx, inputs, output)
    ctx.seen = inputs[-1]


def _draw_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    *gradients, of_means2d = _pull_back(ctx, adjoints, (*ctx.needs_input_grad[:_INPUTS], True))
    ctx.seen[:] = [of_means2d]
    return (*gradients, None, None, None, None, of_means2d, None)


_draw = Function("rasterize", _draw_images, _draw_setup, _draw_backward)


def rasterize(*args: Any) -> tuple[Tensor, ...]:
    """Call the operator `rasterize`; the gradient of its output `means2d` can be asked for (`Tensor.retain_grad`)."""
    places = (*args[:4], args[7])
    anchor = next((t for t in places if t is not None and t.requires_grad), None) if torch.is_grad_enabled() else None
    if anchor is None or torch.compiler.is_compiling() or in_transform():
        return call("rasterize", *args)  # type: ignore[no-any-return]
    seen: list[Tensor | None] = []
    shape = (args[7].shape[0], args[0].shape[0], 2)
    try:
        means2d = _means2d.apply(anchor, shape, args[0].dtype, seen)
        output = _draw.apply(*args, means2d, seen)
    except RuntimeError as error:
        raise_failure(error)
        raise
    return (*output[:3], means2d, *output[4:])


def _surface_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs)


def _surface_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    inputs = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    if not any(adj is not None for adj in adjoints):
        return (None,) * 8
    found = call("surface_vjp", *inputs, *adjoints)
    anchor = next(t for t, need in zip(inputs, needed, strict=False) if need)
    gradients = once(anchor, found)
    return *(g if need else None for g, need in zip(gradients, needed, strict=True)), *(None,) * 5


register_gradient("surface", _surface_setup, _surface_backward)
