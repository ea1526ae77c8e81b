# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One window: optimise its controls and return the best rollout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .. import _core
from .._arrays import Array, dot, resolve_device
from ..config import SimConfig
from ..errors import SimulationError
from ..mpm import Rollout, Simulation
from ..optimize import LBFGS, Optimizer, Rejected, backtracking, make_optimizer
from ..optimize.lbfgs import Pairs
from ..types import Particles
from .config import MorphConfig
from .groups import Groups
from .objective import Evaluation, WindowObjective

PAIRS_KEPT = 2
"""Number of L-BFGS pairs that a window passes on. Each holds two arrays of the size of the controls."""

RELAXED = 0.98
"""If the determinant of F is below its limit without control, the limit of a trial is this fraction of it."""


@dataclass
class Outcome:
    """Best rollout of a window, and statistics of the search."""

    control: Array
    """Controls of the best rollout, shape (L, N, 3, 3)."""
    evaluation: Evaluation
    """Objective of the best rollout."""
    loss_start: float
    """Objective without control."""
    step: float = 0.0
    """Last accepted step, 0 if none."""
    accepted: int = 0
    """Number of accepted steps."""
    trials: int = 0
    """Number of trial rollouts."""
    pairs: Pairs = ()
    """Last pairs of L-BFGS, for the next window."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejected trials by reason: "increase", "not_finite", "inverted", "left_grid", "degenerate"."""

    @property
    def rollout(self) -> Rollout:
        """Best rollout."""
        return self.evaluation.roll

    @property
    def loss(self) -> float:
        """Objective of the best rollout."""
        return self.evaluation.value


class _CachedMass(Rollout):
    """A rollout that computes the grid mass at its end once for all losses, which only read it."""

    def __init__(self, rollout: Rollout) -> None:
        self.__dict__.update(rollout.__dict__)

    @cached_property
    def _end_mass(self) -> Array:
        return super().grid_mass()

    def grid_mass(self, layer: int = -1) -> Array:
        return self._end_mass if layer in (-1, self.steps) else super().grid_mass(layer)


def run_window(
    sim: SimConfig,
    objective: WindowObjective,
    body: Particles,
    config: MorphConfig,
    step: float,
    pairs: Pairs = (),
) -> Outcome:
    """Optimise the controls of one window, starting from zero, on the configured device.

    Args:
        sim: Configuration of the simulation.
        objective: Objective of this window.
        body: State at the start of the window.
        config: Configuration.
        step: First step of the line search.
        pairs: L-BFGS pairs of the window before.

    Returns:
        The best rollout; the one without control if no step was accepted.

    Raises:
        SimulationError: If the simulation fails without control.
    """
    window = _Window(Simulation(body.to(resolve_device(config.device)), sim), objective, config, pairs)
    if config.schedule == "layered":
        window.optimize_layered(step)
    else:
        window.optimize_jointly(step)
    return window.outcome


def follow(outcome: Outcome, groups: Groups, body: Particles, config: MorphConfig) -> Outcome:
    """Return the outcome of a window of groups for a body of which each particle has the control of its group.

    Args:
        outcome: Outcome of the body that `Groups.merge` returned.
        groups: Groups of the particles.
        body: State of all particles at the start of the window.
        config: Configuration.

    Returns:
        The outcome with the rollout of all particles. Controls and objective are those of the groups.

    Raises:
        SimulationError: If the simulation fails.
    """
    simulation = Simulation(body, outcome.rollout.config)
    control = groups.spread(outcome.control, outcome.rollout.particles, body)
    roll = _roll(simulation, control, config, reads_G=False)
    return replace(outcome, evaluation=replace(outcome.evaluation, roll=roll))


def _roll(simulation: Simulation, control: Array, config: MorphConfig, *, reads_G: bool) -> Rollout:
    return simulation.rollout(
        steps=config.window_steps, control=control, control_stride=config.control_stride, motion_gradient=reads_G
    )


