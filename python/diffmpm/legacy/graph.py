# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The computation graph of the legacy interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_positive
from ..config import SimConfig
from ..errors import ConfigError
from ..losses import LogMass
from ..mpm import Rollout, Simulation
from ..types import Particles
from .clouds import Grid, PointCloud, p2g
from .learning import Learnable
from .options import OptInput, OptionTypeError, as_instance, as_integer
from .render import RenderInput, RenderModel
from .schedule import OptProgress, Problem, Tail, descend, optimize

PASSES = 3
"""Passes over the control layers in one `CompGraph.run_optimization`."""
REFERENCE_MASS = 1.0
"""m_ref [kg] of the log-mass loss, as published: log(1 + m). Far below the mass of a full cell (75 kg at the default
density), so that the loss separates inside from outside rather than densities."""
VELOCITY_KEPT = 0.9
"""Default fraction of the velocities that promotion carries over. The loss of an animation depends only on its end, so
chains gain speed that no loss limits: 25 episodes of sphere to bunny end at 1.1 % of the loss with this fraction, and
at 3.4 % with 1."""

Progress = Callable[[OptProgress], object]


@dataclass(frozen=True)
class _Pass:
    """A forward pass over all layers."""

    rollout: Rollout
    mass_loss: float


class CompGraph(RenderInput, Learnable):
    """An animation from an initial point cloud towards a target's mass on the grid.

    Layer 0 is the initial state and layer i the state after i steps. Controls, one (N, 3, 3) array per control
    layer, act at the layers 0, stride, 2 stride, ... A call that fails or is interrupted leaves the graph unchanged.
    A pickled or copied graph repeats its forward pass, bit for bit; its tensors are not copied.

    Args:
        input_pc: Initial state. Later changes do not affect the graph.
        input_grid: Grid of the simulation; only its geometry is used.
        target_grid: Mass of the target, see `p2g`, on a grid of the same geometry. Later changes do not affect the
            graph.

    Raises:
        ConfigError: If the grids do not match or the target has no mass. All methods raise it for invalid arguments,
            and for calls out of order, such as before the set-up.
        SimulationError: If a particle of `input_pc` is outside the grid. All methods that run the simulation raise it
            if the simulation fails.
    """

    def __init__(self, input_pc: PointCloud, input_grid: Grid, target_grid: Grid) -> None:
        as_instance(input_pc, "input_pc", PointCloud, "use load_point_cloud_from_obj")
        as_instance(input_grid, "input_grid", Grid)
        as_instance(target_grid, "target_grid", Grid)
        for name in ("dims", "dx", "min_point"):
            expected, got = getattr(input_grid, name), getattr(target_grid, name)
            if expected != got:
                raise ConfigError(
                    f"target_grid: expected {name} {expected}, that of input_grid, got {got}; build both grids alike"
                )
        target = target_grid.get_masses()
        if not target.any():
            raise ConfigError(
                "target_grid: expected mass on its nodes, got none; call p2g(target_pc, target_grid) first"
            )
        self._grid = input_grid
        self._loss = LogMass(target, m_ref=REFERENCE_MASS)
        self._initial: Particles = input_pc.particles
        self._opt = OptInput()
        self._layers = 1
        self._controls: Array | None = None
        self._render = None
        self._pass: _Pass | None = self._forward(self._problem(self._opt, 0), None)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": self._pass is not None, "_tensor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        problem = self._problem(self._opt, self._layers - 1)
        self._pass = self._forward(problem, self._controls) if state["_pass"] else None

    def run_optimization(self, opt: OptInput, progress: Progress | None = None) -> float:
        """Optimise the controls of one animation of opt.num_timesteps steps by the schedule of Xu et al.

        Makes three passes over the control layers. Each layer takes up to max_gd_iters steps along its normalised
        gradient (see `schedule.unit_step`). The first trial step is initial_alpha; up to max_ls_iters trials halve it
        until the log-mass loss of the end layer falls. With render gradients, the objective is the log-mass loss plus
        their linear model <dLdF_render, F> + <dLdx_render, x>. Controls of an earlier run are the start if their shape
        fits, otherwise zeros.

        Args:
            opt: Options, copied. Mesh paths, grid and material fields are not read: the point cloud and the grids
                already contain them.
            progress: Called with an `OptProgress` after each control layer; an exception ends the run.

        Returns:
            Log-mass loss of the end layer.
        """
        opt = self._options(opt)
        if progress is not None and not callable(progress):
            raise OptionTypeError(f"progress: expected a callable, got {type(progress).__name__}")
        problem = self._problem(opt, opt.num_timesteps)
        start = self._controls
        if start is None or self._layers != problem.steps + 1 or self._opt.control_stride != opt.control_stride:
            start = _zeros(problem)

        def search(problem: Problem, tail: Tail, controls: Array) -> Array:
            return optimize(problem, controls, tail, opt, passes=PASSES, progress=progress)

        return self._improve(opt, problem, start, search)

    def optimize_single_timestep(self, layer: int, opt: OptInput | None = None) -> float:
        """Optimise the control of one layer, the others fixed; see `run_optimization`.

        Args:
            layer: Layer at which the control acts: a multiple of control_stride, below the end layer.
            opt: Options of the descent (max_gd_iters, max_ls_iters, initial_alpha, gd_tol; other fields are not read);
                those of the set-up if None.

        Returns:
            Log-mass loss of the end layer.
        """
        options = self._opt if opt is None else self._options(opt)
        problem, controls = self._set_up()
        index, rest = divmod(self._layer(layer, "layer", problem.steps - 1), problem.stride)
        if rest:
            raise ConfigError(f"layer: expected a multiple of the control stride {problem.stride}, got {layer}")

        def search(problem: Problem, tail: Tail, controls: Array) -> Array:
            improved = controls.copy()
            descend(problem, tail, index, improved, options)
            return improved

        return self._improve(self._opt, problem, controls, search)

    def set_up_comp_graph(self, n: int, opt: OptInput | None = None) -> None:
        """Set up n layers, that is n - 1 steps, with zero controls.

        Args:
            n: Number of layers, at least 2.
            opt: Options of the simulation (dt, drag, f_ext, smoothing_factor, control_stride); those of the last run,
                or the defaults, if None.
        """
        layers = as_integer(n, "n", 2)
        options = self._opt if opt is None else self._options(opt)
        self._commit(options, layers, _zeros(self._problem(options, layers - 1)), None)

    def compute_forward_pass(self, start: int = 0, episode: int = 0) -> float:
        """Run all layers with the current controls.

        Args:
            start: First layer whose state may be out of date. All layers are run whatever its value.
            episode: Number of the running episode; does not affect the result.

        Returns:
            Log-mass loss of the end layer.
        """
        problem, controls = self._set_up()
        self._layer(start, "start", problem.steps)
        as_integer(episode, "episode", 0)
        self._controls_changed()  # marks the current version as used
        self._pass = self._forward(problem, controls)
        return self._pass.mass_loss

    def compute_backward_pass(self, layer: int = 0) -> Array:
        """Run the exact adjoint of the last forward pass from the end layer.

        The objective is the log-mass loss, plus the image loss if render gradients are set.

        Args:
            layer: Layer at which the backward pass ends.

        Returns:
            Gradient with respect to the controls that act at `layer` and after it, shape (K, N, 3, 3).
        """
        problem, _ = self._set_up()
        last = self._last_pass()
        first = -(-self._layer(layer, "layer", problem.steps) // problem.stride)
        adj = self._with_objective(problem, last.rollout).objective.evaluate(last.rollout).adj
        gradients = last.rollout.vjp(**adj, wrt=("control",)).control
        assert gradients is not None
        return gradients[first:].copy()

    def promote_last_as_initial(self, carry_grid: bool = False, *, velocity_kept: float = VELOCITY_KEPT) -> None:
        """Make the end layer the initial state of the next animation.

        Positions and deformation gradients are carried over unchanged. The graph is reduced to that one layer;
        controls and render gradients belong to the previous animation and are dropped.

        Args:
            carry_grid: Whether to write the mass of the promoted body to the input grid, as `p2g` does. The motion
                does not depend on it.
            velocity_kept: Fraction of v and C that is carried over, in [0, 1]; 1 continues the motion seamlessly.
        """
        if not isinstance(carry_grid, bool | np.bool_):
            raise OptionTypeError(f"carry_grid: expected True or False, got {carry_grid!r}")
        fraction = as_positive(velocity_kept, "velocity_kept", zero=True)
        if fraction > 1.0:
            raise ConfigError(f"velocity_kept: expected a number in [0, 1], got {fraction:g}")
        if self._layers == 1:
            raise ConfigError("promote_last_as_initial: expected an animation, got none; call run_optimization first")
        body = self._last_pass().rollout.end_particles()
        if fraction != 1.0:
            factor = body.dtype.type(fraction)
            body = body.replace(v=body.v * factor, C=body.C * factor)
        rest = self._forward(self._problem(self._opt, 0, body), None)
        if carry_grid:
            p2g(PointCloud(body), self._grid)
        self._initial, self._layers, self._controls, self._pass = body, 1, None, rest
        self._render = self._tensor = None

    def get_num_layers(self) -> int:
        """Return the number of layers: steps + 1, or 1 before the set-up."""
        return self._layers

    def get_point_cloud(self, i: int) -> PointCloud:
        """Return the state of layer i, from 0; negative numbers count from the end."""
        n = self._layer(i, "i", self._layers - 1, negative=True)
        body, rollout = self._initial, None
        if n > 0:
            rollout = self._last_pass().rollout
            state = rollout.state(n)
            body = body.replace(x=state.x, v=state.v, C=state.C, F=state.F)
        stride = self._opt.control_stride
        acts = self._controls is not None and n % stride == 0 and n < self._layers - 1
        return self._cloud(body, n // stride if acts else None, rollout, n)

    def get_point_cloud_at_timestep(self, i: int) -> PointCloud:
        """Return the state after i steps of the current animation; same as `get_point_cloud`."""
        return self.get_point_cloud(i)

    def end_layer_mass_loss(self) -> float:
        """Return the log-mass loss of the end layer, or of the initial state before the set-up."""
        return self._last_pass().mass_loss

    def get_controls(self) -> Array:
        """Return a copy of the controls dFc, shape (L, N, 3, 3); L = 0 before the set-up.

        `diffmpm.Simulation(graph.get_point_cloud(0).particles, graph.config)`, run with them and `control_stride`,
        reproduces every layer bit for bit.
        """
        if self._controls is None:
            return np.zeros((0, *self._initial.F.shape), self._initial.dtype)
        return self._controls.copy()

    def set_controls(self, controls: object) -> None:
        """Replace the controls. Call `compute_forward_pass` afterwards.

        Args:
            controls: Controls dFc, shape (L, N, 3, 3), dtype of the particles; copied.
        """
        _, current = self._set_up()
        array = as_array(controls, "controls", current.shape, current.dtype)
        self._commit(self._opt, self._layers, array.copy(), None)

    @property
    def config(self) -> SimConfig:
        """Configuration for `diffmpm.Simulation`."""
        return self._problem(self._opt, 0).config

    @property
    def control_stride(self) -> int:
        """Steps from one control layer to the next."""
        return self._opt.control_stride

    def _options(self, opt: object) -> OptInput:
        options: OptInput = as_instance(opt, "opt", OptInput)
        return options.copy()

    def _problem(self, opt: OptInput, steps: int, body: Particles | None = None) -> Problem:
        config = SimConfig(
            dx=self._grid.dx,
            dt=opt.dt,
            origin=self._grid.min_point,
            dims=self._grid.dims,
            smoothing=opt.smoothing_factor,
            drag=opt.drag,
            gravity=opt.f_ext,
        )
        return Problem(body or self._initial, config, steps, opt.control_stride, self._loss)

    def _with_objective(self, problem: Problem, reference: Rollout) -> Problem:
        """Add the image loss, as a linear model that is zero at the end of `reference`."""
        if self._render is None:
            return problem
        return replace(problem, objective=self._loss + RenderModel(self._render, reference.x, reference.F))

    def _improve(
        self, opt: OptInput, problem: Problem, controls: Array, search: Callable[[Problem, Tail, Array], Array]
    ) -> float:
        """Store the controls that `search` returns, or the old ones if they are better; return the mass loss."""
        before = self._forward(problem, controls)
        problem = self._with_objective(problem, before.rollout)
        improved = search(problem, problem.tail(before.rollout), controls)
        after = self._forward(problem, improved)
        objective_after, objective_before = (problem.objective.evaluate(p.rollout).value for p in (after, before))
        # A tail is summed in a different order than the whole run: near convergence, rounding can reverse the result.
        if objective_after > objective_before:
            after, improved = before, controls
        self._commit(opt, problem.steps + 1, improved, after)
        return after.mass_loss

    def _forward(self, problem: Problem, controls: Array | None) -> _Pass:
        rollout = Simulation(problem.body, problem.config).rollout(
            problem.steps, controls, control_stride=problem.stride
        )
        return _Pass(rollout, self._loss.evaluate(rollout).value)

    def _set_up(self) -> tuple[Problem, Array]:
        if self._controls is None:
            raise ConfigError("graph: expected layers, got the initial state alone; call set_up_comp_graph(n) first")
        return self._problem(self._opt, self._layers - 1), self._controls

    def _last_pass(self) -> _Pass:
        if self._pass is not None and self._controls_changed():
            self.compute_forward_pass()
        if self._pass is None:
            raise ConfigError(
                "graph: expected a forward pass, got none since the set-up; call compute_forward_pass first"
            )
        return self._pass

    def _commit(self, opt: OptInput, layers: int, controls: Array, last: _Pass | None) -> None:
        self._opt, self._layers, self._pass = opt, layers, last
        self._store_controls(controls)

    def _layer(self, value: int, name: str, last: int, *, negative: bool = False) -> int:
        n = as_integer(value, name, -(last + 1) if negative else 0)
        if n > last:
            raise ConfigError(f"{name}: expected a layer from 0 to {last}, got {n}")
        return n + last + 1 if n < 0 else n


def _zeros(problem: Problem) -> Array:
    return np.zeros((problem.layers, problem.body.count, 3, 3), problem.body.dtype)
