# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators torch.ops.diffmpm.*: schemas, shapes, gradients, and the choice of native or Python kernels.

Native kernels (cpp/torch) and those in Python (`_kernels`) call the same core, so results are equal bit by bit.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

from .. import _core
from .._build_info import TORCH_OPERATORS
from ..errors import ConfigError, simulation_error
from ._checks import GRADIENTS, SCHEMAS, check
from ._kernels import KERNELS, on_device

ops = torch.ops.diffmpm
Result = TypeVar("Result", bound=Callable[..., Any])
_FAILURE = re.compile(r"diffmpm: (.*) \[(\w+) (-?\d+) (-?\d+)\]", re.DOTALL)


def call(name: str, *args: Any) -> Any:
    """Call an operator; its failures become the exceptions of the package.

    Raises:
        ConfigError: If an argument does not fit.
        SimulationError: If a step, or the adjoint of one, does not exist.
    """
    if torch.compiler.is_compiling():
        return getattr(ops, name)(*args)
    try:
        if name not in FUNCTIONS:
            return _kernel_of(name, args)(*args)
        if _tracked(args) or in_transform():
            return FUNCTIONS[name].apply(*args)
        return below_autograd(name, args)
    except RuntimeError as error:
        raise_failure(error)
        raise


def raise_failure(error: RuntimeError) -> None:
    """Raise the exception of the package that a failure of an operator stands for, if it is one."""
    found = _FAILURE.search(str(error))
    if found is None or type(error) is not RuntimeError:
        return
    what, cause, particle, step = found.groups()
    if cause == "interrupted":
        raise KeyboardInterrupt from None
    if cause == "memory":
        raise MemoryError(what) from None
    if cause == "argument":
        raise ConfigError(what) from None
    raise simulation_error(what, int(particle), int(step), cause) from None


def _library() -> Path | None:
    """Return the file of the native operators, or None where the Python ones serve."""
    if not TORCH_OPERATORS or os.environ.get("DIFFMPM_TORCH_OPERATORS") == "0":
        return None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11):
        return None
    folder = Path(_core.__file__).parent
    return next((f for f in sorted(folder.glob("_torch_ops*")) if f.suffix in {".so", ".dylib", ".dll", ".pyd"}), None)


def _register_kernels() -> bool:
    library = _library()
    if library is None:
        for name, kernel in KERNELS.items():
            torch.library.impl(f"diffmpm::{name}", "CPU", kernel)
        return False
    torch.ops.load_library(str(library))
    use_table = ctypes.CDLL(str(library)).diffmpm_use_table
    use_table.argtypes = [ctypes.c_size_t]
    if use_table(_core.operator_table()) != 0:
        raise ImportError(
            f"diffmpm.torch: expected native operators of the same build as the module, got another {library.name}; "
            "install diffmpm again, or set DIFFMPM_TORCH_OPERATORS=0"
        )
    return True


# On a device they wait for it, which no CUDA graph can hold: torch.compile leaves them out of its graphs.
_TAGS = [getattr(torch.Tag, name) for name in ("pt2_compliant_tag", "cudagraph_unsafe") if hasattr(torch.Tag, name)]
for _name, _schema in SCHEMAS.items():
    torch.library.define(f"diffmpm::{_name}", _schema, tags=tuple(_TAGS))
NATIVE = _register_kernels()
ON_DEVICE = {name: on_device(kernel) for name, kernel in KERNELS.items()}
for _name, _kernel in ON_DEVICE.items():
    torch.library.impl(f"diffmpm::{_name}", "CUDA", _kernel)


def _kernel_of(name: str, args: Sequence[Any]) -> Callable[..., Any]:
    """Return an operator for calls from below autograd: for plain CUDA tensors its kernel itself.

    The dispatcher would find the same kernel in some 20 microseconds. Other classes of tensors, those without memory
    among them, need it.
    """
    first = next((arg for arg in args if isinstance(arg, Tensor) and arg.is_cuda), args[0])
    plain = type(first) in (Tensor, torch.nn.Parameter)
    return ON_DEVICE[name] if plain and first.is_cuda else getattr(ops, name).default  # type: ignore[no-any-return]


def below_autograd(name: str, args: Sequence[Any]) -> Any:
    """Call the kernel of an operator without a gradient."""
    with torch._C._AutoDispatchBelowAutograd():
        return _kernel_of(name, args)(*args)


# Shapes, for tracing; the checks are those of the kernels.


def register_shapes(name: str) -> Callable[[Callable[..., Any]], None]:
    """Register a function of the arguments and of the sizes that they name, which returns empty results."""

    def register(shapes: Callable[..., Any]) -> None:
        def fake(*args: Any) -> Any:
            return shapes(check(name, args), *args)

        torch.library.register_fake(f"diffmpm::{name}", fake)

    return register


