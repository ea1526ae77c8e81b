# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators torch.ops.diffmpm.*: each is declared by the signature of its kernel in Python.

Schema, checks, fake kernel, gradient and refusals follow from the declaration. Where native kernels (cpp/torch) are
built, they serve CPU tensors and, for the rasteriser, CUDA tensors; the kernels in Python serve the rest. Both call the
same core, so their results are equal bit by bit.

A parameter of a kernel is annotated with what it receives:

- `Annotated[Array, (axes)]` or `Annotated[Tensor, (axes)]`: a tensor, as an array of the core or as it is. Axes of one
  name have one size, `"c?"` is an axis that may be missing, and `"..."` stands for any shape. The dtype is that of the
  first tensor, or the last element of the axes. `| None` makes it optional.
- `Owner`: the result of the same name of another operator, which owns the state of an adjoint.
- `MpmParams`: the list of options from `pack_params`. Its nodes per axis are the sizes `nx`, `ny`, `nz`.
- `Wrt`: the names of the inputs to differentiate by, which cross as the bits of an integer.
- `Annotated[int, Range(...)]` or `Size`: an integer, which is also the size of the axis of that name. A `list[int]`
  gives its length to the axis of its name, and removes the axis if it is empty.
- `float`, `bool`, `list[float]`: the value.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array
from .._build_info import TORCH_OPERATORS
from .._options import Range, as_integer
from ..errors import ConfigError, DeviceError, simulation_error
from ._tensors import FLOATS, checked, cuda_function, on_stream, to_array, to_tensor

Result = TypeVar("Result", bound=Callable[..., Any])
Kernel = Callable[..., Any]
Size = Annotated[int, "SymInt"]
_ops = torch.ops.diffmpm
_FAILURE = re.compile(r"diffmpm: (.*) \[(\w+) (-?\d+) (-?\d+)\]", re.DOTALL)
# Operators on a device wait for it, which no CUDA graph can hold: torch.compile leaves them out of its graphs.
_TAGS = [getattr(torch.Tag, name) for name in ("pt2_compliant_tag", "cudagraph_unsafe") if hasattr(torch.Tag, name)]
_registry = torch.library.Library("diffmpm", "FRAGMENT")


