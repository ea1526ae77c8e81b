# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The simulation as a differentiable function of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array, DeviceArray
from .._options import Range, as_integer, as_time_step, is_real
from .._repr import short_repr
from ..config import SimConfig
from ..errors import ConfigError
from ..mpm import Rollout
from ..mpm.params import pack_params
from ..types import Particles
from ._operator import Owner, Size, Wrt, operator, outside_graphs
from ._tensors import checked, default_budget, shared

_Scalars = Annotated[Array, ("n",)]
_Vectors = Annotated[Array, ("n", 3)]
_Matrices = Annotated[Array, ("n", 3, 3)]
_StackedVectors = Annotated[Array, ("layers?", "n", 3)]
_StackedMatrices = Annotated[Array, ("layers?", "n", 3, 3)]
_COUNT, _POSITIVE = Range(least=0), Range(least=1)
_PROPERTIES = {"mass": ">", "volume": ">", "lam": ">=", "mu": ">="}


@short_repr
class States(NamedTuple):
    """Results of `rollout`; with `layers`, each tensor has them as its first axis."""

    x: Tensor
    """Positions [m], shape (N, 3)."""
    v: Tensor
    """Velocities [m/s], shape (N, 3)."""
    C: Tensor
    """Affine velocities [1/s], shape (N, 3, 3)."""
    F: Tensor
    """Deformation gradients, shape (N, 3, 3)."""
    G: Tensor | None
    """Motion gradients, shape (N, 3, 3), with `motion_gradient`."""
    grid_mass: Tensor | None
    """Mass [kg] on the grid, shape `config.dims`, with `grid_mass`."""


def _check_layers(args: Any, sizes: dict[str, Any]) -> None:
    for layer in args.layers:
        as_integer(layer, "layers", Range(least=0, most=sizes.get("steps", (1 << 31) - 1)))


def _check_count(x: Tensor) -> None:
    if x.shape[0] == 0:
        raise ConfigError("x: expected at least one particle, got shape (0, 3)")