@register_shapes("rollout")
def _(sizes: dict[str, Any], x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    layers, motion_gradient = rest[15:17]
    rows = (len(layers), sizes["n"]) if layers else (sizes["n"],)
    vectors = x.new_empty((*rows, 3)), x.new_empty((*rows, 3))
    matrices = x.new_empty((*rows, 3, 3)), x.new_empty((*rows, 3, 3))
    motion = x.new_empty((*rows, 3, 3) if motion_gradient else (0,))
    return *vectors, *matrices, motion, torch.empty((2,), dtype=torch.int64, device="cpu")


@register_shapes("rollout_vjp")
def _(sizes: dict[str, Any], *args: Any) -> list[Tensor]:
    wrt, control_layers = args[7:]
    n, like = sizes["n"], next(adj for adj in args[1:6] if adj is not None)
    shapes: dict[str, tuple[Any, ...]] = {name: (n,) for name in GRADIENTS}
    shapes |= {"x": (n, 3), "v": (n, 3), **dict.fromkeys(("C", "F", "Fp"), (n, 3, 3))}
    shapes |= {"control": (control_layers, n, 3, 3), "gravity": (3,), "drag": ()}
    return [like.new_empty(shapes[name]) for bit, name in enumerate(GRADIENTS) if wrt >> bit & 1]


@register_shapes("grid_mass")
def _(sizes: dict[str, Any], x: Tensor, mass: Tensor, whole: list[int], real: list[float]) -> Tensor:
    return x.new_empty(tuple(whole[:3]))


@register_shapes("grid_mass_vjp")
def _(sizes: dict[str, Any], x: Tensor, mass: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return x.new_empty(x.shape), x.new_empty(mass.shape)


def _value_and_adjoint(sizes: dict[str, Any], m: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return m.new_empty(()), m.new_empty(m.shape)


register_shapes("mass_loss")(_value_and_adjoint)
register_shapes("kinetic_loss")(_value_and_adjoint)


# Gradients.


def refuse_double(ctx: Any, *adjoints: Any) -> NoReturn:
    """Refuse a second derivative."""
    raise NotImplementedError(
        "diffmpm: double backward is not supported; call backward without create_graph=True, or take finite "
        "differences of the gradient"
    )


def _refuse_forward(ctx: Any, *tangents: Any) -> NoReturn:
    raise NotImplementedError(
        "diffmpm: forward-mode AD is not supported here; use backward, or finite differences along the direction"
    )


def _refuse_vmap(name: str) -> Callable[..., NoReturn]:
    def refuse(info: Any, in_dims: Any, *args: Any) -> NoReturn:
        raise NotImplementedError(f"diffmpm::{name}: vmap is not supported; loop over the batch")

    return refuse


def nothing(ctx: Any, inputs: Any, output: Any) -> None:
    """Keep nothing for the backward pass."""


class Function:
    """A function with a gradient, for autograd and for the transforms of torch.func; it refuses all others in words.

    Args:
        name: Name in messages.
        forward: Of the arguments.
        setup: As `torch.autograd.Function.setup_context`.
        backward: As that of `torch.autograd.Function`.
        jvp: Likewise; forward mode is refused without it.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        setup: Callable[..., None],
        backward: Callable[..., Any],
        jvp: Callable[..., Any] = _refuse_forward,
    ) -> None:
        def run(ctx: Any, *args: Any) -> Any:
            output = forward(*args)
            setup(ctx, args, output)
            return output

        # PyTorch reads the signature of a function with `setup_context` in each call, which costs more than the call.
        shared = {"backward": backward, "jvp": jvp}
        self._plain = _subclass(name, {**shared, "forward": run})
        self._transformed = _subclass(
            name, {**shared, "forward": forward, "setup_context": setup, "vmap": _refuse_vmap(name)}
        )

    def apply(self, *args: Any) -> Any:
        """Call the function."""
        return (self._transformed if in_transform() else self._plain).apply(*args)  # type: ignore[no-untyped-call]


def _subclass(name: str, parts: dict[str, Callable[..., Any]]) -> type[torch.autograd.Function]:
    methods = {key: staticmethod(part) for key, part in parts.items()}
    return types.new_class(name, (torch.autograd.Function,), exec_body=lambda body: body.update(methods))


def in_transform() -> bool:
    """Say whether a transform of torch.func is at work."""
    return torch._C._are_functorch_transforms_active()


_once = Function("gradient", lambda anchor, *gradients: tuple(g.view_as(g) for g in gradients), nothing, refuse_double)


def once(anchor: Tensor, gradients: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return gradients that depend on `anchor`, an input of the operator, and refuse to be differentiated.

    Under create_graph=True a second derivative is an error and not a zero.
    """
    if not torch.is_grad_enabled():
        return tuple(gradients)
    return _once.apply(anchor, *gradients)  # type: ignore[no-any-return]


def outside_graphs(function: Result) -> Result:
    """Leave a function out of the graphs of torch.compile, which does not see through NumPy."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        if "torch._dynamo" not in sys.modules:  # importing it takes longer than all else
            return function(*args, **options)
        return torch.compiler.disable(function)(*args, **options)

    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    run._torchdynamo_disable_msg = (  # type: ignore[attr-defined]
        f"diffmpm.torch.{function.__name__} works on NumPy arrays; call it outside of the compiled function, or "
        "compile without fullgraph=True"
    )
    return run  # type: ignore[return-value]


FUNCTIONS: dict[str, Function] = {}
"""The operators with a gradient, as functions of PyTorch."""
_registry = torch.library.Library("diffmpm", "FRAGMENT")


def _tracked(args: Iterable[Any]) -> bool:
    """Say whether PyTorch differentiates by one of the arguments, in reverse or in forward mode."""
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    forward = torch.autograd.forward_ad
    if forward._current_level < 0 or not torch._C._is_fwd_grad_enabled():
        return False
    return any(forward.unpack_dual(tensor).tangent is not None for tensor in tensors)


def register_gradient(name: str, *parts: Callable[..., Any]) -> None:
    """Give an operator its gradient, for calls of `call` and of `torch.ops.diffmpm`; see `Function`."""
    operator = getattr(ops, name).default

    def forward(*args: Any) -> Any:
        output = below_autograd(name, args)
        return tuple(output) if isinstance(output, list) else output

    function = Function(name, forward, *parts)

    def autograd(keyset: Any, *args: Any) -> Any:
        if _tracked(args):
            return function.apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return operator.redispatch(keyset & torch._C._after_autograd_keyset, *args)

    FUNCTIONS[name] = function
    _registry.impl(name, autograd, "Autograd", with_keyset=True)


def _rollout_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    anchor = next((t for t in inputs[: len(GRADIENTS)] if t is not None and t.requires_grad), None)
    ctx.save_for_backward(output[5], anchor)
    control = inputs[5]
    ctx.layers, ctx.control_layers = inputs[16], 0 if control is None else control.shape[0]


def _rollout_backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad[: len(GRADIENTS)]
    result: list[Tensor | None] = [None] * 20
    cotangents = [None if adj is None or adj.numel() == 0 else adj for adj in adjoints[:5]]
    if any(needed) and any(adj is not None for adj in cotangents):
        wrt = sum(1 << bit for bit, need in enumerate(needed) if need)
        trajectory, anchor = ctx.saved_tensors
        gradients = call("rollout_vjp", trajectory, *cotangents, ctx.layers, wrt, ctx.control_layers)
        found = iter(once(anchor, gradients))
        result[: len(needed)] = [next(found) if need else None for need in needed]
    return tuple(result)


def _grid_mass_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mass, *ctx.config = inputs
    ctx.save_for_backward(x, mass)


def _grid_mass_backward(ctx: Any, adj: Tensor) -> tuple[Tensor | None, ...]:
    x, mass = ctx.saved_tensors
    gradients = call("grid_mass_vjp", x, mass, adj, *ctx.config)
    return *once(x if x.requires_grad else mass, gradients), None, None


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(inputs[0], output[1])
    ctx.save_for_forward(inputs[0], output[1])
    ctx.rest = (None,) * (len(inputs) - 1)


def _loss_backward(ctx: Any, adj: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    anchor, gradient = ctx.saved_tensors
    return *once(anchor, (adj * gradient,)), *ctx.rest


def _loss_jvp(ctx: Any, tangent: Tensor, *rest: None) -> tuple[Tensor, None]:
    return (ctx.saved_tensors[1] * tangent).sum(), None


register_gradient("rollout", _rollout_setup, _rollout_backward)
register_gradient("grid_mass", _grid_mass_setup, _grid_mass_backward)
register_gradient("mass_loss", _loss_setup, _loss_backward, _loss_jvp)
register_gradient("kinetic_loss", _loss_setup, _loss_backward, _loss_jvp)
for _name in ("rollout_vjp", "grid_mass_vjp", "rasterize_vjp", "surface_vjp"):
    register_gradient(_name, nothing, refuse_double)
for _name in SCHEMAS:
    torch.library.register_vmap(f"diffmpm::{_name}", _refuse_vmap(_name))
