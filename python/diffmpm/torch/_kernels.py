# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators in Python, for builds without the native ones: NumPy views of the tensors go to the same core."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array
from ..errors import ConfigError

GRADIENTS = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag")
"""Inputs of `rollout` in the order of the bits of `wrt` and of the gradients that `rollout_vjp` returns."""
RASTER_GRADIENTS = ("means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats")
"""Likewise for `rasterize` and `rasterize_vjp`."""


class _Owner(np.ndarray):
    """Memory of a tensor that owns what an adjoint needs, found by the memory's address: a copy is not one."""

    native: Any


_owners: weakref.WeakValueDictionary[int, _Owner] = weakref.WeakValueDictionary()


def _own(native: Any, first: int, second: int) -> Tensor:
    memory = np.array([first, second], np.int64).view(_Owner)
    memory.native = native
    _owners[memory.ctypes.data] = memory
    return torch.from_numpy(memory)


def _owned(tensor: Tensor) -> Any:
    memory = _owners.get(tensor.data_ptr())
    if memory is None:
        raise ConfigError(
            "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the "
            "states; do not copy or move saved tensors of this operator"
        )
    if memory.native is None:
        raise ConfigError("trajectory: expected one of a differentiable rollout, got one without states")
    return memory.native


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().contiguous().numpy()
    return array


def _maybe(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else _array(tensor)


def _tensors(*arrays: Array) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in arrays)


def _rollout(
    x: Tensor, v: Tensor, C: Tensor, F: Tensor, Fp: Tensor | None, control: Tensor | None, mass: Tensor,
    volume: Tensor, lam: Tensor, mu: Tensor, gravity: Tensor | None, drag: Tensor | None, whole: list[int],
    real: list[float], steps: int, stride: int, layers: list[int], motion_gradient: bool, differentiable: bool,
    memory_budget: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    constants = [_array(t) for t in (mass, volume, lam, mu)]
    try:
        _core.check_constants(*constants)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    params = _core.unpack_params(whole, real)
    if gravity is not None:
        params.gravity = tuple(map(float, gravity.tolist()))
    if drag is not None:
        params.drag = float(drag)
    make = _core.Rollout32 if x.dtype == torch.float32 else _core.Rollout64
    native = make(
        params, _array(x), _array(v), _array(C), _array(F), _maybe(Fp), *constants, _maybe(control), stride, steps,
        motion_gradient, differentiable, memory_budget,
    )  # fmt: skip
    trajectory = _own(native if differentiable else None, steps, x.shape[0])
    states = _tensors(*_core.stacked_states(native, layers or [steps]))
    return *(s if layers or s.dim() == 1 else s[0] for s in states), trajectory


def _rollout_vjp(
    trajectory: Tensor, adj_x: Tensor | None, adj_v: Tensor | None, adj_C: Tensor | None, adj_F: Tensor | None,
    adj_G: Tensor | None, layers: list[int], wrt: int, control_layers: int,
) -> list[Tensor]:  # fmt: skip
    native = _owned(trajectory)
    arrays = [_maybe(adj) for adj in (adj_x, adj_v, adj_C, adj_F, adj_G)]
    dtype = next(array.dtype for array in arrays if array is not None)
    cotangents = [(layer, *(None if a is None else a[k] for a in arrays)) for k, layer in enumerate(layers)]
    if not layers:
        cotangents = [(native.steps, *arrays)]
    names = [name for bit, name in enumerate(GRADIENTS) if wrt >> bit & 1]
    found = native.vjp(cotangents, names)
    return [torch.from_numpy(np.asarray(found[name], dtype)) for name in names]


def _grid_mass(x: Tensor, mass: Tensor, whole: list[int], real: list[float]) -> Tensor:
    return torch.from_numpy(_core.grid_mass(_core.unpack_params(whole, real), _array(x), _array(mass)))


def _grid_mass_vjp(
    x: Tensor, mass: Tensor, adj_grid_mass: Tensor, whole: list[int], real: list[float]
) -> tuple[Tensor, ...]:
    params = _core.unpack_params(whole, real)
    return _tensors(*_core.grid_mass_vjp(params, _array(x), _array(mass), _array(adj_grid_mass)))


def _mass_loss(m: Tensor, target: Tensor, kind: int, m_ref: float, outside_weight: float) -> tuple[Tensor, Tensor]:
    value, adj = _core.loss_grid_mass(kind, _array(m), _array(target), m_ref, outside_weight)
    return torch.tensor(value, dtype=m.dtype), torch.from_numpy(adj)


def _kinetic_loss(v: Tensor) -> tuple[Tensor, Tensor]:
    value, adj = _core.loss_kinetic(_array(v))
    return torch.tensor(value, dtype=v.dtype), torch.from_numpy(adj)


def _rasterize(
    means: Tensor, covars: Tensor | None, quats: Tensor | None, scales: Tensor | None, opacities: Tensor,
    colors: Tensor, backgrounds: Tensor | None, viewmats: Tensor, Ks: Tensor, width: int, height: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    make = _core.Rasterization32 if means.dtype == torch.float32 else _core.Rasterization64
    native = make(
        _array(means), _maybe(covars), _maybe(quats), _maybe(scales), _array(opacities), _array(colors),
        _maybe(backgrounds), _array(viewmats), _array(Ks), width, height,
    )  # fmt: skip
    names = ("color", "alpha", "depth", "means2d", "extents", "depths", "status_counts", "entry_counts")
    images = _own(native, viewmats.shape[0], means.shape[0])
    return *_tensors(*(getattr(native, name) for name in names)), images


def _rasterize_vjp(
    images: Tensor, means: Tensor, colors: Tensor, adj_color: Tensor | None, adj_alpha: Tensor | None,
    adj_depth: Tensor | None, wrt: int,
) -> list[Tensor]:  # fmt: skip
    names = [name for bit, name in enumerate(RASTER_GRADIENTS) if wrt >> bit & 1]
    found = _owned(images).vjp(_maybe(adj_color), _maybe(adj_alpha), _maybe(adj_depth), names)
    return [torch.from_numpy(found[name]) for name in names]


def _surface(x: Tensor, F: Tensor, sigma0: Tensor, *binding: Tensor) -> tuple[Tensor, ...]:
    return _tensors(*_core.surface_evaluate(_array(x), _array(F), *map(_array, binding), float(sigma0)))


def _surface_vjp(x: Tensor, F: Tensor, sigma0: Tensor, *rest: Tensor | None) -> tuple[Tensor, ...]:
    binding, adjoints = rest[:5], rest[5:]
    arrays = [_array(t) for t in binding if t is not None]
    adj_x, adj_F, adj_sigma0 = _core.surface_evaluate_vjp(
        _array(x), _array(F), *arrays, float(sigma0), *map(_maybe, adjoints)
    )
    return *_tensors(adj_x, adj_F), torch.tensor(adj_sigma0, dtype=x.dtype)


KERNELS: dict[str, Callable[..., object]] = {
    "rollout": _rollout,
    "rollout_vjp": _rollout_vjp,
    "grid_mass": _grid_mass,
    "grid_mass_vjp": _grid_mass_vjp,
    "mass_loss": _mass_loss,
    "kinetic_loss": _kinetic_loss,
    "rasterize": _rasterize,
    "rasterize_vjp": _rasterize_vjp,
    "surface": _surface,
    "surface_vjp": _surface_vjp,
}
