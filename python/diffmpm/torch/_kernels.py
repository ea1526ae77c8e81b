# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators in Python: views of the tensors go to the same core, and its results come back as tensors.

On the CPU they serve builds without the native ones; in builds with the CUDA backend they also serve CUDA tensors.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from .. import _core
from .._arrays import Array, DeviceArray
from ..errors import ConfigError, DeviceError
from ..render.camera import check_intrinsics, check_viewmats
from ._checks import GRADIENTS, RASTER_GRADIENTS, check, check_config, check_float
from ._memory import default_budget, use_memory_of_torch


class _Owner(np.ndarray):
    """Memory of a tensor that owns what an adjoint needs, found by the memory's address: a copy is not one."""

    native: Any
    dtype_of: torch.dtype
    """Of the tensors that it was made from."""
    sizes: dict[str, int]
    """Sizes that the arguments of the adjoint must have."""
    absent: tuple[str, ...]
    """Inputs that there were none of, and that have no gradient."""


_owners: weakref.WeakValueDictionary[int, _Owner] = weakref.WeakValueDictionary()


def _own(native: Any, dtype: torch.dtype, sizes: dict[str, int], absent: Iterable[str]) -> Tensor:
    memory = np.zeros(2, np.int64).view(_Owner)
    memory.native, memory.dtype_of, memory.sizes, memory.absent = native, dtype, sizes, tuple(absent)
    _owners[memory.ctypes.data] = memory
    return torch.from_numpy(memory)


def _owned(tensor: Tensor, like: Tensor, name: str, kind: str) -> _Owner:
    check_float(like, name)
    memory = _owners.get(tensor.data_ptr()) if tensor.is_cpu else None
    if memory is None:
        raise ConfigError(
            "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the "
            "states; do not copy or move saved tensors of this operator"
        )
    if memory.native is None:
        raise ConfigError("trajectory: expected one of a differentiable rollout, got one without states")
    if not type(memory.native).__name__.startswith(kind) or memory.dtype_of != like.dtype:
        raise ConfigError("trajectory: expected one of the same operator and dtype, got another")
    return memory


def _names(wrt: int, names: Sequence[str], owner: _Owner, whose: str) -> list[str]:
    """Return the names of the gradients that are wanted.

    Raises:
        ConfigError: If there are none of an input.
    """
    wanted = [name for bit, name in enumerate(names) if wrt >> bit & 1]
    for name in wanted:
        if name in owner.absent:
            raise ConfigError(f"wrt: expected inputs that the {whose}, got {name}")
    return wanted


def _array(tensor: Tensor) -> Array:
    plain = tensor.detach().contiguous()
    array: Array = _from_device(plain) if _on_device(plain) else plain.numpy()
    return array


