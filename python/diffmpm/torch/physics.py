# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The simulation as a differentiable function of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._options import is_real
from ..config import BASES, BOUNDARIES, MATERIALS, HalfSpace, SimConfig
from ..errors import ConfigError
from ..types import Particles
from ._checks import check_control, checked, integer
from ._operators import call, outside_graphs


class States(NamedTuple):
    """Outputs of `rollout`; with `layers` given, each tensor has the layers as its first axis."""

    x: Tensor
    """Positions [m], shape (N, 3)."""
    v: Tensor
    """Velocities [m/s], shape (N, 3)."""
    C: Tensor
    """Affine velocities [1/s], shape (N, 3, 3)."""
    F: Tensor
    """Deformation gradients, shape (N, 3, 3)."""
    G: Tensor | None
    """Motion gradients, shape (N, 3, 3), where `motion_gradient` was asked for."""
    grid_mass: Tensor | None
    """Mass [kg] on the grid, shape `config.dims`, where `grid_mass` was asked for."""


@outside_graphs
def tensors(particles: Particles) -> dict[str, Any]:
    """Return the arrays of particles as tensors that share their memory: keyword arguments of `rollout`.

    Args:
        particles: State and constants.

    Returns:
        x, v, C, F, mass, volume, lam, mu, and Fp where the particles have a rest state. Do not write into them.
        (Values are typed Any: type checkers refuse `**` of a dictionary of tensors where there are other options.)
    """
    names = ("x", "v", "C", "F", "Fp", "mass", "volume", "lam", "mu")
    arrays = {name: getattr(particles, name) for name in names}
    return {name: shared(array) for name, array in arrays.items() if array is not None}


