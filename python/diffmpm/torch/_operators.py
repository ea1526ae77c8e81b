# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators torch.ops.diffmpm.*: schemas, shapes, gradients, and the choice of native or Python kernels.

Native kernels (cpp/torch) and those in Python (`_kernels`) call the same core, so results are equal bit by bit.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

from .. import _core
from .._build_info import TORCH_OPERATORS
from ..errors import ConfigError, simulation_error
from ._kernels import GRADIENTS, KERNELS, on_device

# In `rollout`, no layers stand for the end alone, without an axis of layers.
_CONFIG = "int[] whole, float[] real"
_SURFACE = (
    "Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets, Tensor supports, Tensor axes, Tensor normals"
)
SCHEMAS = {
    "rollout": (
        "(Tensor x, Tensor v, Tensor C, Tensor F, Tensor? Fp, Tensor? control, Tensor mass, Tensor volume, Tensor lam, "
        f"Tensor mu, Tensor? gravity, Tensor? drag, {_CONFIG}, int steps, int stride, int[] layers, "
        "bool motion_gradient, bool differentiable, int memory_budget) "
        "-> (Tensor x, Tensor v, Tensor C, Tensor F, Tensor G, Tensor trajectory)"
    ),
    "rollout_vjp": (
        "(Tensor trajectory, Tensor? adj_x, Tensor? adj_v, Tensor? adj_C, Tensor? adj_F, Tensor? adj_G, int[] layers, "
        "int wrt, SymInt control_layers) -> Tensor[]"
    ),
    "grid_mass": f"(Tensor x, Tensor mass, {_CONFIG}) -> Tensor",
    "grid_mass_vjp": f"(Tensor x, Tensor mass, Tensor adj_grid_mass, {_CONFIG}) -> (Tensor, Tensor)",
    "mass_loss": "(Tensor m, Tensor target, int kind, float m_ref, float outside_weight) -> (Tensor value, Tensor adj)",
    "kinetic_loss": "(Tensor v) -> (Tensor value, Tensor adj)",
    "rasterize": (
        "(Tensor means, Tensor? covars, Tensor? quats, Tensor? scales, Tensor opacities, Tensor colors, "
        "Tensor? backgrounds, Tensor viewmats, Tensor Ks, int width, int height) -> (Tensor color, Tensor alpha, "
        "Tensor depth, Tensor means2d, Tensor radii, Tensor depths, Tensor status, Tensor entries, Tensor images)"
    ),
    "rasterize_vjp": (
        "(Tensor images, Tensor means, Tensor colors, Tensor? adj_color, Tensor? adj_alpha, Tensor? adj_depth, "
        "int wrt) -> Tensor[]"
    ),
    "surface": f"({_SURFACE}) -> (Tensor means, Tensor covs, Tensor normals, Tensor weights)",
    "surface_vjp": (
        f"({_SURFACE}, Tensor? adj_means, Tensor? adj_covs, Tensor? adj_normals, Tensor? adj_weights) "
        "-> (Tensor, Tensor, Tensor)"
    ),
}
ops = torch.ops.diffmpm
Result = TypeVar("Result")
_FAILURE = re.compile(r"diffmpm: (.*) \[(\w+) (-?\d+) (-?\d+)\]", re.DOTALL)


def call(operator: Callable[..., Result], *args: Any) -> Result:
    """Call an operator; its failures become the exceptions of the package.

    Raises:
        ConfigError: If an argument does not fit.
        SimulationError: If a step, or the adjoint of one, does not exist.
    """
    if torch.compiler.is_compiling():
        return operator(*args)
    try:
        return operator(*args)
    except RuntimeError as error:
        raise_failure(error, "rollout")
        raise


def rollout(*args: Any) -> tuple[Tensor, ...]:
    """Call the operator `rollout` by the shortest way: eager calls pass by the generic autograd of operators."""
    if torch.compiler.is_compiling():
        return ops.rollout(*args)  # type: ignore[no-any-return]
    try:
        return _Rollout.apply(*args)  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise_failure(error, "rollout")
        raise


def raise_failure(error: RuntimeError, name: str) -> None:
    """Raise the exception of the package that a failure of the operator `name` stands for, if it is one."""
    if "functorch" in str(error):
        _refuse_vmap(name)(None, None)
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


def shortcut(name: str, first: Tensor) -> Callable[..., Any]:
    """Return an operator for calls from below autograd: for plain CUDA tensors its kernel itself.

    The dispatcher would find the same kernel in some 20 microseconds. Other classes of tensors, those without memory
    among them, need it.
    """
    plain = type(first) in (Tensor, torch.nn.Parameter)
    return ON_DEVICE[name] if plain and first.is_cuda else getattr(ops, name).default


# Shapes, for tracing.


