# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The result of a run, and its exact adjoint."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NoReturn, get_args

import numpy as np

from .. import _core
from .._arrays import Array, as_array, as_names, to_host
from .._deprecated import renamed_attributes
from .._options import Range, as_integer
from ..config import SimConfig
from ..errors import ConfigError
from ..types import Particles
from .grid import grid_mass, grid_mass_vjp

Input = Literal["control", "x", "v", "C", "F", "G", "Fp", "lam", "mu", "mass", "volume", "gravity", "drag"]
WRT: tuple[Input, ...] = get_args(Input)
_COTANGENTS = {"adj_x": 1, "adj_v": 1, "adj_C": 2, "adj_F": 2, "adj_G": 2}  # name -> axes of length 3


@dataclass(frozen=True)
class State:
    """Particle state of one layer: x, v (N, 3), C, F (N, 3, 3), and G (N, 3, 3) or None."""

    x: Array
    v: Array
    C: Array
    F: Array
    G: Array | None


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


class Rollout:
    """Trajectory of T steps: layers 0 (initial state) to T (end). Made by `Simulation.rollout`.

    Arrays are NumPy arrays that own 64-byte aligned memory, in the order of the particles given: PyTorch and JAX take
    them through `from_dlpack` without a copy. They belong to the caller; the rollout never reads them. Of particles on
    a CUDA device they are `DeviceArray`, for which the same holds; all its work is put on the stream it was made on.

    A rollout is neither pickled nor copied deeply: run its inputs again, which gives the same bits.
    """

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
        """Number of steps T."""
        return int(self._native.steps)

    @property
    def stored_layers(self) -> int:
        """How many of the T + 1 layers are in memory; the others are recomputed when asked for."""
        return int(self._native.stored_layers)

    @cached_property
    def x(self) -> Array:
        """End positions [m], shape (N, 3)."""
        return self._native.state(self.steps, "x")

    @cached_property
    def v(self) -> Array:
        """End velocities [m/s], shape (N, 3)."""
        return self._native.state(self.steps, "v")

    @cached_property
    def C(self) -> Array:
        """End affine velocities [1/s], shape (N, 3, 3)."""
        return self._native.state(self.steps, "C")

    @cached_property
    def F(self) -> Array:
        """End deformation gradients, shape (N, 3, 3)."""
        return self._native.state(self.steps, "F")

    @cached_property
    def G(self) -> Array:
        """End motion gradients, shape (N, 3, 3).

        Raises:
            ConfigError: If the rollout does not carry them.
        """
        if not self.motion_gradient:
            raise ConfigError("G: expected a rollout that carries it, got one without; pass motion_gradient=True")
        return self._native.state(self.steps, "G")

    def state(self, layer: int) -> State:
        """Return the state of a layer, 0 to T (negative counts from the end); recomputed where it was not kept."""
        n = self._layer(layer)
        x, v, C, F = (self._native.state(n, name) for name in ("x", "v", "C", "F"))
        return State(x, v, C, F, self._native.state(n, "G") if self.motion_gradient else None)

    def array(self, layer: int, name: Literal["x", "v", "C", "F", "G"]) -> Array:
        """Return one array of a layer, as `state` does all of them."""
        if name == "G" and not self.motion_gradient:
            raise ConfigError("G: expected a rollout that carries it, got one without; pass motion_gradient=True")
        return self._native.state(self._layer(layer), as_names(name, "name", ("x", "v", "C", "F", "G"))[0])

    def frames_x(self, stride: int = 1) -> Array:
        """Return positions of layers 0, stride, 2 stride, ..., shape (K, N, 3), on the CPU."""
        every = as_integer(stride, "stride", Range(least=1, most=1 << 62))
        return np.stack([to_host(self._native.state(n, "x")) for n in range(0, self.steps + 1, every)])

    def grid_mass(self, layer: int = -1) -> Array:
        """Return the mass [kg] on the grid at a layer's positions, shape `config.dims`."""
        return grid_mass(self._positions(layer), self.particles.mass, self.config)

    def grid_mass_of(self, particles: Particles) -> Array:
        """Return the mass [kg] of other particles on this rollout's grid, shape `config.dims`."""
        return grid_mass(particles.x, particles.mass, self.config)

    def end_particles(self) -> Particles:
        """Return the end state as particles: x, v, C and F are new, constants and rest state are shared."""
        end = self.state(self.steps)
        return self.particles.replace(x=end.x, v=end.v, C=end.C, F=end.F)

    def vjp(
        self,
        *,
        adj_x: object = None,
        adj_v: object = None,
        adj_C: object = None,
        adj_F: object = None,
        adj_G: object = None,
        adj_grid_mass: object = None,
        layers: Mapping[int, Mapping[str, object]] | None = None,
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
            layers: Further cotangents: {layer: {"adj_x": ..., "adj_grid_mass": ...}}; those of the end add up.
            wrt: Names of the gradients wanted, from control, x, v, C, F, G, Fp, lam, mu, mass, volume, gravity, drag;
                or "all".

        Raises:
            ConfigError: If a shape, dtype, layer or name does not fit.
            SimulationError: If the adjoint does not exist at a state that the run passed through.
        """
        names = self._wanted(wrt)
        given = {
            "adj_x": adj_x, "adj_v": adj_v, "adj_C": adj_C, "adj_F": adj_F, "adj_G": adj_G,
            "adj_grid_mass": adj_grid_mass,
        }  # fmt: skip
        cotangents = []
        adj_mass: Array | None = None
        for layer, adjoints in [(self.steps, given), *((layers or {}).items())]:
            n = self._layer(layer)
            arrays, through_grid = self._cotangents(n, adjoints)
            cotangents.append((n, *arrays))
            if through_grid is not None:
                cotangents.append((n, through_grid[0], None, None, None, None))
                adj_mass = through_grid[1] if adj_mass is None else adj_mass + through_grid[1]
        native = self._native.vjp(cotangents, list(names))
        return self._collect(native, names, adj_mass)

    def _positions(self, layer: int) -> Array:
        return self._native.state(self._layer(layer), "x")  # not the array handed out: its holder may write into it

    def _layer(self, layer: int) -> int:
        good = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
        n = int(layer) + (self.steps + 1 if layer < 0 else 0) if good else -1
        if not 0 <= n <= self.steps:
            raise ConfigError(f"layer: expected one of -{self.steps + 1} to {self.steps}, got {layer}")
        return n

    def _wanted(self, wrt: Iterable[str]) -> tuple[str, ...]:
        if not self.differentiable:
            raise ConfigError("vjp: expected a differentiable rollout, got one made with differentiable=False")
        if isinstance(wrt, str) and wrt == "all":
            absent = {"control": self.control is None, "G": not self.motion_gradient, "Fp": self.particles.Fp is None}
            return tuple(name for name in WRT if not absent.get(name, False))
        names = as_names(wrt, "wrt", WRT)
        if "G" in names and not self.motion_gradient:
            raise ConfigError("wrt: G needs a rollout that carries it; pass motion_gradient=True to rollout")
        if "Fp" in names and self.particles.Fp is None:
            raise ConfigError("wrt: Fp needs particles with a rest state; pass Fp to Particles.create")
        return tuple(name for name in names if name != "control" or self.control is not None)

    def _cotangents(
        self, layer: int, adjoints: Mapping[str, object]
    ) -> tuple[list[Array | None], tuple[Array, Array] | None]:
        p = self.particles
        for name in adjoints:
            if name not in _COTANGENTS and name != "adj_grid_mass":
                raise ConfigError(f"layers: expected {', '.join(_COTANGENTS)} or adj_grid_mass, got {name!r}")
        if adjoints.get("adj_G") is not None and not self.motion_gradient:
            raise ConfigError("adj_G: expected a rollout that carries G; pass motion_gradient=True to rollout")
        arrays: list[Array | None] = []
        for name, axes in _COTANGENTS.items():
            value = adjoints.get(name)
            arrays.append(
                None if value is None else as_array(value, name, (p.count, *(3,) * axes), p.dtype, device=p.device)
            )
        on_grid = adjoints.get("adj_grid_mass")
        if on_grid is None:
            return arrays, None
        return arrays, grid_mass_vjp(self._positions(layer), p.mass, self.config, on_grid)

    def _collect(self, native: dict[str, object], names: tuple[str, ...], adj_mass: Array | None) -> Gradients:
        values = {name: native[name] for name in names}
        if "gravity" in values:
            values["gravity"] = np.array(values["gravity"], dtype=np.float64)
        if "mass" in values and adj_mass is not None:
            values["mass"] = values["mass"] + adj_mass
        return Gradients(**values)  # type: ignore[arg-type]


def _refuse_pickle(_: object) -> NoReturn:
    raise TypeError(
        "Rollout: its trajectory is memory of the core and cannot be pickled or copied; keep particles, config and "
        "controls, and call Simulation.rollout again"
    )


for _native in (_core.Rollout32, _core.Rollout64):
    copyreg.pickle(_native, _refuse_pickle)