def _check_rollout(args: Any, sizes: dict[str, Any]) -> None:
    _check_count(args.x)
    _core.unpack_params(args.config)
    _check_layers(args, sizes)
    sizes["moving"] = sizes["n"] if args.motion_gradient else 0
    most, count = -(-args.steps // args.stride), sizes.setdefault("control_steps", 0)
    if count > most:
        raise ConfigError(
            f"control: expected at most {most} control steps ({args.steps} steps, stride {args.stride}), got {count}"
        )


@operator(
    results={
        "x": ("layers?", "n", 3), "v": ("layers?", "n", 3), "C": ("layers?", "n", 3, 3), "F": ("layers?", "n", 3, 3),
        "G": ("layers?", "moving", 3, 3), "trajectory": Owner,
    },
    check=_check_rollout,
    needed=["Fp"],
)  # fmt: skip
def _rollout(
    x: _Vectors, v: _Vectors, C: _Matrices, F: _Matrices, Fp: _Matrices | None,
    control: Annotated[Array, ("control_steps", "n", 3, 3)] | None, mass: _Scalars, volume: _Scalars, lam: _Scalars,
    mu: _Scalars, gravity: Annotated[Tensor, (3,)] | None, drag: Annotated[Tensor, ()] | None, config: list[float],
    steps: Annotated[int, Range(least=0, most=(1 << 31) - 1)], stride: Annotated[int, Range(least=1)],
    layers: list[int], motion_gradient: bool, differentiable: bool, memory_budget: Annotated[int, Range(least=0)],
) -> tuple[Any, ...]:  # fmt: skip
    _check_properties(mass, volume, lam, mu)
    forces: list[Any] = [None, None]
    if passed := [t.reshape(-1) for t in (gravity, drag) if t is not None]:
        numbers = torch.cat([t.to(passed[0].device) for t in passed]).tolist()  # in one copy from a device
        forces = [numbers[:3] if gravity is not None else None, numbers[-1] if drag is not None else None]
    if memory_budget == 0 and isinstance(x, DeviceArray):
        memory_budget = default_budget(x.device_index)
    make = _core.Rollout32 if x.dtype == np.float32 else _core.Rollout64
    native = make(
        _core.unpack_params(config, *forces), x, v, C, F, Fp, mass, volume, lam, mu, control, stride, steps,
        motion_gradient, differentiable, memory_budget,
    )  # fmt: skip
    return *native.stacked_states(layers), native if differentiable else None


def _check_properties(*properties: Array) -> None:
    if not isinstance(properties[0], DeviceArray):
        return _core.check_properties(*properties)
    for (name, sign), bad in zip(_PROPERTIES.items(), _core.count_invalid_properties(*properties), strict=True):
        if bad > 0:
            raise ConfigError(f"{name}: expected finite values {sign} 0, got some that are not")


@operator(
    forward=_rollout,
    wrt=["x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag"],
    check=_check_layers,
)
def _rollout_vjp(
    trajectory: Owner, adj_x: _StackedVectors | None, adj_v: _StackedVectors | None, adj_C: _StackedMatrices | None,
    adj_F: _StackedMatrices | None, adj_G: Annotated[Array, ("layers?", "moving", 3, 3)] | None, layers: list[int],
    wrt: Wrt, control_steps: Size,
) -> dict[str, Any]:  # fmt: skip
    native: Any = trajectory
    arrays = (adj_x, adj_v, adj_C, adj_F, adj_G)
    if layers:
        cotangents = [(layer, *(None if a is None else a[k] for a in arrays)) for k, layer in enumerate(layers)]
    else:
        cotangents = [(native.steps, *arrays)]
    return native.vjp(cotangents, wrt)  # type: ignore[no-any-return]


@operator(results={"grid_mass": ("nx", "ny", "nz")})
def _grid_mass(x: _Vectors, mass: _Scalars, config: _core.MpmParams) -> Array:
    return _core.grid_mass(config, x, mass)


@operator(forward=_grid_mass, wrt=["x", "mass"])
def _grid_mass_vjp(
    x: _Vectors, mass: _Scalars, adj_grid_mass: Annotated[Array, ("nx", "ny", "nz")], config: _core.MpmParams
) -> tuple[Array, Array]:
    return _core.grid_mass_vjp(config, x, mass, adj_grid_mass)  # type: ignore[no-any-return]


def rollout(
    config: SimConfig,
    steps: int,
    *,
    x: Tensor,
    mass: Tensor | float,
    volume: Tensor | float,
    lam: Tensor | float,
    mu: Tensor | float,
    v: Tensor | None = None,
    C: Tensor | None = None,
    F: Tensor | None = None,
    Fp: Tensor | None = None,
    control: Tensor | None = None,
    control_stride: int = 1,
    gravity: Tensor | None = None,
    drag: Tensor | None = None,
    layers: Sequence[int] | None = None,
    motion_gradient: bool = False,
    grid_mass: bool = False,
    memory_budget: int | None = None,
) -> States:
    """Run the simulation; all tensors are differentiable, by the exact adjoint.

    Tensors share one dtype, float32 or float64, and one device: the CPU or, in builds with the CUDA backend, a CUDA
    device, on whose current stream the work runs. Under autocast, half precision becomes float32.

    Args:
        config: Options, with a grid (`diffmpm.Simulation(...).config` has one).
        steps: Number of steps T, at least 0.
        x: Positions [m], shape (N, 3).
        mass: Masses [kg], shape (N,), or one number, above 0.
        volume: Rest volumes [m^3], shape (N,), or one number, above 0.
        lam: First Lame parameter [Pa], shape (N,), or one number, at least 0.
        mu: Shear modulus [Pa], shape (N,), or one number, at least 0.
        v: Velocities [m/s], shape (N, 3); zero if None.
        C: Affine velocities [1/s], shape (N, 3, 3); zero if None.
        F: Deformation gradients, shape (N, 3, 3); identity if None.
        Fp: Rest state, shape (N, 3, 3), det > 0; identity if None.
        control: Increments dFc of the deformation gradient, shape (L, N, 3, 3); control step l acts at step
            l * control_stride.
        control_stride: Steps from one control step to the next, at least 1.
        gravity: Acceleration [m/s^2], shape (3,); that of `config` if None.
        drag: Linear drag [1/s], shape (); that of `config` if None.
        layers: Time steps to return, from 0 (initial state) to T (end). None: the end, without an axis for them.
        motion_gradient: Whether to return G, equation (9).
        grid_mass: Whether to return the mass on the grid.
        memory_budget: Bytes for the trajectory; states beyond it are recomputed. None: a quarter of the free memory.

    Raises:
        ConfigError: If an argument does not fit.
        SimulationError: If a step produces an invalid state; in backward, if its adjoint does not exist.

    References:
        Equations (1)-(9) and section 3 of docs/method.md.
    """
    x = checked(x, "x", (None, 3), cuda=True)
    _check_count(x)
    n = x.shape[0]
    count, stride = as_integer(steps, "steps", _COUNT), as_integer(control_stride, "control_stride", _POSITIVE)
    budget = 0 if memory_budget is None else as_integer(memory_budget, "memory_budget", _POSITIVE)
    numbers = pack_params(config)
    stacked = [] if layers is None else [as_time_step(layer, count, "layers") for layer in layers]
    if layers is not None and not stacked:
        raise ConfigError("layers: expected at least one layer, or None for the end alone, got an empty list")
    inputs = _rollout.accept(
        x,
        v=x.new_zeros((n, 3)) if v is None else v,
        C=x.new_zeros((n, 3, 3)) if C is None else C,
        F=torch.eye(3, dtype=x.dtype, device=x.device).expand(n, 3, 3) if F is None else F,
        Fp=Fp,
        control=control,
        mass=_per_particle(mass, "mass", x),
        volume=_per_particle(volume, "volume", x),
        lam=_per_particle(lam, "lam", x),
        mu=_per_particle(mu, "mu", x),
        gravity=gravity,
        drag=drag,
    )
    differentiable = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    options = (numbers, count, stride, stacked, bool(motion_gradient), differentiable, budget)
    x, v, C, F, motion, _ = _rollout(*inputs, *options)
    masses = None
    if grid_mass:
        each = [_grid_mass(positions, inputs[6], numbers) for positions in (x if stacked else (x,))]
        masses = torch.stack(each) if stacked else each[0]
    return States(x, v, C, F, motion if motion_gradient else None, masses)


def grid_mass(x: Tensor, mass: Tensor | float, config: SimConfig) -> Tensor:
    """Spread particle masses over the grid nodes, with the arguments and errors of `diffmpm.mpm.grid_mass`.

    The mass may be one number for all particles. Positions and masses are differentiable.
    """
    x = checked(x, "x", (None, 3), cuda=True)
    inputs = _grid_mass.accept(x, mass=_per_particle(mass, "mass", x))
    return _grid_mass(*inputs, pack_params(config))


def _per_particle(value: Tensor | float, name: str, x: Tensor) -> Tensor:
    """Return a number, or a tensor without axes, as a tensor of one value per particle."""
    if isinstance(value, Tensor):
        return value if value.dim() > 0 else checked(value, name, (), x).expand(x.shape[0])
    if not is_real(value):
        raise ConfigError(f"{name}: expected a number or a tensor of shape (N,), got {type(value).__name__}")
    return x.new_full((x.shape[0],), value)


@outside_graphs
def tensors(particles: Particles) -> dict[str, Any]:
    """Return the arrays of particles as tensors that share their memory: keyword arguments of `rollout`.

    Args:
        particles: State and particle properties.

    Returns:
        x, v, C, F, mass, volume, lam, mu, and Fp if the particles have a rest state. Do not write into them.
        (Values are typed Any: type checkers refuse `**` of a dictionary of tensors beside other options.)
    """
    names = ("x", "v", "C", "F", "Fp", "mass", "volume", "lam", "mu")
    arrays = {name: getattr(particles, name) for name in names}
    return {name: shared(array) for name, array in arrays.items() if array is not None}


def attach(roll: Rollout, layer: int, control: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions and deformation gradients of a finished rollout as functions of its controls.

    Args:
        roll: A differentiable rollout.
        layer: Time step, 0 to T.
        control: Controls of the rollout, shape (L, N, 3, 3); their present values do not matter.

    Returns:
        x, shape (N, 3), and F, shape (N, 3, 3), dtype of the particles.
    """
    x, F = _Attach.apply(roll, layer, control)
    return x, F


class _Attach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, roll: Rollout, layer: int, control: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.roll, ctx.layer = roll, layer
        state = roll.state(layer)
        return torch.from_numpy(state.x), torch.from_numpy(state.F)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adj_x: Tensor | None, adj_F: Tensor | None) -> tuple[Tensor | None, ...]:
        adjoints = {"adj_x": adj_x, "adj_F": adj_F}
        cotangents: dict[str, Array] = {k: a.contiguous().numpy() for k, a in adjoints.items() if a is not None}
        control = ctx.roll.vjp(layers={ctx.layer: cotangents}, wrt=("control",)).control
        return None, None, torch.from_numpy(control)