def shared(array: np.ndarray) -> Tensor:
    """Return a tensor on an array's memory; a read-only array is copied, because tensors cannot protect it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


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
    """Run the simulation; the gradient of every tensor given is that of the exact adjoint.

    Tensors share one dtype, float32 or float64, and one device: the CPU or, in builds with the CUDA backend,
    a CUDA device, on whose current stream the work is then put. Under autocast, half precision becomes float32.

    Args:
        config: Options, with a grid (`diffmpm.Simulation(...).config` has one). Its gravity and drag are used where the
            arguments of these names are None.
        steps: Number of steps T, at least 0.
        x: Positions [m], shape (N, 3). Differentiable, as are all tensors below.
        mass: Masses [kg], shape (N,), or one number, above 0.
        volume: Rest volumes [m^3], shape (N,), or one number, above 0.
        lam: First Lame parameter [Pa], shape (N,), or one number, at least 0.
        mu: Shear modulus [Pa], shape (N,), or one number, at least 0.
        v: Velocities [m/s], shape (N, 3); zero if None.
        C: Affine velocities [1/s], shape (N, 3, 3); zero if None.
        F: Deformation gradients, shape (N, 3, 3); identity if None.
        Fp: Rest state, shape (N, 3, 3), det > 0; identity if None.
        control: Increments dFc of the deformation gradient, shape (L, N, 3, 3); layer l acts at step
            l * control_stride.
        control_stride: Steps from one control layer to the next, at least 1.
        gravity: Acceleration [m/s^2], shape (3,).
        drag: Linear drag [1/s], a tensor of shape ().
        layers: Layers to return, from 0 (initial state) to T (end); None for the end alone, without that axis.
        motion_gradient: Whether to carry and return G, equation (9).
        grid_mass: Whether to return the mass on the grid.
        memory_budget: Bytes for the trajectory; past it, layers are recomputed. None: a quarter of the free memory.

    Raises:
        ConfigError: If an argument does not fit.
        SimulationError: If a step produces a state that cannot be continued from; in backward, if its adjoint does not
            exist.

    References:
        Equations (1)-(9) and section 3 of docs/method.md.
    """
    x = checked(x, "x", (None, 3), anywhere=True)
    n = x.shape[0]
    if n == 0:
        raise ConfigError("x: expected at least one particle, got shape (0, 3)")
    count, stride = integer(steps, "steps", 0), integer(control_stride, "control_stride", 1)
    whole, real = pack_config(config)
    wanted = [] if layers is None else [_layer(layer, count) for layer in layers]
    if layers is not None and not wanted:
        raise ConfigError("layers: expected at least one layer, or None for the end alone, got an empty list")
    state = [
        x.new_zeros((n, 3)) if v is None else checked(v, "v", (n, 3), x),
        x.new_zeros((n, 3, 3)) if C is None else checked(C, "C", (n, 3, 3), x),
        _identity(x) if F is None else checked(F, "F", (n, 3, 3), x),
        None if Fp is None else checked(Fp, "Fp", (n, 3, 3), x),
        _control(control, count, stride, x),
    ]
    constants = [
        _per_particle(value, name, x) for value, name in ((mass, "mass"), (volume, "volume"), (lam, "lam"), (mu, "mu"))
    ]
    forces = [
        None if gravity is None else checked(gravity, "gravity", (3,), x),
        None if drag is None else checked(drag, "drag", (), x),
    ]
    inputs = [x, *state, *constants, *forces]
    differentiable = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    budget = 0 if memory_budget is None else integer(memory_budget, "memory_budget", 1)
    x, v, C, F, motion, _ = call(
        "rollout", *inputs, whole, real, count, stride, wanted, bool(motion_gradient), differentiable, budget
    )
    masses = None
    if grid_mass:
        spread = [call("grid_mass", one, constants[0], whole, real) for one in (x if wanted else (x,))]
        masses = torch.stack(spread) if wanted else spread[0]
    return States(x, v, C, F, motion if motion_gradient else None, masses)


def grid_mass(x: Tensor, mass: Tensor | float, config: SimConfig) -> Tensor:
    """Spread particle masses over the grid nodes, the first half of (4).

    Args:
        x: Positions [m], shape (N, 3). Differentiable.
        mass: Masses [kg], shape (N,), or one number. Differentiable.
        config: Options with a grid; only dx, origin, dims and basis are used.

    Returns:
        Mass [kg] of every node, shape `config.dims`.

    Raises:
        ConfigError: If an argument does not fit.
        SimulationError: If a particle is outside the grid.
    """
    x = checked(x, "x", (None, 3), anywhere=True)
    return call("grid_mass", x, _per_particle(mass, "mass", x), *pack_config(config))


def pack_config(config: SimConfig) -> tuple[list[int], list[float]]:
    """Return a configuration as the two lists that the operators take.

    Raises:
        ConfigError: If it is no configuration or has no grid.
    """
    if not isinstance(config, SimConfig):
        raise ConfigError(f"config: expected SimConfig, got {type(config).__name__}")
    if config.dims is None or config.origin is None:
        raise ConfigError(
            "config: expected a grid (origin and dims), got none; set both, or use diffmpm.Simulation(...).config"
        )
    whole = [
        *config.dims, BASES.index(config.basis), MATERIALS.index(config.material),
        BOUNDARIES.index(config.boundary), int(config.boundary_nodes), int(config.volume_carried),
    ]  # fmt: skip
    real = [
        config.dx, config.dt, *config.origin, config.smoothing, config.shear_viscosity, config.bulk_viscosity,
        config.damping, *config.gravity, config.drag,
    ]  # fmt: skip
    for collider in config.colliders:
        plane = isinstance(collider, HalfSpace)
        whole += [0 if plane else 1, BOUNDARIES.index(collider.mode)]
        if isinstance(collider, HalfSpace):
            real += [*collider.point, *collider.normal, 0.0]
        else:
            real += [*collider.center, 0.0, 0.0, 1.0, collider.radius]
    return whole, [float(value) for value in real]


def _per_particle(value: Tensor | float, name: str, like: Tensor) -> Tensor:
    n = like.shape[0]
    if isinstance(value, Tensor) and value.dim() > 0:
        return checked(value, name, (n,), like)
    if isinstance(value, Tensor):
        return checked(value, name, (), like).expand(n)
    if not is_real(value):
        raise ConfigError(f"{name}: expected a number or a tensor of shape (N,), got {type(value).__name__}")
    return like.new_full((n,), value)


def _control(control: Tensor | None, steps: int, stride: int, x: Tensor) -> Tensor | None:
    if control is None:
        return None
    control = checked(control, "control", (None, x.shape[0], 3, 3), x)
    check_control(control, steps, stride)
    return control


def _identity(x: Tensor) -> Tensor:
    return torch.eye(3, dtype=x.dtype, device=x.device).expand(x.shape[0], 3, 3)


def _layer(layer: int, steps: int) -> int:
    n = int(layer) + (steps + 1 if layer < 0 else 0)
    if not 0 <= n <= steps:
        raise ConfigError(f"layers: expected layers from -{steps + 1} to {steps}, got {layer}")
    return n