class _Window:
    """Optimisation of one window."""

    def __init__(self, simulation: Simulation, objective: WindowObjective, config: MorphConfig, pairs: Pairs) -> None:
        self._simulation, self._objective, self._config, self._pairs = simulation, objective, config, pairs
        body = simulation.particles
        control = _core.zeros(body.x, (config.control_steps, body.count, 3, 3))
        start = objective.evaluate(self._roll(control))
        self.outcome = Outcome(control, start, start.value)
        least, limit = _core.determinant_range(start.roll.F)[0], config.det_F_min
        self._det_F_least = limit if least >= limit else RELAXED * least

    def optimize_jointly(self, step: float) -> None:
        """Update all control steps at once, `iterations` times."""
        optimizer = self._optimizer(step)
        scales = self._config.optimizer == "lbfgs"  # its own directions: the step is the size of the first one
        for iteration in range(self._config.iterations):
            accepted = self._descend(optimizer, slice(None), 1.0 if scales else step)
            if accepted == 0.0:
                return
            if isinstance(optimizer, LBFGS):
                self.outcome.pairs = optimizer.pairs[-PAIRS_KEPT:]
            if not scales:
                self.outcome.step = accepted
                step = min(self._config.step, 2.0 * accepted)
            elif iteration == 0:
                self.outcome.step = accepted * step

    def optimize_layered(self, step: float) -> None:
        """Update one control step after the other, first to last, in `passes` passes (Xu et al.)."""
        optimizers = [self._optimizer(step) for _ in range(self._config.control_steps)]
        for _ in range(self._config.passes):
            accepted = [self._descend(optimizer, index, step) for index, optimizer in enumerate(optimizers)]
            if not any(accepted):
                return
            self.outcome.step = max(accepted)

    def _roll(self, control: Array) -> Rollout:
        return _CachedMass(_roll(self._simulation, control, self._config, reads_G=self._objective.reads_G))

    def _evaluate(self, control: Array) -> tuple[float, Evaluation]:
        """Return the objective of a trial, or raise `Rejected` with the reason."""
        if _core.count_not_finite(control) > 0:
            raise Rejected("not_finite")
        try:
            rollout = self._roll(control)
        except SimulationError as error:
            raise Rejected(error.cause) from error
        if _core.count_not_finite(rollout.x) > 0:
            raise Rejected("not_finite")
        det_F = _core.determinant_range(rollout.F)[0]
        if not det_F > 0.0:
            raise Rejected("inverted")
        if det_F < self._det_F_least:
            raise Rejected("compressed")
        evaluation = self._objective.evaluate(rollout)
        return evaluation.value, evaluation

    def _optimizer(self, step: float) -> Optimizer:
        config = self._config
        options: dict[str, dict[str, Any]] = {
            "adam": {"beta1": config.beta1, "beta2": config.beta2, "eps": config.eps},
            "lbfgs": {"first": step},
        }
        optimizer = make_optimizer(config.optimizer, **options.get(config.optimizer, {}))
        if isinstance(optimizer, LBFGS):
            optimizer.start_from(self._pairs)
        return optimizer

    def _descend(self, optimizer: Optimizer, part: int | slice, step: float) -> float:
        """Update the control steps `part` by one line search; return the accepted step.

        If no step is accepted, return 0 and restore the optimiser.
        """
        outcome, config = self.outcome, self._config
        gradient = outcome.evaluation.gradient()[part]
        if _core.count_not_finite(gradient) > 0:
            outcome.rejected["gradient"] += 1
            return 0.0
        before = optimizer.state()
        direction = optimizer.direction(outcome.control[part], gradient)
        search = backtracking(
            self._evaluate,
            outcome.control,
            outcome.loss,
            direction,
            step=step,
            shrink=config.shrink,
            trials=config.trials,
            row=part if isinstance(part, int) else None,
            slope=dot(direction, gradient),
        )
        outcome.trials += search.trials
        outcome.rejected.update(search.rejected)
        if search.payload is None:
            optimizer.restore(before)
            return 0.0
        outcome.control, outcome.evaluation = search.control, search.payload
        outcome.accepted += 1
        return search.step