def _maybe(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else _array(tensor)


def _tensors(*arrays: Array) -> tuple[Tensor, ...]:
    return tuple(_to_device(a) if isinstance(a, DeviceArray) else torch.from_numpy(a) for a in arrays)


def _on_device(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _device_index(tensor: Tensor) -> int:
    return int(tensor.device.index)


def _from_device(tensor: Tensor) -> Array:
    if tensor.dtype not in (torch.float32, torch.float64):
        return _core.from_dlpack(tensor)  # says what is wrong
    # The work goes on PyTorch's own stream: nothing has to be waited for, as DLPack would.
    dtype = str(tensor.dtype).removeprefix("torch.")
    return _core.view_memory(tensor.data_ptr(), tuple(tensor.shape), dtype, _device_index(tensor), tensor)


def _to_device(array: DeviceArray) -> Tensor:
    """Return an array on a device as a tensor on its memory: of PyTorch's own memory, where it is that."""
    if array.owner is None:
        return from_dlpack(array.__dlpack__(stream=-1))  # type: ignore[no-any-return]
    dtype = torch.float64 if array.dtype == np.float64 else torch.float32
    values: Tensor = array.owner[: array.size * dtype.itemsize].view(dtype)
    return values.view(array.shape)


@contextlib.contextmanager
def _current_stream(tensor: Tensor) -> Iterator[None]:
    """Let the core put its work on PyTorch's stream of a tensor's device, and take its memory from PyTorch.

    Raises:
        DeviceError: If the stream is being captured into a graph.
    """
    device = _device_index(tensor)
    with torch.cuda.device(device):
        if torch.cuda.is_current_stream_capturing():
            raise DeviceError(
                "diffmpm: the stream is being captured into a CUDA graph, which cannot hold calls that wait for the "
                "device; call them outside of torch.cuda.graph"
            )
        use_memory_of_torch()
        stream = torch.cuda.current_stream().cuda_stream
        before, lent = _core.set_stream(stream, device), _core.lend(device, stream)
        try:
            yield
        finally:
            _core.lend(*lent)
            _core.set_stream(before, device)


def on_device(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel for CUDA tensors: the same, on the stream of the first tensor that is on a device."""

    @functools.wraps(kernel)
    def on_stream(*args: Any) -> Any:
        first = next(arg for arg in args if isinstance(arg, Tensor) and _on_device(arg))
        with _current_stream(first):
            return kernel(*args)

    return on_stream


def _check_constants(mass: Array, volume: Array, lam: Array, mu: Array) -> None:
    """Refuse constants that are not finite or have the wrong sign.

    Raises:
        ConfigError: If there are some.
    """
    if not isinstance(mass, DeviceArray):
        try:
            _core.check_constants(mass, volume, lam, mu)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return
    counts = _core.count_invalid_properties(mass, volume, lam, mu)
    for name, sign, bad in zip(("mass", "volume", "lam", "mu"), (">", ">", ">=", ">="), counts, strict=True):
        if bad > 0:
            raise ConfigError(f"{name}: expected finite values {sign} 0, got some that are not")


def _rollout(
    x: Tensor, v: Tensor, C: Tensor, F: Tensor, Fp: Tensor | None, control: Tensor | None, mass: Tensor,
    volume: Tensor, lam: Tensor, mu: Tensor, gravity: Tensor | None, drag: Tensor | None, whole: list[int],
    real: list[float], steps: int, stride: int, layers: list[int], motion_gradient: bool, differentiable: bool,
    memory_budget: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    constants = [_array(t) for t in (mass, volume, lam, mu)]
    _check_constants(*constants)
    if forces := [t.reshape(-1) for t in (gravity, drag) if t is not None]:
        numbers = torch.cat(forces).tolist()  # from a device at once
        real = [*real[:9], *(real[9:12] if gravity is None else numbers[:3]), *real[12:]]
        real[12] = real[12] if drag is None else numbers[-1]
    params = check_config(whole, real)
    if memory_budget == 0 and _on_device(x):
        memory_budget = default_budget(_device_index(x))
    make = _core.Rollout32 if x.dtype == torch.float32 else _core.Rollout64
    native = make(
        params, _array(x), _array(v), _array(C), _array(F), _maybe(Fp), *constants, _maybe(control), stride, steps,
        motion_gradient, differentiable, memory_budget,
    )  # fmt: skip
    sizes = {"n": x.shape[0], "steps": steps, "l": 0 if control is None else control.shape[0]}
    absent = ["Fp"] * (Fp is None) + ["G"] * (not motion_gradient)
    trajectory = _own(native if differentiable else None, x.dtype, sizes, absent)
    states = _tensors(*_core.stacked_states(native, layers or [steps]))  # G is empty where it was not asked for
    return *(s if layers or s.dim() == 1 else s[0] for s in states), trajectory


def _rollout_vjp(
    trajectory: Tensor, adj_x: Tensor | None, adj_v: Tensor | None, adj_C: Tensor | None, adj_F: Tensor | None,
    adj_G: Tensor | None, layers: list[int], wrt: int, control_layers: int,
) -> list[Tensor]:  # fmt: skip
    given = {"adj_x": adj_x, "adj_v": adj_v, "adj_C": adj_C, "adj_F": adj_F, "adj_G": adj_G}
    name, like = next(((name, adj) for name, adj in given.items() if adj is not None), ("adj_x", None))
    if like is None:
        raise ConfigError("adj_x: expected at least one cotangent, got none")
    owner = _owned(trajectory, like, name, "Rollout")
    check(
        "rollout_vjp", (trajectory, adj_x, adj_v, adj_C, adj_F, adj_G, layers, wrt, control_layers),
        n=owner.sizes["n"], steps=owner.sizes["steps"],
    )  # fmt: skip
    if adj_G is not None and "G" in owner.absent:
        raise ConfigError("adj_G: expected None for a rollout without motion gradients, got a tensor")
    names = _names(wrt, GRADIENTS, owner, "rollout has")
    if "control" in names and control_layers != owner.sizes["l"]:
        raise ConfigError(f"control_layers: expected {owner.sizes['l']}, those of the rollout, got {control_layers}")
    native = owner.native
    arrays = [_maybe(adj) for adj in (adj_x, adj_v, adj_C, adj_F, adj_G)]
    cotangents = [(layer, *(None if a is None else a[k] for a in arrays)) for k, layer in enumerate(layers)]
    if not layers:
        cotangents = [(native.steps, *arrays)]
    found = native.vjp(cotangents, names)
    numbers = {name: like.new_tensor(found[name]) for name in ("gravity", "drag") if name in names}
    return [numbers[name] if name in numbers else _tensors(found[name])[0] for name in names]


def _grid_mass(x: Tensor, mass: Tensor, whole: list[int], real: list[float]) -> Tensor:
    return _tensors(_core.grid_mass(check_config(whole, real), _array(x), _array(mass)))[0]


def _grid_mass_vjp(
    x: Tensor, mass: Tensor, adj_grid_mass: Tensor, whole: list[int], real: list[float]
) -> tuple[Tensor, ...]:
    params = check_config(whole, real)
    return _tensors(*_core.grid_mass_vjp(params, _array(x), _array(mass), _array(adj_grid_mass)))


def _mass_loss(m: Tensor, target: Tensor, kind: int, m_ref: float, outside_weight: float) -> tuple[Tensor, Tensor]:
    if _on_device(m):
        value, adj = _tensors(
            *_core.put_loss_grid_mass(_core.MassLoss(kind), _array(m), _array(target), m_ref, outside_weight)
        )
        return value.to(m.dtype), adj
    value, adj = _core.loss_grid_mass(_core.MassLoss(kind), _array(m), _array(target), m_ref, outside_weight)
    return m.new_tensor(value), _tensors(adj)[0]


def _kinetic_loss(v: Tensor) -> tuple[Tensor, Tensor]:
    if _on_device(v):
        value, adj = _tensors(*_core.put_loss_kinetic(_array(v)))
        return value.to(v.dtype), adj
    value, adj = _core.loss_kinetic(_array(v))
    return v.new_tensor(value), _tensors(adj)[0]


def _once(tensor: Tensor, fact: object, look: Callable[[], object]) -> None:
    """Look at the values of a tensor; those on a device once, and again when PyTorch has noticed a change of theirs."""
    if not _on_device(tensor) or tensor.is_inference():
        look()
    elif getattr(tensor, "_diffmpm_checked", None) != (tensor._version, fact):
        look()
        mark_checked(tensor, fact)


def mark_checked(tensor: Tensor, fact: object = None) -> None:
    """Note on a tensor that its values have been looked at."""
    tensor._diffmpm_checked = tensor._version, fact  # type: ignore[attr-defined]


def _check_cameras(viewmats: Tensor, Ks: Tensor) -> None:
    """Refuse matrices that are no poses, or no intrinsic ones; on a device that waits for it."""
    _once(viewmats, None, lambda: check_viewmats(viewmats.cpu().numpy(), "viewmats", (None,)))
    _once(Ks, None, lambda: check_intrinsics(Ks.cpu().numpy(), "Ks", (None,)))


def _rasterize(
    means: Tensor, covars: Tensor | None, quats: Tensor | None, scales: Tensor | None, opacities: Tensor,
    colors: Tensor, backgrounds: Tensor | None, viewmats: Tensor, Ks: Tensor, width: int, height: int,
    near_plane: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    _check_cameras(viewmats, Ks)
    make = _core.Rasterization32 if means.dtype == torch.float32 else _core.Rasterization64
    native = make(
        _array(means), _maybe(covars), _maybe(quats), _maybe(scales), _array(opacities), _array(colors),
        _maybe(backgrounds), _array(viewmats), _array(Ks), width, height, near_plane,
    )  # fmt: skip
    drawn = _tensors(*(getattr(native, name) for name in ("color", "alpha", "depth", "means2d", "extents", "depths")))
    sizes = {"n": means.shape[0], "c": viewmats.shape[0], "h": height, "w": width, "k": colors.shape[-1]}
    inputs = {"covars": covars, "quats": quats, "scales": scales, "backgrounds": backgrounds}
    absent = (name for name, value in inputs.items() if value is None)
    images = _own(native, means.dtype, {**sizes, "axes_of_colors": colors.dim()}, absent)
    if _on_device(means):
        counts = _tensors(*native.counts_on_device)  # integers, handed over as the bits of floats
        return *drawn, *(count.view(torch.int64) for count in counts), images
    return *drawn, *_tensors(native.status_counts, native.entry_counts), images


def _rasterize_vjp(
    images: Tensor, means: Tensor, colors: Tensor, adj_color: Tensor | None, adj_alpha: Tensor | None,
    adj_depth: Tensor | None, wrt: int,
) -> list[Tensor]:  # fmt: skip
    owner = _owned(images, means, "means", "Rasterization")
    check("rasterize_vjp", (images, means, colors, adj_color, adj_alpha, adj_depth, wrt), **owner.sizes)
    names = _names(wrt, RASTER_GRADIENTS, owner, "images have")
    found = owner.native.vjp(_maybe(adj_color), _maybe(adj_alpha), _maybe(adj_depth), names)
    return list(_tensors(*(found[name] for name in names)))


def _binding_on_device(parents: Tensor, *arrays: Tensor, particles: int) -> Any:
    """Return the native binding of tensors on a device; whole numbers go there as the bits of floats."""
    _once(parents, particles, lambda: _check_parents(parents, particles))
    make = _core.DeviceBinding32 if arrays[0].dtype == torch.float32 else _core.DeviceBinding64
    return make(_array(parents.contiguous().view(torch.float32)), *map(_array, arrays), particles)


def _check_parents(parents: Tensor, particles: int) -> None:
    """Refuse parents that are no particles.

    Raises:
        ConfigError: If one is none.
    """
    low, high = torch.stack(parents.aminmax()).tolist() if parents.numel() else (0, -1)
    if low < 0 or high >= particles:
        raise ConfigError(
            f"parents: expected indices from 0 to {particles - 1}, got {low if low < 0 else high}; "
            "bind the samples to this body"
        )


def _surface(x: Tensor, F: Tensor, sigma0: Tensor, *binding: Tensor) -> tuple[Tensor, ...]:
    body = _array(x), _array(F)
    if _on_device(x):
        return _tensors(*_binding_on_device(*binding, particles=x.shape[0]).evaluate(*body, float(sigma0)))
    return _tensors(*_core.surface_evaluate(*body, *map(_array, binding), float(sigma0)))


def _surface_vjp(x: Tensor, F: Tensor, sigma0: Tensor, *rest: Tensor | None) -> tuple[Tensor, ...]:
    binding, adjoints = [t for t in rest[:5] if t is not None], [_maybe(adj) for adj in rest[5:]]
    body = _array(x), _array(F)
    if _on_device(x):
        native = _binding_on_device(*binding, particles=x.shape[0])
        adj_x, adj_F, total = _tensors(*native.vjp(*body, float(sigma0), *adjoints))
        return adj_x, adj_F, total.to(x.dtype)
    adj_x, adj_F, total = _core.surface_evaluate_vjp(*body, *map(_array, binding), float(sigma0), *adjoints)
    return *_tensors(adj_x, adj_F), torch.tensor(total, dtype=x.dtype)


def _checking(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that checks its arguments first, and refuses by the exceptions of the package."""
    of_owner = name in ("rollout_vjp", "rasterize_vjp")  # which check by the sizes of what they belong to

    @functools.wraps(kernel)
    def run(*args: Any) -> Any:
        if not of_owner:
            check(name, args)
        try:
            return kernel(*args)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from None

    return run


KERNELS: dict[str, Callable[..., Any]] = {
    name: _checking(name, kernel)
    for name, kernel in (
        ("rollout", _rollout), ("rollout_vjp", _rollout_vjp), ("grid_mass", _grid_mass),
        ("grid_mass_vjp", _grid_mass_vjp), ("mass_loss", _mass_loss), ("kinetic_loss", _kinetic_loss),
        ("rasterize", _rasterize), ("rasterize_vjp", _rasterize_vjp), ("surface", _surface),
        ("surface_vjp", _surface_vjp),
    )
}  # fmt: skip