@torch.library.register_fake("diffmpm::rollout")
def _(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    layers, motion_gradient = rest[15:17]
    rows = (len(layers), x.shape[0]) if layers else (x.shape[0],)
    vectors = x.new_empty((*rows, 3)), x.new_empty((*rows, 3))
    matrices = x.new_empty((*rows, 3, 3)), x.new_empty((*rows, 3, 3))
    motion = x.new_empty((*rows, 3, 3) if motion_gradient else (0,))
    return *vectors, *matrices, motion, torch.empty((2,), dtype=torch.int64, device="cpu")


@torch.library.register_fake("diffmpm::rollout_vjp")
def _(trajectory, adj_x, adj_v, adj_C, adj_F, adj_G, layers, wrt, control_layers):  # type: ignore[no-untyped-def]
    like = next(adj for adj in (adj_x, adj_v, adj_C, adj_F, adj_G) if adj is not None)
    n = like.shape[1] if layers else like.shape[0]
    shapes: dict[str, tuple[Any, ...]] = {name: (n,) for name in GRADIENTS}
    shapes |= {"x": (n, 3), "v": (n, 3), **dict.fromkeys(("C", "F", "Fp"), (n, 3, 3))}
    shapes |= {"control": (control_layers, n, 3, 3), "gravity": (3,), "drag": ()}
    return [like.new_empty(shapes[name]) for bit, name in enumerate(GRADIENTS) if wrt >> bit & 1]


@torch.library.register_fake("diffmpm::grid_mass")
def _(x, mass, whole, real):  # type: ignore[no-untyped-def]
    return x.new_empty(tuple(whole[:3]))


@torch.library.register_fake("diffmpm::grid_mass_vjp")
def _(x, mass, adj_grid_mass, whole, real):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape), x.new_empty(mass.shape)


@torch.library.register_fake("diffmpm::mass_loss")
def _(m, target, kind, m_ref, outside_weight):  # type: ignore[no-untyped-def]
    return m.new_empty(()), m.new_empty(m.shape)


@torch.library.register_fake("diffmpm::kinetic_loss")
def _(v):  # type: ignore[no-untyped-def]
    return v.new_empty(()), v.new_empty(v.shape)


# Gradients.


def refuse_double(ctx: Any, *adjoints: Any) -> NoReturn:
    raise NotImplementedError(
        "diffmpm: double backward is not supported; call backward without create_graph=True, or take finite "
        "differences of the gradient"
    )


class _Once(torch.autograd.Function):
    """Gradients as they are, which refuse to be differentiated: they depend on `anchor`, an input of the operator."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    backward = staticmethod(refuse_double)


def once(anchor: Tensor, gradients: tuple[Tensor, ...] | list[Tensor]) -> tuple[Tensor, ...]:
    """Return gradients; under create_graph=True, such that a second derivative is an error and not a zero."""
    if not torch.is_grad_enabled():
        return tuple(gradients)
    return _Once.apply(anchor, *gradients)  # type: ignore[no-any-return]


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
        gradients = call(ops.rollout_vjp, trajectory, *cotangents, ctx.layers, wrt, ctx.control_layers)
        found = iter(once(anchor, gradients))
        result[: len(needed)] = [next(found) if need else None for need in needed]
    return tuple(result)


def _refuse_vmap(name: str) -> Callable[..., NoReturn]:
    def refuse(info: Any, in_dims: Any, *args: Any) -> NoReturn:
        raise NotImplementedError(f"diffmpm::{name}: vmap is not supported; loop over the batch")

    return refuse


class _Rollout(torch.autograd.Function):
    """The operator `rollout`, as a function of its own."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        output: tuple[Tensor, ...] = ops.rollout.default(*args)
        _rollout_setup(ctx, args, output)
        return output

    backward = staticmethod(_rollout_backward)


def _grid_mass_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mass, *ctx.config = inputs
    ctx.save_for_backward(x, mass)


def _grid_mass_backward(ctx: Any, adj: Tensor) -> tuple[Tensor | None, ...]:
    x, mass = ctx.saved_tensors
    gradients = call(ops.grid_mass_vjp, x, mass, adj, *ctx.config)
    return *once(x if x.requires_grad else mass, gradients), None, None


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(inputs[0], output[1])
    ctx.rest = (None,) * (len(inputs) - 1)


def _loss_backward(ctx: Any, adj: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    anchor, gradient = ctx.saved_tensors
    return *once(anchor, (adj * gradient,)), *ctx.rest


torch.library.register_autograd("diffmpm::rollout", _rollout_backward, setup_context=_rollout_setup)
torch.library.register_autograd("diffmpm::grid_mass", _grid_mass_backward, setup_context=_grid_mass_setup)
for _name in ("mass_loss", "kinetic_loss"):
    torch.library.register_autograd(f"diffmpm::{_name}", _loss_backward, setup_context=_loss_setup)
for _name in ("rollout_vjp", "grid_mass_vjp", "rasterize_vjp", "surface_vjp"):
    torch.library.register_autograd(f"diffmpm::{_name}", refuse_double)
for _name in SCHEMAS:
    torch.library.register_vmap(f"diffmpm::{_name}", _refuse_vmap(_name))
