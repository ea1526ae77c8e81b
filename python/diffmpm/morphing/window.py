# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One window: optimise its controls and return the best rollout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from .. import _core
from .._arrays import Array, chosen_device, zeros_like
from ..errors import SimulationError
from ..mpm import Rollout, Simulation
from ..optimize import Optimizer, Rejected, backtracking, make_optimizer
from ..types import Particles
from .config import MorphConfig
from .objective import Evaluation, Objective
from .problem import Problem


@dataclass
class Outcome:
    """Result of a window."""

    rollout: Any
    """Accepted rollout."""
    control: Array
    """Its controls, shape (L, N, 3, 3)."""
    loss: float
    """Objective at its end."""
    loss_start: float
    """Objective of the window without control."""
    value: Evaluation
    """Objective at its end, with its terms."""
    step: float = 0.0
    """Last accepted step, 0 if none."""
    accepted: int = 0
    """Number of accepted steps."""
    trials: int = 0
    """Number of trial rollouts."""
    report: dict[str, Any] = field(default_factory=dict)
    """What the objective adds to the record of the window."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rejected trials by reason: "increase", "not_finite", "inverted", "left_grid", "degenerate"."""

    def take(self, search: Any) -> bool:
        """Take over what a line search accepted; say whether it did."""
        self.trials += search.trials
        self.rejected.update(search.rejected)
        if not search.accepted:
            return False
        self.rollout, self.value = search.payload
        self.control, self.loss, self.step = search.control, search.value, search.step
        self.accepted += 1
        return True


class Ended:
    """A rollout whose mass on the grid is worked out once for all losses, which only read it.

    Args:
        rollout: The rollout.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rollout, name)

    @cached_property
    def _mass(self) -> Array:
        return self._rollout.grid_mass()

    def grid_mass(self) -> Array:
        """Return the mass on the grid at the rollout's end."""
        return self._mass


def run_window(problem: Problem, objective: Objective, body: Particles, config: MorphConfig, step: float) -> Outcome:
    """Optimise the controls of one window from rest controls, on the device of the configuration.

    Args:
        problem: The morph.
        objective: Objective of this window.
        body: State at the start of the window.
        config: Configuration.
        step: First step of the line search.

    Returns:
        The accepted rollout; that without control where no step was accepted.

    Raises:
        SimulationError: If the state cannot even continue without control.
    """
    body = body.to(chosen_device(config.device))
    simulation = Simulation(body, problem.sim)
    control = _core.zeros(body.x, (config.layers, body.count, 3, 3))
    rollout = _roll(simulation, control, config)
    value = objective.evaluate(cast("Rollout", Ended(rollout)))
    outcome = Outcome(rollout, control, value.value, value.value, value)
    if config.schedule == "layered":
        _layered(simulation, objective, config, step, outcome)
    else:
        _joint(simulation, objective, config, step, outcome)
    outcome.report = objective.report(outcome.value)
    return outcome


def _roll(simulation: Any, control: Array, config: MorphConfig) -> Any:
    return simulation.rollout(
        steps=config.steps + config.released_steps,
        control=control,
        control_stride=config.control_stride,
        motion_gradient=True,
    )


def _evaluator(simulation: Any, objective: Objective, config: MorphConfig) -> Any:
    """Return the evaluation of a trial: (objective, (rollout, value)), or `Rejected` with the guard that fired."""

    def evaluate(control: Array) -> tuple[float, Any]:
        if _core.count_not_finite(control) > 0:
            raise Rejected("not_finite")
        try:
            rollout = _roll(simulation, control, config)
        except SimulationError as error:
            raise Rejected(error.cause) from error
        if _core.count_not_finite(rollout.x) > 0:
            raise Rejected("not_finite")
        if not _core.determinant_range(rollout.F)[0] > 0.0:
            raise Rejected("inverted")
        value = objective.evaluate(cast("Rollout", Ended(rollout)))
        return value.value, (rollout, value)

    return evaluate


def _optimizer(config: MorphConfig) -> Optimizer:
    if config.optimizer == "adam":
        return make_optimizer("adam", beta1=config.beta1, beta2=config.beta2, eps=config.eps)
    if config.optimizer == "lbfgs":
        return make_optimizer("lbfgs", first=config.step)
    return make_optimizer(config.optimizer)


def _first_step(config: MorphConfig, step: float) -> float:
    """L-BFGS directions carry their own length."""
    return 1.0 if config.optimizer == "lbfgs" else step


def _descend(
    objective: Objective,
    evaluate: Callable[[Array], tuple[float, Any]],
    optimizer: Optimizer,
    part: int | slice,
    config: MorphConfig,
    step: float,
    outcome: Outcome,
) -> float:
    """Move the layers `part` by one line search; return the accepted step, 0 if none, with the moments restored."""
    gradient = objective.gradient(outcome.rollout, outcome.value)[part]
    if _core.count_not_finite(gradient) > 0:
        outcome.rejected["gradient"] += 1
        return 0.0
    before = optimizer.state()
    direction = optimizer.direction(outcome.control[part], gradient)
    if not isinstance(part, slice):  # one layer of all
        whole = zeros_like(outcome.control)
        whole[part] = direction
        direction = whole
    search = backtracking(
        evaluate,
        outcome.control,
        outcome.loss,
        direction,
        step=_first_step(config, step),
        shrink=config.shrink,
        trials=config.trials,
    )
    if outcome.take(search):
        return float(search.step)
    optimizer.restore(before)
    return 0.0


def _joint(simulation: Any, objective: Objective, config: MorphConfig, step: float, outcome: Outcome) -> None:
    """Move all layers at once, `iterations` times."""
    optimizer, evaluate = _optimizer(config), _evaluator(simulation, objective, config)
    for _ in range(config.iterations):
        accepted = _descend(objective, evaluate, optimizer, slice(None), config, step, outcome)
        if accepted == 0.0:
            return
        step = min(config.step, 2.0 * accepted)


def _layered(simulation: Any, objective: Objective, config: MorphConfig, step: float, outcome: Outcome) -> None:
    """Move one layer after the other, first to last, `passes` times (Xu et al.)."""
    evaluate = _evaluator(simulation, objective, config)
    optimizers = [_optimizer(config) for _ in range(config.layers)]
    for _ in range(config.passes):
        steps = [_descend(objective, evaluate, o, layer, config, step, outcome) for layer, o in enumerate(optimizers)]
        if not any(steps):
            return