def _load_library() -> bool:
    """Load the native operators; return False where the kernels in Python serve instead."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if not TORCH_OPERATORS or os.environ.get("DIFFMPM_TORCH_OPERATORS") == "0" or version < (2, 11):
        return False
    folder = Path(_core.__file__).parent
    files = [f for f in sorted(folder.glob("_torch_ops*")) if f.suffix in {".so", ".dylib", ".dll", ".pyd"}]
    if not files:
        return False
    torch.ops.load_library(str(files[0]))
    use_table = ctypes.CDLL(str(files[0])).diffmpm_use_table
    use_table.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    if use_table(_core.operator_table(), cuda_function("aoti_torch_get_current_cuda_stream")) != 0:
        raise ImportError(
            f"diffmpm.torch: expected native operators of the same build as the module, got another {files[0].name}; "
            "install diffmpm again, or set DIFFMPM_TORCH_OPERATORS=0"
        )
    return True


NATIVE = _load_library()


class Wrt(tuple[str, ...]):
    """Names of the inputs to differentiate by."""


class Owner(np.ndarray):
    """Memory of a tensor that owns the state of an adjoint; found by its address, so a copy is not an owner."""

    native: Any
    operator: Operator
    dtype_of: torch.dtype
    sizes: dict[str, Any]
    absent: list[str]
    """Inputs that were None and whose gradient does not exist."""


_owners: weakref.WeakValueDictionary[int, Owner] = weakref.WeakValueDictionary()
_SCHEMA_TYPES = {
    list[float]: "float[]", list[int]: "int[]", int: "int", float: "float", bool: "bool", Size: "SymInt", Wrt: "int",
    Owner: "Tensor", _core.MpmParams: "float[]",
}  # fmt: skip


class Shape:
    """Axes of a tensor, by name or size, and its dtype, None for that of the first tensor."""

    def __init__(self, spec: Sequence[Any]) -> None:
        self.dtype = spec[-1] if spec and not isinstance(spec[-1], str | int) else None
        self.axes: tuple[Any, ...] = tuple(spec if self.dtype is None else spec[:-1])
        self.any = self.axes == ("...",)
        self.lead = str(self.axes[0]) if self.axes and str(self.axes[0]).endswith("?") else ""
        """Name of an axis that may be missing."""
        self.constants = [axis if isinstance(axis, int) else None for axis in self.axes]
        self.names = [(k, axis) for k, axis in enumerate(self.axes) if isinstance(axis, str) and not axis.endswith("?")]

    def sizes(self, known: Mapping[str, Any], dims: int | None = None) -> tuple[Any, ...]:
        """Return the sizes of a tensor with `dims` axes as far as they are known."""
        if self.any:
            return known.get("...", (None,) * (dims or 0))  # type: ignore[no-any-return]
        sizes = tuple(map(known.get, self.axes, self.constants))
        if not self.lead:
            return sizes
        present = known.get(self.lead, dims == len(sizes))
        return (known.get(self.lead[:-1]), *sizes[1:]) if present else sizes[1:]

    def learn(self, shape: tuple[int, ...], sizes: dict[str, Any]) -> None:
        """Add the sizes of a tensor that was accepted."""
        if self.any:
            sizes["..."] = tuple(shape)
            return
        missing = len(self.axes) - len(shape)
        if self.lead:
            sizes[self.lead] = not missing
            if not missing:
                sizes[self.lead[:-1]] = shape[0]
        for k, axis in self.names:
            sizes[axis] = shape[k - missing]

    def empty(self, known: Mapping[str, Any], like: Tensor) -> Tensor:
        """Return an uninitialised tensor."""
        return like.new_empty(self.sizes(known), dtype=self.dtype or like.dtype)


class Parameter:
    """One parameter of a kernel, by its annotation."""

    def __init__(self, name: str, hint: Any) -> None:
        members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        self.name, self.optional = name, types.NoneType in members
        self.hint = next(member for member in members if member is not types.NoneType)
        base, *notes = typing.get_args(self.hint) if typing.get_origin(self.hint) is Annotated else (self.hint,)
        self.is_array = base == Array
        self.shape = next((Shape(note) for note in notes if isinstance(note, tuple)), None)
        self.range = next((note for note in notes if isinstance(note, Range)), None)
        type_name = "Tensor" if self.shape else "int" if self.range else _SCHEMA_TYPES[self.hint]
        self.schema = f"{type_name}{'?' if self.optional else ''} {name}"


class Operator:
    """An operator of PyTorch; call it with all arguments, by position.

    Args:
        kernel: Its kernel in Python, named `_name`, whose annotations describe the arguments.
        results: Axes of each result, or `Owner` for the state of the adjoint. A result `adj_y` is the gradient of the
            first result with respect to the argument `y`.
        check: Further checks of all arguments, by name; may add sizes.
        first: Tensors to check before the others, which take the sizes of axes from them.
        rereads: Whether the adjoint reads all inputs again, so that none of them may change in between.
        needed: Optional inputs that must be passed for their gradient to exist.
        forward: The operator that this one is the adjoint of. Arguments `adj_y` are cotangents of its results; all
            others are its arguments, its owner or its sizes.
        wrt: Inputs of `forward` that have a gradient, in the order of the results.
    """

    def __init__(
        self,
        kernel: Kernel,
        results: Mapping[str, Any] | None = None,
        *,
        check: Callable[[Any, dict[str, Any]], None] | None = None,
        first: Sequence[str] = (),
        rereads: bool = False,
        needed: Sequence[str] = (),
        forward: Operator | None = None,
        wrt: Sequence[str] = (),
    ) -> None:
        self.name = kernel.__name__.lstrip("_")
        self.kernel, self.further_check, self.rereads, self.needed = kernel, check, rereads, needed
        hints = typing.get_type_hints(kernel, include_extras=True)
        self.parameters = [Parameter(name, hint) for name, hint in hints.items() if name != "return"]
        self.names = [p.name for p in self.parameters]
        self.tensors = [(k, p.name, p.shape, p.optional) for k, p in enumerate(self.parameters) if p.shape]
        self.tensors.sort(key=lambda tensor: tensor[1] not in first)
        self.signature_order = sorted(range(len(self.tensors)), key=lambda n: self.tensors[n][0])
        self.results = {name: None if r is Owner else Shape(r) for name, r in (results or {}).items()}
        self.forward, self.wrt = forward, list(wrt)
        self.listed = any(p.hint is Wrt for p in self.parameters)
        if forward is not None:
            shapes = {**forward.results, **{name: shape for _, name, shape, _ in forward.tensors}}
            self.results = {name: shapes[name] for name in wrt}
        self._register()

    def _register(self) -> None:
        qualified = f"diffmpm::{self.name}"
        returned = "Tensor[]" if self.listed else ", ".join(f"Tensor {name}" for name in self.results)
        returned = returned if self.listed or len(self.results) == 1 else f"({returned})"
        arguments = ", ".join(p.schema for p in self.parameters)
        torch.library.define(qualified, f"({arguments}) -> {returned}", tags=tuple(_TAGS))
        kernels: dict[str, Kernel] = {"CPU": self.run, "CUDA": on_stream(self.run)}
        for key in [k for k in kernels if torch._C._dispatch_has_kernel_for_dispatch_key(qualified, k)]:
            del kernels[key]  # which are native
        for key, kernel in kernels.items():
            torch.library.impl(qualified, key, kernel)
        self.on_device = kernels.get("CUDA")
        torch.library.register_fake(qualified, self._fake)
        torch.library.register_vmap(qualified, _refuse_vmap(self.name))
        self.default = getattr(_ops, self.name).default
        gradient = next((name for name in self.results if name.startswith("adj_")), None)
        if self.forward is not None:
            self.set_gradient(nothing, refuse_double)
            self.forward.set_adjoint(self)
        elif gradient is not None:
            self.set_gradient(_loss_setup, _loss_backward, _loss_jvp)

    def __call__(self, *args: Any) -> Any:
        """Call the operator.

        Raises:
            ConfigError: If an argument does not fit.
            SimulationError: If a step fails or its adjoint does not exist.
        """
        if torch.compiler.is_compiling():
            return getattr(_ops, self.name)(*args)
        return self.function.apply(*args) if _tracked(args) or in_transform() else self.below_autograd(args)

    def below_autograd(self, args: Sequence[Any]) -> Any:
        """Call the kernel without a gradient; its failures become the exceptions of the package.

        One in Python is called directly for plain CUDA tensors: the dispatcher would take 20 microseconds to find it.
        Other classes of tensors, such as those without memory, need the dispatcher.
        """
        call = self.default
        if self.on_device is not None:
            first = next((args[k] for k, _, _, _ in self.tensors if args[k] is not None), args[0])
            if type(first) in (Tensor, torch.nn.Parameter) and first.is_cuda:
                call = self.on_device
        try:
            with torch._C._AutoDispatchBelowAutograd():
                return call(*args)
        except RuntimeError as error:
            if _raise_failure(error) == "check":
                self._explain(args)
            raise

    def _explain(self, args: Sequence[Any]) -> None:
        """Raise the error for arguments that the native kernel has refused without words."""
        if any(p.hint is Owner for p in self.parameters):  # which only the native kernel can read
            self.check(args, {})
        else:
            self.run(*args)

    def accept(self, first: Tensor, **others: Any) -> list[Tensor | None]:
        """Return the tensors of a call, in order, after checks; under autocast, half precision becomes float32.

        Args:
            first: The first tensor, which `checked` has returned.
            **others: All others, by name.

        Raises:
            ConfigError: If one does not fit.
        """
        values = [first, *[others[name] for _, name, _, _ in self.tensors[1:]]]
        if torch.compiler.is_compiling() or torch.is_autocast_enabled(first.device.type) or not self._alike(values):
            sizes: dict[str, Any] = {}
            self.tensors[0][2].learn(first.shape, sizes)
            values[1:] = self._check_tensors(self.tensors[1:], values[1:], sizes, first, self.tensors[0][1], True)
        return [values[n] for n in self.signature_order]

    def _alike(self, values: Sequence[Any]) -> bool:
        """Return whether all values are dense tensors on one device, so that the operator can check them itself."""
        cpu, device = values[0].is_cpu, values[0].device
        for (_, _, _, optional), value in zip(self.tensors, values, strict=True):
            if value is None and optional:
                continue
            if not isinstance(value, Tensor) or value.layout is not torch.strided:
                return False
            if not (value.is_cpu if cpu else value.device == device):
                return False
        return True

    def _check_tensors(
        self,
        tensors: Sequence[tuple[int, str, Shape, bool]],
        values: Sequence[Any],
        sizes: dict[str, Any],
        like: Tensor | None = None,
        of: str = "",
        autocast: bool = False,
    ) -> list[Tensor | None]:
        accepted: list[Tensor | None] = []
        for (_, name, shape, optional), value in zip(tensors, values, strict=True):
            if value is not None or not optional:
                expected = shape.sizes(sizes, value.dim() if isinstance(value, Tensor) else None)
                value = checked(value, name, expected, like, of=of, dtype=shape.dtype, cuda=True, autocast=autocast)
                shape.learn(value.shape, sizes)
                if like is None:
                    like, of = value, name
            accepted.append(value)
        if like is None:
            raise ConfigError(f"{tensors[0][1]}: expected at least one cotangent, got none")
        return accepted

    def check(self, args: Sequence[Any], sizes: dict[str, Any]) -> None:
        """Check all arguments; adds the sizes of their axes to `sizes`.

        Raises:
            ConfigError: If an argument does not fit.
        """
        for parameter, value in zip(self.parameters, args, strict=True):
            if parameter.hint is _core.MpmParams:
                sizes |= zip(("nx", "ny", "nz"), _core.unpack_params(value).dims, strict=True)
            elif parameter.hint == list[int]:
                sizes |= {parameter.name: len(value), f"{parameter.name}?": bool(value)}
            elif parameter.hint is Wrt:
                as_integer(value, parameter.name, Range(least=0, most=(1 << len(self.wrt)) - 1))
            elif parameter.hint == Size:
                if sizes.setdefault(parameter.name, value) != value:
                    expected = sizes[parameter.name]
                    raise ConfigError(f"{parameter.name}: expected {expected}, as in the forward pass, got {value}")
            elif parameter.range:
                sizes[parameter.name] = as_integer(value, parameter.name, parameter.range)
        self._check_tensors(self.tensors, [args[k] for k, _, _, _ in self.tensors], sizes)
        if self.further_check is not None:
            self.further_check(types.SimpleNamespace(**dict(zip(self.names, args, strict=True))), sizes)

    def run(self, *args: Any) -> Any:
        """Check the arguments and run the kernel in Python.

        Raises:
            ConfigError: If an argument does not fit.
        """
        like = next((args[k] for k, _, _, _ in self.tensors if args[k] is not None), None)
        state = self._owner(args, like)
        sizes = dict(state.sizes) if state is not None else {}
        self.check(args, sizes)
        assert like is not None
        values = list(args)
        names = list(self.results)
        for k, parameter in enumerate(self.parameters):
            if parameter.hint is Owner:
                values[k] = state.native  # type: ignore[union-attr]
            elif parameter.hint is Wrt:
                names = [name for bit, name in enumerate(self.wrt) if args[k] >> bit & 1]
                values[k] = Wrt(names)
            elif parameter.hint is _core.MpmParams:
                values[k] = _core.unpack_params(args[k])
            elif parameter.is_array and args[k] is not None:
                values[k] = to_array(args[k])
        for name in names:
            if state is not None and name in state.absent:
                raise ConfigError(f"wrt: expected inputs that were passed, got {name}")
        output = self.kernel(*values)
        if self.listed:
            return [self._result(name, output[name], like) for name in names]
        output = output if isinstance(output, tuple) else (output,)
        results = []
        for (name, shape), value in zip(self.results.items(), output, strict=True):
            owns = shape is None
            results.append(self._own(value, args, like.dtype, sizes) if owns else self._result(name, value, like))
        return tuple(results) if len(results) > 1 else results[0]

    def _result(self, name: str, value: Any, like: Tensor) -> Tensor:
        tensor = to_tensor(value, like)
        shape = self.results[name]
        return tensor.to(like.dtype if shape is None or shape.dtype is None else shape.dtype)

    def _own(self, native: Any, args: Sequence[Any], dtype: torch.dtype, sizes: dict[str, Any]) -> Tensor:
        memory = np.zeros(2, np.int64).view(Owner)
        memory.native, memory.operator, memory.dtype_of, memory.sizes = native, self, dtype, sizes
        memory.absent = [name for name in self.needed if args[self.names.index(name)] is None]
        _owners[memory.ctypes.data] = memory
        return torch.from_numpy(memory)

    def _owner(self, args: Sequence[Any], like: Tensor | None) -> Owner | None:
        if not any(p.hint is Owner for p in self.parameters) or like is None or like.dtype not in FLOATS:
            return None  # the latter are refused by `check`
        memory = _owners.get(args[0].data_ptr()) if args[0].is_cpu else None
        if memory is None:
            raise ConfigError(
                "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the "
                "states; do not copy or move saved tensors of this operator"
            )
        if memory.operator is not self.forward or memory.dtype_of != like.dtype:
            raise ConfigError("trajectory: expected one of the same operator and dtype, got another")
        if memory.native is None:
            raise ConfigError("trajectory: expected one of a differentiable rollout, got one without states")
        return memory

    def _fake(self, *args: Any) -> Any:
        sizes: dict[str, Any] = {}
        self.check(args, sizes)
        like = next(args[k] for k, _, _, _ in self.tensors if args[k] is not None)
        names = list(self.results)
        if self.listed:
            wrt = args[self.names.index("wrt")]
            names = [name for bit, name in enumerate(names) if wrt >> bit & 1]
        shapes = [self.results[name] for name in names]
        empty = [torch.empty((2,), dtype=torch.int64) if s is None else s.empty(sizes, like) for s in shapes]
        return empty if self.listed else tuple(empty) if len(empty) > 1 else empty[0]

    # Gradients.

    def set_adjoint(self, adjoint: Operator) -> None:
        """Give the operator the gradient that `adjoint` computes."""
        self.adjoint = adjoint
        outputs = list(self.results)
        self.constant = [
            k for k, (name, shape) in enumerate(self.results.items())
            if f"adj_{name}" not in adjoint.names and shape is not None and shape.dtype is None
        ]  # fmt: skip
        self.differentiable = [self.names.index(name) for name in adjoint.wrt if name in self.names]
        # Where each argument of the adjoint comes from: cotangents, or what `save` keeps.
        self.sources: list[tuple[str, Any]] = []
        for parameter in adjoint.parameters:
            name = parameter.name
            if name.startswith("adj_"):
                self.sources.append(("cotangent", outputs.index(name[4:])))
            elif parameter.hint is Wrt:
                self.sources.append(("wrt", None))
            elif parameter.hint is Owner:
                self.sources.append(("output", outputs.index(name)))
            elif parameter.hint == Size:
                sized = next((k, s.axes.index(name)) for k, _, s, _ in self.tensors if name in s.axes)
                self.sources.append(("size", sized))
            else:
                self.sources.append(("input" if parameter.shape else "option", self.names.index(name)))
        self.set_gradient(self.save, self._backward)

    def save(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what the adjoint needs, as `torch.autograd.Function.setup_context` does."""
        outputs = output if isinstance(output, tuple) else (output,)
        ctx.set_materialize_grads(False)
        if self.constant:
            ctx.mark_non_differentiable(*[outputs[k] for k in self.constant])
        saved, options = [], []
        for source, index in self.sources:
            if source == "input":
                saved.append(inputs[index])
            elif source == "output":
                saved.append(outputs[index])
            elif source == "option":
                options.append(inputs[index])
            elif source == "size":
                options.append(0 if inputs[index[0]] is None else inputs[index[0]].shape[index[1]])
        for k in self.differentiable:
            if inputs[k] is not None and inputs[k].requires_grad:
                saved.append(inputs[k])  # what `once` depends on
                break
        ctx.anchor = len(saved) - 1
        if self.rereads:  # unpacking them lets PyTorch refuse inputs that were changed in place
            saved += [inputs[k] for k, _, _, _ in self.tensors]
        ctx.save_for_backward(*saved)
        ctx.options = options

    def pull_back(self, ctx: Any, adjoints: Sequence[Tensor | None], needed: Sequence[bool]) -> list[Tensor | None]:
        """Return the gradients that are needed, in the order of `wrt` of the adjoint."""
        cotangents = [None if adj is None or adj.numel() == 0 else adj for adj in adjoints]
        if True not in needed or all(adj is None for adj in cotangents):
            return [None] * len(needed)
        saved = ctx.saved_tensors
        tensors, options, args = iter(saved), iter(ctx.options), []
        for source, index in self.sources:
            if source == "cotangent":
                args.append(cotangents[index])
            elif source == "wrt":
                args.append(sum([1 << bit for bit, need in enumerate(needed) if need]))
            else:
                args.append(next(tensors if source in ("input", "output") else options))
        output = self.adjoint(*args)
        gradients = once(saved[ctx.anchor], output if isinstance(output, tuple | list) else (output,))
        if not self.adjoint.listed:
            return [g if need else None for g, need in zip(gradients, needed, strict=True)]
        requested = iter(gradients)
        return [next(requested) if need else None for need in needed]

    def _backward(self, ctx: Any, *adjoints: Tensor | None) -> tuple[Tensor | None, ...]:
        result: list[Tensor | None] = [None] * len(self.names)
        needed = [ctx.needs_input_grad[k] for k in self.differentiable]
        for k, gradient in zip(self.differentiable, self.pull_back(ctx, adjoints, needed), strict=True):
            result[k] = gradient
        return tuple(result)

    def set_gradient(self, *parts: Callable[..., Any]) -> None:
        """Set the gradient for calls of this object and of `torch.ops.diffmpm`; see `Function`."""

        def forward(*args: Any) -> Any:
            output = self.below_autograd(args)
            return tuple(output) if isinstance(output, list) else output

        def autograd(*args: Any) -> Any:
            return self.function.apply(*args) if _tracked(args) else self.below_autograd(args)

        self.function = Function(self.name, forward, *parts)
        _registry.impl(self.name, autograd, "Autograd")


