# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The trajectory of a simulation, and its exact adjoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, add, as_array, as_names, refuse_pickle, to_host
from .._deprecated import renamed_attributes
from .._options import Range, as_integer, as_time_step
from .._repr import short_repr
from ..config import SimConfig
from ..errors import ConfigError
from ..types import Particles
from .grid import grid_mass, grid_mass_vjp

Input = Literal["control", "x", "v", "C", "F", "G", "Fp", "lam", "mu", "mass", "volume", "gravity", "drag"]
WRT: tuple[Input, ...] = get_args(Input)
STATE: tuple[Literal["x", "v", "C", "F", "G"], ...] = ("x", "v", "C", "F", "G")
_COTANGENTS = {"adj_x": (3,), "adj_v": (3,), "adj_C": (3, 3), "adj_F": (3, 3), "adj_G": (3, 3)}


@short_repr
@dataclass(frozen=True)
class State:
    """Particle state after a time step: x, v (N, 3), C, F (N, 3, 3), and G (N, 3, 3) or None."""

    x: Array
    v: Array
    C: Array
    F: Array
    G: Array | None = None


@short_repr
@renamed_attributes(x0="x", v0="v", C0="C", F0="F", G0="G")
@dataclass(frozen=True)
class Gradients:
    """Gradients of a scalar with respect to the inputs of a rollout; None where `wrt` does not name them.

    Arrays have the dtype of the particles. The unit is that of the scalar over that of the input.
    """

    control: Array | None = None
    """Controls, shape (L, N, 3, 3)."""
    x: Array | None = None
    """Initial positions, shape (N, 3)."""
    v: Array | None = None
    """Initial velocities, shape (N, 3)."""
    C: Array | None = None
    """Initial affine velocities, shape (N, 3, 3)."""
    F: Array | None = None
    """Initial deformation gradients, shape (N, 3, 3)."""
    G: Array | None = None
    """Initial motion gradients, shape (N, 3, 3)."""
    Fp: Array | None = None
    """Rest state, shape (N, 3, 3)."""
    lam: Array | None = None
    """First Lame parameter, shape (N,)."""
    mu: Array | None = None
    """Shear modulus, shape (N,)."""
    mass: Array | None = None
    """Masses, shape (N,); through the motion and through the grid mass."""
    volume: Array | None = None
    """Rest volumes, shape (N,)."""
    gravity: Array | None = None
    """Gravity, shape (3,), float64."""
    drag: float | None = None
    """Drag."""


