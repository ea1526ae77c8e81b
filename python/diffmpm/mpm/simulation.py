# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A configured body that can be run forward."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import as_array
from .._options import is_real
from ..config import SimConfig
from ..errors import ConfigError
from ..types import Particles
from .grid import native_params, warn_of_idle_colliders, with_grid
from .rollout import Rollout


class Simulation:
    """Particles and options of an MLS-MPM simulation; running it never changes them.

    Args:
        particles: Initial state and constants.
        config: Options. Without a grid it gets one around the particles (see `SimConfig.origin`).

    Attributes:
        particles: As given.
        config: Options, with the grid in use.

    Raises:
        ConfigError: If an argument is of the wrong kind.

    Warns:
        DiffMPMWarning: If a collider contains no node of the grid, so that it stops nothing.

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
        control: object = None,
        *,
        control_stride: int = 1,
        motion_gradient: bool = False,
        differentiable: bool = True,
        memory_budget: int | None = None,
    ) -> Rollout:
        """Run forward.

        Args:
            steps: Number of steps T, from 0 to 2147483647.
            control: Increments dFc of the deformation gradient, shape (L, N, 3, 3), dtype and device of the particles;
                layer l acts at step l * control_stride and only there. Differentiable.
            control_stride: Steps from one control layer to the next, at least 1.
            motion_gradient: Whether to carry G, equation (9), from the identity.
            differentiable: Whether to keep what the adjoint needs; False saves memory.
            memory_budget: Bytes for the trajectory; past it, layers are recomputed. None: a quarter of the memory that
                is free where the particles are.

        Raises:
            ConfigError: If an argument does not fit.
            SimulationError: If a step produces a state that cannot be continued from.
        """
        count = _integer(steps, "steps", 0, (1 << 31) - 1)
        stride = _integer(control_stride, "control_stride", 1)
        p = self.particles
        layers = None
        if control is not None:
            layers = as_array(control, "control", (None, p.count, 3, 3), p.dtype, device=p.device)
            most = -(-count // stride)
            if layers.shape[0] > most:
                raise ConfigError(
                    f"control: expected at most {most} layers ({count} steps, stride {stride}), got {layers.shape[0]}"
                )
            layers = layers if layers.shape[0] > 0 else None
        make = _core.Rollout32 if p.dtype == np.float32 else _core.Rollout64
        budget = 0 if memory_budget is None else _integer(memory_budget, "memory_budget", 1)
        native = make(
            native_params(self.config), p.x, p.v, p.C, p.F, p.Fp, p.mass, p.volume, p.lam, p.mu, layers, stride, count,
            bool(motion_gradient), bool(differentiable), budget,
        )  # fmt: skip
        return Rollout(native, self.config, p, layers, stride, bool(motion_gradient), bool(differentiable))


def _integer(value: int, name: str, least: int, most: int = (1 << 62) - 1) -> int:
    good = is_real(value) and np.isfinite(float(value)) and int(value) == value
    if not (good and least <= value <= most):
        limit = f"<= {most}" if good and value > most else f">= {least}"
        raise ConfigError(f"{name}: expected an integer {limit}, got {value!r}")
    return int(value)