OPERATORS: dict[str, Operator] = {}


def operator(**declaration: Any) -> Callable[[Kernel], Operator]:
    """Declare an operator by its kernel in Python; see `Operator`."""

    def declare(kernel: Kernel) -> Operator:
        declared = Operator(kernel, **declaration)
        OPERATORS[declared.name] = declared
        return declared

    return declare


def as_size(value: Any, name: str, least: int, most: int) -> int:
    """Return an integer within limits; torch.compile may pass a symbolic one.

    Raises:
        ConfigError: If it is outside of them, or not an integer.
    """
    if isinstance(value, int | torch.SymInt) and not isinstance(value, bool) and least <= value <= most:
        return value  # type: ignore[return-value]
    return as_integer(value, name, Range(least=least, most=most))


def _raise_failure(error: RuntimeError) -> str:
    """Raise the exception of the package for a failure of a native operator; return the cause of any other error."""
    failure = _FAILURE.search(str(error))
    if failure is None or type(error) is not RuntimeError:
        return ""
    what, cause, particle, step = failure.groups()
    if cause == "check":
        return cause
    if cause == "interrupted":
        raise KeyboardInterrupt from None
    if cause == "memory":
        raise MemoryError(what) from None
    if cause == "argument":
        raise ConfigError(what) from None
    if cause == "device":
        raise DeviceError(what) from None
    raise simulation_error(what, int(particle), int(step), cause) from None


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
    """Save nothing for the backward pass."""