@short_repr
class Rollout:
    """Trajectory of T time steps; state 0 is the initial state, state T the end. Made by `Simulation.rollout`.

    Arrays are in the order of the particles. On the CPU they are NumPy arrays in 64-byte aligned memory, which PyTorch
    and JAX take through `from_dlpack` without a copy; on a CUDA device they are `DeviceArray`. They belong to the
    caller: the rollout never reads them again. All CUDA work is put on the stream that was current when it was made.

    A rollout can be neither pickled nor deep-copied: run its inputs again, which gives the same bits.
    """

    _shown = ("steps", "stored_layers", "particles", "differentiable")

    def __init__(
        self,
        native: _core.Rollout32 | _core.Rollout64,
        config: SimConfig,
        particles: Particles,
        control: Array | None,
        control_stride: int,
        motion_gradient: bool,
        differentiable: bool,
    ) -> None:
        self._native = native
        self.config = config
        self.particles = particles
        self.control = control
        self.control_stride = control_stride
        self.motion_gradient = motion_gradient
        self.differentiable = differentiable

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return int(self._native.steps)

    @property
    def stored_layers(self) -> int:
        """Number of the T + 1 states in memory; the others are recomputed on demand."""
        return int(self._native.stored_layers)

    @cached_property
    def x(self) -> Array:
        """End positions [m], shape (N, 3)."""
        return self.array(-1, "x")

    @cached_property
    def v(self) -> Array:
        """End velocities [m/s], shape (N, 3)."""
        return self.array(-1, "v")

    @cached_property
    def C(self) -> Array:
        """End affine velocities [1/s], shape (N, 3, 3)."""
        return self.array(-1, "C")

    @cached_property
    def F(self) -> Array:
        """End deformation gradients, shape (N, 3, 3)."""
        return self.array(-1, "F")

    @cached_property
    def G(self) -> Array:
        """End motion gradients, shape (N, 3, 3).

        Raises:
            ConfigError: If the rollout does not carry them.
        """
        return self.array(-1, "G")

    def state(self, layer: int) -> State:
        """Return the state after time step `layer`, 0 to T; negative numbers count from the end."""
        names = STATE if self.motion_gradient else STATE[:-1]
        return State(**{name: self.array(layer, name) for name in names})

    def array(self, layer: int, name: Literal["x", "v", "C", "F", "G"]) -> Array:
        """Return one new array of the state after time step `layer`."""
        if name == "G" and not self.motion_gradient:
            raise ConfigError("G: expected a rollout that carries it, got one without; pass motion_gradient=True")
        return self._native.state(as_time_step(layer, self.steps), as_names(name, "name", STATE)[0])

    def frames_x(self, stride: int = 1) -> Array:
        """Return positions of the states 0, stride, 2 stride, ..., shape (K, N, 3), on the CPU."""
        stride = as_integer(stride, "stride", Range(least=1, most=1 << 62))
        return np.stack([to_host(self.array(n, "x")) for n in range(0, self.steps + 1, stride)])

    def grid_mass(self, layer: int = -1) -> Array:
        """Return the grid mass [kg] after time step `layer`, shape `config.dims`."""
        return grid_mass(self.array(layer, "x"), self.particles.mass, self.config)

    def grid_mass_of(self, particles: Particles) -> Array:
        """Return the mass [kg] of other particles on the grid of this rollout, shape `config.dims`."""
        return grid_mass(particles.x, particles.mass, self.config)

    def end_particles(self) -> Particles:
        """Return the end state as particles: x, v, C and F are new, particle properties and rest state are shared."""
        end = self.state(self.steps)
        return self.particles.replace(x=end.x, v=end.v, C=end.C, F=end.F)

    def vjp(
        self,
        *,
        adj_x: ArrayLike | None = None,
        adj_v: ArrayLike | None = None,
        adj_C: ArrayLike | None = None,
        adj_F: ArrayLike | None = None,
        adj_G: ArrayLike | None = None,
        adj_grid_mass: ArrayLike | None = None,
        layers: Mapping[int, Mapping[str, ArrayLike | None]] | None = None,
        wrt: Iterable[Input] | Input | Literal["all"] = ("control", "x", "v", "C", "F"),
    ) -> Gradients:
        """Run the exact adjoint: gradients of sum <adj_y, y> with respect to the inputs.

        Args:
            adj_x: Cotangent of the end positions, shape (N, 3).
            adj_v: Cotangent of the end velocities, shape (N, 3).
            adj_C: Cotangent of the end affine velocities, shape (N, 3, 3).
            adj_F: Cotangent of the end deformation gradients, shape (N, 3, 3).
            adj_G: Cotangent of the end motion gradients, shape (N, 3, 3).
            adj_grid_mass: Cotangent of the grid mass at the end, shape `config.dims`.
            layers: Cotangents of other states by time step: {n: {"adj_x": ..., "adj_grid_mass": ...}}. Those of the end
                are added to the ones above.
            wrt: Inputs to differentiate by: control, x, v, C, F, G, Fp, lam, mu, mass, volume, gravity, drag; or "all".

        Raises:
            ConfigError: If a shape, dtype, time step or name is invalid.
            SimulationError: If the adjoint does not exist at a state of the trajectory.
        """
        names = self._checked_wrt(wrt)
        end = {"adj_x": adj_x, "adj_v": adj_v, "adj_C": adj_C, "adj_F": adj_F, "adj_G": adj_G,
               "adj_grid_mass": adj_grid_mass}  # fmt: skip
        cotangents: list[tuple[Any, ...]] = []
        adj_mass: Array | None = None
        for layer, adjoints in [(self.steps, end), *(layers or {}).items()]:
            n = as_time_step(layer, self.steps)
            cotangents.append((n, *self._checked_cotangents(adjoints)))
            on_grid = adjoints.get("adj_grid_mass")
            if on_grid is not None:
                through_grid = grid_mass_vjp(self.array(n, "x"), self.particles.mass, self.config, on_grid)
                cotangents.append((n, through_grid.x, None, None, None, None))
                adj_mass = through_grid.mass if adj_mass is None else add(adj_mass, through_grid.mass)
        computed = self._native.vjp(cotangents, list(names))
        gradients = {name: computed[name] for name in names}
        if "gravity" in gradients:
            gradients["gravity"] = np.array(gradients["gravity"], dtype=np.float64)
        if "mass" in gradients and adj_mass is not None:
            gradients["mass"] = add(gradients["mass"], adj_mass)
        return Gradients(**gradients)

    def _checked_wrt(self, wrt: Iterable[str]) -> tuple[str, ...]:
        if not self.differentiable:
            raise ConfigError("vjp: expected a differentiable rollout, got one made with differentiable=False")
        absent = {"control": self.control is None, "G": not self.motion_gradient, "Fp": self.particles.Fp is None}
        if isinstance(wrt, str) and wrt == "all":
            return tuple(name for name in WRT if not absent.get(name, False))
        names = as_names(wrt, "wrt", WRT)
        if "G" in names and absent["G"]:
            raise ConfigError("wrt: G needs a rollout that carries it; pass motion_gradient=True to rollout")
        if "Fp" in names and absent["Fp"]:
            raise ConfigError("wrt: Fp needs particles with a rest state; pass Fp to Particles.create")
        return tuple(name for name in names if name != "control" or not absent["control"])

    def _checked_cotangents(self, adjoints: Mapping[str, Any]) -> list[Array | None]:
        """Return the cotangents of x, v, C, F and G."""
        p = self.particles
        for name in adjoints:
            if name not in _COTANGENTS and name != "adj_grid_mass":
                raise ConfigError(f"layers: expected {', '.join(_COTANGENTS)} or adj_grid_mass, got {name!r}")
        if adjoints.get("adj_G") is not None and not self.motion_gradient:
            raise ConfigError("adj_G: expected a rollout that carries G; pass motion_gradient=True to rollout")
        values = [(name, adjoints.get(name), (p.count, *shape)) for name, shape in _COTANGENTS.items()]
        return [None if a is None else as_array(a, name, s, p.dtype, device=p.device) for name, a, s in values]


refuse_pickle(
    "Rollout: its trajectory is memory of the core and cannot be pickled or copied; keep particles, config and "
    "controls, and call Simulation.rollout again",
    _core.Rollout32,
    _core.Rollout64,
)
