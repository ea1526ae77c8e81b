# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators in Python, for builds without the native ones: NumPy views of the tensors go to the same core."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array
from ..errors import ConfigError

_NAMES = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag")


class _Trajectory(np.ndarray):
    """Memory of a trajectory tensor; owns the rollout, which is found by the memory's address: a copy is not one."""

    native: Any


_trajectories: weakref.WeakValueDictionary[int, _Trajectory] = weakref.WeakValueDictionary()


def _own(native: Any, steps: int, count: int) -> Tensor:
    memory = np.array([steps, count], np.int64).view(_Trajectory)
    memory.native = native
    _trajectories[memory.ctypes.data] = memory
    return torch.from_numpy(memory)


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
    memory = _trajectories.get(trajectory.data_ptr())
    if memory is None:
        raise ConfigError(
            "trajectory: expected the tensor that rollout returned, got a copy of it, which does not hold the states; "
            "do not copy or move saved tensors of this operator"
        )
    if memory.native is None:
        raise ConfigError("trajectory: expected one of a differentiable rollout, got one without states")
    arrays = [_maybe(adj) for adj in (adj_x, adj_v, adj_C, adj_F, adj_G)]
    dtype = next(array.dtype for array in arrays if array is not None)
    cotangents = [(layer, *(None if a is None else a[k] for a in arrays)) for k, layer in enumerate(layers)]
    if not layers:
        cotangents = [(memory.native.steps, *arrays)]
    names = [name for bit, name in enumerate(_NAMES) if wrt >> bit & 1]
    found = memory.native.vjp(cotangents, names)
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


KERNELS = {
    "rollout": _rollout,
    "rollout_vjp": _rollout_vjp,
    "grid_mass": _grid_mass,
    "grid_mass_vjp": _grid_mass_vjp,
    "mass_loss": _mass_loss,
    "kinetic_loss": _kinetic_loss,
}