class Function:
    """A function with a gradient, for autograd and the transforms of torch.func; refuses all others with a message.

    Args:
        name: Name in messages.
        forward: Function of the arguments.
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
        parts = {"backward": backward, "jvp": jvp}
        self._plain = _subclass(name, {**parts, "forward": run})
        self._transformed = _subclass(
            name, {**parts, "forward": forward, "setup_context": setup, "vmap": _refuse_vmap(name)}
        )

    def apply(self, *args: Any) -> Any:
        """Call the function."""
        return (self._transformed if in_transform() else self._plain).apply(*args)  # type: ignore[no-untyped-call]


def _subclass(name: str, parts: dict[str, Callable[..., Any]]) -> type[torch.autograd.Function]:
    methods = {key: staticmethod(part) for key, part in parts.items()}
    return types.new_class(name, (torch.autograd.Function,), exec_body=lambda body: body.update(methods))


def in_transform() -> bool:
    """Return whether a transform of torch.func is active."""
    return torch._C._are_functorch_transforms_active()


def _tracked(args: Iterable[Any]) -> bool:
    """Return whether PyTorch differentiates by one of the arguments, in reverse or in forward mode."""
    reverse, dual = torch.is_grad_enabled(), torch.autograd.forward_ad
    forward = dual._current_level >= 0 and torch._C._is_fwd_grad_enabled()
    if not reverse and not forward:
        return False
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    return (reverse and any(tensor.requires_grad for tensor in tensors)) or (
        forward and any(dual.unpack_dual(tensor).tangent is not None for tensor in tensors)
    )


_once = Function("gradient", lambda anchor, *gradients: tuple(g.view_as(g) for g in gradients), nothing, refuse_double)


def once(anchor: Tensor, gradients: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return gradients that depend on `anchor`, an input of the operator, and refuse to be differentiated.

    Under create_graph=True a second derivative is an error and not zero.
    """
    if not torch.is_grad_enabled():
        return tuple(gradients)
    return _once.apply(anchor, *gradients)  # type: ignore[no-any-return]


# Gradient of losses, which is computed with their value.


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


def outside_graphs(function: Result) -> Result:
    """Leave a function out of the graphs of torch.compile, which cannot trace NumPy."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        if "torch._dynamo" not in sys.modules:  # its import is slow
            return function(*args, **options)
        return torch.compiler.disable(function)(*args, **options)

    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    run._torchdynamo_disable_msg = (  # type: ignore[attr-defined]
        f"diffmpm.torch.{function.__name__} works on NumPy arrays; call it outside of the compiled function, or "
        "compile without fullgraph=True"
    )
    return run  # type: ignore[return-value]
