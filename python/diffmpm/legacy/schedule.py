# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The published schedule: optimise one control layer after the other, in several passes (Xu et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import Array
from ..config import SimConfig
from ..errors import SimulationError
from ..losses import Loss, LossValue
from ..mpm import Rollout, Simulation
from ..optimize import Rejected, backtracking
from ..types import Particles
from .options import OptInput


@dataclass(frozen=True)
class OptProgress:
    """Argument of progress callbacks, which are called after each control layer."""

    episode: int
    """`OptInput.current_episodes`."""
    sweep: int
    """Pass over the layers, from 0."""
    sweeps: int
    """Number of passes."""
    layer: int
    """Control layer, from 0."""
    layers: int
    """Number of control layers."""
    loss: float
    """Objective at the end layer with the current controls."""

    @property
    def fraction(self) -> float:
        """Completed fraction of the run, in (0, 1]."""
        return (self.sweep * self.layers + self.layer + 1) / (self.sweeps * self.layers)


@dataclass(frozen=True)
class Problem:
    """One animation: a body, its simulation, and the objective of its end layer."""

    body: Particles
    """Initial state."""
    config: SimConfig
    steps: int
    """Number of steps T."""
    stride: int
    """Steps from one control layer to the next."""
    objective: Loss

    @property
    def layers(self) -> int:
        """Number of control layers."""
        return -(-self.steps // self.stride)

    def roll(self, body: Particles, layer: int, controls: Array) -> Tail:
        """Run from control layer `layer`, with state `body` and the controls from there on, to the end."""
        rollout = Simulation(body, self.config).rollout(
            self.steps - layer * self.stride, controls, control_stride=self.stride
        )
        return self.tail(rollout, layer)

    def tail(self, rollout: Rollout, layer: int = 0) -> Tail:
        """Evaluate the objective at the end of a rollout from control layer `layer` on."""
        return Tail(layer, rollout, self.objective.evaluate(rollout))


@dataclass(frozen=True)
class Tail:
    """Rollout from a control layer to the end, and the objective there."""

    layer: int
    rollout: Rollout
    value: LossValue


def unit_step(gradient: Array) -> Array:
    """Return the gradient normalised per particle: g_p / sqrt(|g_p|^2 + mean_q |g_q|^2).

    Small gradients are divided by the root mean square norm over the particles, large ones by their own norm. No
    particle moves by more than 1 in the Frobenius norm, whatever the particle count and the scale of the loss, and a
    few huge gradients neither dominate the step nor throw their particles out of the body. A positive diagonal scaling
    preserves descent directions. The gradient, shape (N, 3, 3), is finite.
    """
    peak = float(np.max(np.abs(gradient), initial=0.0))
    if peak == 0.0:
        return gradient
    scaled: Array = gradient / gradient.dtype.type(peak)  # squares of tiny float32 numbers would underflow
    squares = np.einsum("pij,pij->p", scaled, scaled)
    scaled /= np.sqrt(squares + squares.mean())[:, None, None]
    return scaled


def descend(problem: Problem, tail: Tail, layer: int, controls: Array, opt: OptInput) -> Tail:
    """Optimise one control layer, with the others fixed, by normalised gradient descent and a halving line search.

    Only the steps from the layer on are repeated: earlier steps do not depend on it.

    Args:
        problem: The animation.
        tail: Run with the current controls from a control layer not after `layer`.
        layer: Control layer.
        controls: All controls, shape (L, N, 3, 3); `controls[layer]` is overwritten when a step is accepted.
        opt: Options max_gd_iters, max_ls_iters, initial_alpha and gd_tol.

    Returns:
        Run with the updated controls.
    """
    start: Particles | None = None
    for _ in range(opt.max_gd_iters):
        gradient = tail.rollout.vjp(**tail.value.adj, wrt=("control",)).control
        assert gradient is not None
        gradient = gradient[layer - tail.layer]
        if not np.isfinite(gradient).all() or not gradient.any():
            return tail
        if start is None:
            state = tail.rollout.state((layer - tail.layer) * problem.stride)
            start = problem.body.replace(x=state.x, v=state.v, C=state.C, F=state.F)

        def evaluate(control: Array, body: Particles = start) -> tuple[float, Tail]:
            try:
                trial = problem.roll(body, layer, np.concatenate([control[None], controls[layer + 1 :]]))
            except SimulationError as error:
                raise Rejected(error.cause) from error
            return trial.value.value, trial

        before = tail.value.value
        search = backtracking(
            evaluate, controls[layer], before, unit_step(gradient), step=opt.initial_alpha, trials=opt.max_ls_iters
        )
        if search.payload is None:
            return tail
        controls[layer], tail = search.control, search.payload
        if before - search.value < opt.gd_tol * abs(before):
            return tail
    return tail


def optimize(
    problem: Problem,
    controls: Array,
    tail: Tail,
    opt: OptInput,
    *,
    passes: int,
    progress: Callable[[OptProgress], object] | None,
) -> Array:
    """Optimise all control layers, first to last, in several passes.

    Args:
        problem: The animation.
        controls: Start, shape (L, N, 3, 3); not modified.
        tail: Run of all steps with these controls.
        opt: Options of the descent, and current_episodes for the callback.
        passes: Largest number of passes; a pass that lowers the objective by less than the tolerance is the last.
        progress: Called after each layer.

    Returns:
        Controls, shape (L, N, 3, 3).
    """
    controls = controls.copy()
    for sweep in range(passes):
        if sweep > 0:
            tail = problem.roll(problem.body, 0, controls)
        before = tail.value.value
        for layer in range(problem.layers):
            tail = descend(problem, tail, layer, controls, opt)
            if progress is not None:
                progress(OptProgress(opt.current_episodes, sweep, passes, layer, problem.layers, tail.value.value))
        if before - tail.value.value < opt.gd_tol * abs(before):
            break
    return controls
