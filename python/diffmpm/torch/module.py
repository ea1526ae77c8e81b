# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A rollout whose inputs are parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..mpm import Simulation
from .mpm import States, rollout, tensors

Input = Literal["control", "x", "v", "C", "F", "Fp", "lam", "mu", "mass", "volume", "gravity", "drag"]
LEARNABLE: tuple[Input, ...] = get_args(Input)


class Rollout(nn.Module):
    """A simulation as a module: what is to be learnt are parameters, everything else is constant.

    `forward()` runs it; any optimiser of `torch.optim` trains it. Options not listed here are those of `rollout`.

    Args:
        simulation: Particles and options. Its arrays are copied where they become parameters.
        steps: Number of steps T.
        learn: Names of the parameters, from control, x, v, C, F, Fp, lam, mu, mass, volume, gravity, drag.
        control: First controls, shape (L, N, 3, 3); zeros, one layer every `control_stride` steps, if None.

    Attributes:
        simulation: The argument.
        control: Controls dFc, shape (L, N, 3, 3), and likewise the other names of `learn`, each an `nn.Parameter`.

    Raises:
        ConfigError: If an argument does not fit.
    """

    def __init__(
        self,
        simulation: Simulation,
        steps: int,
        *,
        learn: Iterable[Input] | Input = ("control",),
        control_stride: int = 1,
        control: Tensor | None = None,
        layers: Iterable[int] | None = None,
        motion_gradient: bool = False,
        grid_mass: bool = False,
        memory_budget: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(simulation, Simulation):
            raise ConfigError(f"simulation: expected diffmpm.Simulation, got {type(simulation).__name__}")
        learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for name in learn:
            if name not in LEARNABLE:
                raise ConfigError(f"learn: expected names from {', '.join(LEARNABLE)}, got {name!r}")
        self.simulation = simulation
        self.learn = learn
        inputs = tensors(simulation.particles)
        x, config = inputs["x"], simulation.config
        if "Fp" in learn:
            inputs.setdefault("Fp", torch.eye(3, dtype=x.dtype).repeat(len(x), 1, 1))
        inputs["gravity"], inputs["drag"] = x.new_tensor(config.gravity), x.new_tensor(config.drag)
        if control is None and "control" in learn:
            control = x.new_zeros((-(-int(steps) // int(control_stride)), len(x), 3, 3))
        if control is not None:
            inputs["control"] = control
        for key, value in inputs.items():
            if key in learn:
                self.register_parameter(key, nn.Parameter(value.detach().clone()))
            else:
                self.register_buffer(key, value, persistent=False)
        self._names = tuple(inputs)
        self._steps = steps
        self._options: dict[str, Any] = {
            "control_stride": control_stride,
            "layers": None if layers is None else tuple(layers),
            "motion_gradient": motion_gradient,
            "grid_mass": grid_mass,
            "memory_budget": memory_budget,
        }

    def forward(self) -> States:
        """Run the simulation with the parameters as they are.

        Raises:
            SimulationError: If a step produces a state that cannot be continued from.
        """
        inputs = {name: getattr(self, name) for name in self._names}
        return rollout(self.simulation.config, self._steps, **inputs, **self._options)

    def extra_repr(self) -> str:
        """Return what the module's line shows."""
        return f"{self.simulation.particles.count} particles, {self._steps} steps, learn={list(self.learn)}"
