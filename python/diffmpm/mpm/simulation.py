# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles and options that can be run forward."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import ArrayLike, as_array
from .._options import is_real
from .._repr import short_repr
from ..config import SimConfig
from ..errors import ConfigError
from ..types import Particles
from .grid import warn_of_idle_colliders, with_grid
from .params import native_params
from .rollout import Rollout


@short_repr
class Simulation:
    """Particles and options of an MLS-MPM simulation; a run does not change them.

    Args:
        particles: Initial state and particle properties.
        config: Options. Without a grid, one around the particles is added (see `SimConfig.origin`).

    Attributes:
        particles: The argument.
        config: Options, with the grid in use.

    Raises:
        ConfigError: If an argument has the wrong type.

    Warns:
        DiffMPMWarning: If a collider contains no grid node, so that it stops nothing.

    References:
        Hu et al. 2018 (MLS-MPM); equations (1)-(9) of docs/method.md.
    """

    def __init__(self, particles: Particles, config: SimConfig) -> None:
        if not isinstance(particles, Particles):
            raise ConfigError(
                f"particles: expected Particles, got {type(particles).__name__}; use diffmpm.sample or Particles.create"
            )
        if not isinstance(config, SimConfig):
            raise ConfigError(f"config: expected SimConfig, got {type(config).__name__}")
        self.particles = particles
        self.config = with_grid(config, particles.x)
        warn_of_idle_colliders(self.config)

    def rollout(
        self,
        steps: int,
        control: ArrayLike | None = None,
        *,
        control_stride: int = 1,
        motion_gradient: bool = False,
        differentiable: bool = True,
        memory_budget: int | None = None,
    ) -> Rollout:
        """Run forward.

        Args:
            steps: Number of time steps T, from 0 to 2147483647.
            control: Increments dFc of the deformation gradient, shape (L, N, 3, 3), dtype and device of the particles;
                control step l acts in time step l * control_stride alone. Differentiable.
            control_stride: Time steps per control step, at least 1.
            motion_gradient: Whether to carry G, equation (9), from the identity.
            differentiable: Whether to store what the adjoint needs; False saves memory.
            memory_budget: Bytes for the trajectory; states beyond it are recomputed. None: a quarter of the free memory
                on the device of the particles.

        Raises:
            ConfigError: If an argument is invalid.
            SimulationError: If a time step produces an invalid state.
        """
        T = _integer(steps, "steps", 0, (1 << 31) - 1)
        stride = _integer(control_stride, "control_stride", 1)
        budget = 0 if memory_budget is None else _integer(memory_budget, "memory_budget", 1)
        p, carry_G, store = self.particles, bool(motion_gradient), bool(differentiable)
        dFc = None
        if control is not None:
            dFc = as_array(control, "control", (None, p.count, 3, 3), p.dtype, device=p.device)
            most = -(-T // stride)
            if dFc.shape[0] > most:
                raise ConfigError(
                    f"control: expected at most {most} control steps ({T} steps, stride {stride}), got {dFc.shape[0]}"
                )
            dFc = dFc if dFc.shape[0] > 0 else None
        native = (_core.Rollout32 if p.dtype == np.float32 else _core.Rollout64)(
            native_params(self.config), p.x, p.v, p.C, p.F, p.Fp, p.mass, p.volume, p.lam, p.mu, dFc, stride, T,
            carry_G, store, budget,
        )  # fmt: skip
        return Rollout(native, self.config, p, dFc, stride, carry_G, store)


def _integer(value: int, name: str, least: int, most: int = (1 << 62) - 1) -> int:
    """Return an integer within limits; a float such as 5.0 is one."""
    integral = is_real(value) and np.isfinite(float(value)) and int(value) == value
    if not (integral and least <= value <= most):
        limit = f"<= {most}" if integral and value > most else f">= {least}"
        raise ConfigError(f"{name}: expected an integer {limit}, got {value!r}")
    return int(value)
