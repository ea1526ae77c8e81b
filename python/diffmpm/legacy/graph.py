# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The computation graph of the seed-compatible interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_positive
from ..config import SimConfig
from ..errors import ConfigError
from ..losses import LogMass, Loss
from ..mpm import Rollout, Simulation
from ..types import Particles
from .clouds import Grid, PointCloud, p2g
from .learning import Learnable
from .options import OptInput, OptionTypeError, as_integer, as_kind
from .render import RenderInput, RenderModel
from .schedule import Descent, OptProgress, Problem, descend, optimize

PASSES = 3
"""Passes over the control layers in one `CompGraph.run_optimization`."""
REFERENCE_MASS = 1.0
"""m_ref [kg] of the log-mass loss, as published: log(1 + m). Far below the mass of a full cell (75 kg at the default
density), so that the loss tells inside from outside rather than densities apart."""
VELOCITY_KEPT = 0.9
"""Share of the velocities that promotion keeps by default. Each animation only asks where the body is at its end, so
chains gather speed that nothing asks for: 25 episodes of sphere to bunny end at 1.1 % of the loss with this share, and
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
    layer, act at the layers 0, stride, 2 stride, ... A call that fails or is interrupted leaves the graph as it was.
    A graph that is pickled or copied runs its layers again, to the same bits; tensors of it stay behind.

    Args:
        input_pc: Initial state; a later change of it does not reach the graph.
        input_grid: Grid of the simulation; only its geometry matters.
        target_grid: Mass of the target, see `p2g`, on a grid of the same geometry; likewise read here and now.

    Raises:
        ConfigError: If an argument is of the wrong kind, the grids do not match, or the target has no mass.
        SimulationError: If a particle of `input_pc` is outside the grid.
    """

    def __init__(self, input_pc: PointCloud, input_grid: Grid, target_grid: Grid) -> None:
        as_kind(input_pc, "input_pc", PointCloud, "use load_point_cloud_from_obj")
        as_kind(input_grid, "input_grid", Grid)
        as_kind(target_grid, "target_grid", Grid)
        for name in ("dims", "dx", "min_point"):
            want, got = getattr(input_grid, name), getattr(target_grid, name)
            if want != got:
                raise ConfigError(
                    f"target_grid: expected {name} {want}, that of input_grid, got {got}; build both grids alike"
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
        self._gradients: Array | None = None
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

        Three passes over the control layers; each layer takes up to max_gd_iters steps along its normalised gradient
        (see `schedule.unit_step`), the first trial of length initial_alpha, halved up to max_ls_iters times until the
        log-mass loss of the end layer falls. With render gradients set, the objective is the log-mass loss plus
        their linear model <dLdF_render, F> + <dLdx_render, x>. Controls of an earlier run of the same shape are
        the start; otherwise they start at zero.

        Args:
            opt: Options; the graph keeps a copy. Mesh paths, grid and material fields are not read: those are in the
                point cloud and the grids already.
            progress: Called with an `OptProgress` after each control layer; what it raises ends the run.

        Returns:
            Log-mass loss of the end layer.

        Raises:
            ConfigError: If an argument is of the wrong kind.
            SimulationError: If the body cannot be run with the controls at the start.
        """
        opt = self._options(opt)
        if progress is not None and not callable(progress):
            raise OptionTypeError(f"progress: expected a callable, got {type(progress).__name__}")
        problem = self._problem(opt, opt.num_timesteps)
        controls = self._start_controls(problem, opt)
        before = self._forward(problem, controls)
        problem = self._with_objective(problem, before.rollout)
        first = problem.tail(before.rollout)
        found = optimize(
            problem, controls, first, _descent(opt), passes=PASSES, episode=opt.current_episodes, progress=progress
        )
        after = self._forward(problem, found)
        # A tail is summed in another order than the whole run, so at convergence rounding may turn the comparison.
        if self._objective(problem, after) > self._objective(problem, before):
            after, found = before, controls
        self._commit(opt, problem.steps + 1, found, after)
        return after.mass_loss

    def optimize_single_timestep(self, layer: int, opt: OptInput | None = None) -> float:
        """Optimise the control of one layer, the others fixed; see `run_optimization`.

        Args:
            layer: Layer at which the control acts: a multiple of control_stride, below the end layer.
            opt: Options of descent (max_gd_iters, max_ls_iters, initial_alpha, gd_tol); those of the set-up if None.
                Its other fields are not read.

        Returns:
            Log-mass loss of the end layer.

        Raises:
            ConfigError: If the graph is not set up, or the layer has no control.
            SimulationError: If the body cannot be run with the controls at the start.
        """
        how = _descent(self._opt if opt is None else self._options(opt))
        problem, controls = self._set_up()
        index, rest = divmod(self._layer(layer, "layer", problem.steps - 1), problem.stride)
        if rest:
            raise ConfigError(f"layer: expected a multiple of the control stride {problem.stride}, got {layer}")
        before = self._forward(problem, controls)
        problem = self._with_objective(problem, before.rollout)
        found = controls.copy()
        descend(problem, problem.tail(before.rollout), index, found, how)
        after = self._forward(problem, found)
        if self._objective(problem, after) > self._objective(problem, before):
            after, found = before, controls
        self._commit(self._opt, self._layers, found, after)
        return after.mass_loss

    def set_up_comp_graph(self, n: int, opt: OptInput | None = None) -> None:
        """Lay out n layers, that is n - 1 steps, with zero controls.

        Args:
            n: Number of layers, at least 2.
            opt: Options of the simulation (dt, drag, f_ext, smoothing_factor, control_stride); those of the last run,
                or the defaults, if None.

        Raises:
            ConfigError: If an argument does not fit.
        """
        layers = as_integer(n, "n", 2)
        kept = self._opt if opt is None else self._options(opt)
        problem = self._problem(kept, layers - 1)
        self._commit(kept, layers, _zeros(problem), None)

    def compute_forward_pass(self, start: int = 0, episode: int = 0) -> float:
        """Run all layers with the current controls.

        Args:
            start: First layer whose state may be out of date. The result is that of running all of them.
            episode: Number of the running episode, without effect on the result.

        Returns:
            Log-mass loss of the end layer.

        Raises:
            ConfigError: If the graph is not set up or an argument does not fit.
            SimulationError: If the body cannot be run.
        """
        problem, controls = self._set_up()
        self._layer(start, "start", problem.steps)
        as_integer(episode, "episode", 0)
        self._controls_changed()  # whatever they are now is what runs
        self._pass = self._forward(problem, controls)
        return self._pass.mass_loss

    def compute_backward_pass(self, layer: int = 0) -> Array:
        """Run the exact adjoint of the last forward pass from the end layer.

        The objective is the log-mass loss, plus the image loss of render gradients where set.

        Args:
            layer: Layer down to which gradients are wanted.

        Returns:
            Gradient with respect to the controls that act at `layer` and after it, shape (K, N, 3, 3).

        Raises:
            ConfigError: If there was no forward pass or the layer does not exist.
        """
        problem, _ = self._set_up()
        done = self._done()
        first = -(-self._layer(layer, "layer", problem.steps) // problem.stride)
        problem = self._with_objective(problem, done.rollout)
        adjoints: dict[str, Any] = dict(problem.objective.evaluate(done.rollout).adj)
        self._gradients = done.rollout.vjp(**adjoints, wrt=("control",)).control
        assert self._gradients is not None
        return self._gradients[first:].copy()

    def promote_last_as_initial(self, carry_grid: bool = False, *, velocity_kept: float = VELOCITY_KEPT) -> None:
        """Make the end layer the initial state of the next animation.

        Positions and deformation gradients go over as they are. The graph is left with that one layer; controls and
        render gradients, which belong to the animation before, are dropped.

        Args:
            carry_grid: Whether the input grid receives the mass of the promoted body, as `p2g` would write it.
                The motion does not depend on it: every step builds its grid anew.
            velocity_kept: Share of v and C that goes over, in [0, 1]; 1 continues the motion without a break.

        Raises:
            ConfigError: If there was no forward pass, or an argument does not fit.
        """
        if not isinstance(carry_grid, bool | np.bool_):
            raise OptionTypeError(f"carry_grid: expected True or False, got {carry_grid!r}")
        share = as_positive(velocity_kept, "velocity_kept", zero=True)
        if share > 1.0:
            raise ConfigError(f"velocity_kept: expected a number in [0, 1], got {share:g}")
        if self._layers == 1:
            raise ConfigError("promote_last_as_initial: expected an animation, got none; call run_optimization first")
        body = self._done().rollout.end_particles()
        if share != 1.0:
            kind = body.dtype.type
            body = body.replace(v=body.v * kind(share), C=body.C * kind(share))
        rest = self._forward(self._problem(self._opt, 0, body), None)
        if carry_grid:
            p2g(PointCloud(body), self._grid)
        self._initial, self._layers, self._controls, self._pass = body, 1, None, rest
        self._gradients = self._render = self._tensor = None

    def get_num_layers(self) -> int:
        """Return the number of layers: steps + 1; 1 before anything was set up."""
        return self._layers

    def get_point_cloud(self, i: int) -> PointCloud:
        """Return the state of layer i, from 0; negative numbers count from the end.

        Raises:
            ConfigError: If the layer does not exist or was not computed yet.
        """
        n = self._layer(i, "i", self._layers - 1, negative=True)
        body, rollout = self._initial, None
        if n > 0:
            rollout = self._done().rollout
            state = rollout.state(n)
            body = body.replace(x=state.x, v=state.v, C=state.C, F=state.F)
        stride = self._opt.control_stride
        acts = self._controls is not None and n % stride == 0 and n < self._layers - 1
        return self._cloud(body, n // stride if acts else None, rollout, n)

    def get_point_cloud_at_timestep(self, i: int) -> PointCloud:
        """Return the state after i steps of the current animation; the same as `get_point_cloud`."""
        return self.get_point_cloud(i)

    def end_layer_mass_loss(self) -> float:
        """Return the log-mass loss of the end layer (of the initial state, before anything was set up).

        Raises:
            ConfigError: If the graph was set up and not run.
        """
        return self._done().mass_loss

    def get_controls(self) -> Array:
        """Return the controls dFc, shape (L, N, 3, 3), L = 0 before anything was set up; a copy.

        `diffmpm.Simulation(graph.get_point_cloud(0).particles, graph.config)` run over them with `control_stride`
        reproduces every layer bitwise.
        """
        return (
            np.zeros((0, *self._initial.F.shape), self._initial.dtype)
            if self._controls is None
            else self._controls.copy()
        )

    def set_controls(self, controls: object) -> None:
        """Replace the controls; run `compute_forward_pass` after it.

        Args:
            controls: Controls dFc, shape (L, N, 3, 3), dtype of the particles; copied.

        Raises:
            ConfigError: If the graph is not set up or the array does not fit.
        """
        _, current = self._set_up()
        given = as_array(controls, "controls", current.shape, current.dtype)
        self._commit(self._opt, self._layers, given.copy(), None)

    @property
    def config(self) -> SimConfig:
        """Configuration of the simulation, as `diffmpm.Simulation` takes it."""
        return self._problem(self._opt, 0).config

    @property
    def control_stride(self) -> int:
        """Steps from one control layer to the next."""
        return self._opt.control_stride

    def _options(self, opt: object) -> OptInput:
        options: OptInput = as_kind(opt, "opt", OptInput)
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
        objective: Loss = self._loss + RenderModel(self._render, reference.x, reference.F)
        return Problem(problem.body, problem.config, problem.steps, problem.stride, objective)

    def _forward(self, problem: Problem, controls: Array | None) -> _Pass:
        rollout = Simulation(problem.body, problem.config).rollout(
            problem.steps, controls, control_stride=problem.stride
        )
        return _Pass(rollout, self._loss.evaluate(rollout).value)

    def _objective(self, problem: Problem, done: _Pass) -> float:
        return problem.objective.evaluate(done.rollout).value

    def _start_controls(self, problem: Problem, opt: OptInput) -> Array:
        """Return the current controls if they fit, else zeros."""
        kept = self._controls
        if kept is not None and self._layers == problem.steps + 1 and self._opt.control_stride == opt.control_stride:
            return kept
        return _zeros(problem)

    def _set_up(self) -> tuple[Problem, Array]:
        if self._controls is None:
            raise ConfigError("graph: expected layers, got the initial state alone; call set_up_comp_graph(n) first")
        return self._problem(self._opt, self._layers - 1), self._controls

    def _done(self) -> _Pass:
        if self._pass is not None and self._controls_changed():
            self.compute_forward_pass()
        if self._pass is None:
            raise ConfigError(
                "graph: expected a forward pass, got none since the set-up; call compute_forward_pass first"
            )
        return self._pass

    def _commit(self, opt: OptInput, layers: int, controls: Array, done: _Pass | None) -> None:
        self._opt, self._layers, self._pass = opt, layers, done
        self._gradients = None
        self._keep_controls(controls)

    def _layer(self, value: int, name: str, last: int, *, negative: bool = False) -> int:
        n = as_integer(value, name, -(last + 1) if negative else 0)
        if n > last:
            raise ConfigError(f"{name}: expected a layer from 0 to {last}, got {n}")
        return n + last + 1 if n < 0 else n


def _zeros(problem: Problem) -> Array:
    return np.zeros((problem.layers, problem.body.count, 3, 3), problem.body.dtype)


def _descent(opt: OptInput) -> Descent:
    return Descent(opt.max_gd_iters, opt.max_ls_iters, opt.initial_alpha, opt.gd_tol)
