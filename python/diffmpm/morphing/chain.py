# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The chain of windows: an immutable state, and the function that advances it by one window."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, move_to, resolve_device, scaled, to_host
from ..errors import SimulationError
from ..types import Particles
from .clock import Clock
from .config import MorphConfig
from .frames import Frame
from .objective import Objective
from .problem import Problem
from .window import Outcome, run_window

STUCK_WINDOWS = 3
"""Number of successive windows without an accepted step after which the chain stops."""

STEP_PROGRESS = 0.995
"""A window that ends above this fraction of the loss of the previous one shortens the step."""

STEP_SHORTER, STEP_LONGER, STEP_LEAST = 0.75, 1.15, 0.03
"""Factors of the step after a poor and after a good window, and its smallest fraction of the configured step."""


@dataclass(frozen=True)
class ChainState:
    """State between two windows. Its arrays are on the device of the windows, those of the frames on the CPU."""

    body: Particles
    """Start of the next window, canonical units."""
    G: Array
    """Motion gradients since the start, shape (N, 3, 3)."""
    step: float
    """First step of the next line search."""
    shown: Array
    """Canonical positions in the last frame, shape (N, 3)."""
    frames: tuple[Frame, ...]
    """Frames so far."""
    history: tuple[dict[str, Any], ...] = field(default=())
    """One record per window."""
    stopped: str = ""
    """Why the chain stopped: "", "converged", "windows", "stuck", "failed", "callback" or "interrupted"."""

    @property
    def window(self) -> int:
        """Number of completed windows."""
        return len(self.history)

    def to(self, device: str) -> ChainState:
        """Return the state with its arrays on a device."""
        if self.body.device == device:
            return self
        return replace(self, body=self.body.to(device), G=move_to(self.G, device), shown=move_to(self.shown, device))


def start_chain(problem: Problem, config: MorphConfig) -> ChainState:
    """Return the state before the first window."""
    body = problem.body
    eye = np.ascontiguousarray(np.broadcast_to(np.eye(3, dtype=body.dtype), (body.count, 3, 3)))
    frame = _frame(problem, config, body.x, body.F, eye, window=0, step=0)
    return ChainState(body=body, G=eye, step=config.step, shown=body.x, frames=(frame,))


def advance(
    state: ChainState, problem: Problem, objective: Objective, config: MorphConfig, clock: Clock | None = None
) -> ChainState:
    """Run one window and return the new state.

    Args:
        state: State before the window, on any device; not modified.
        problem: The morph.
        objective: Objective of the morph.
        config: Configuration.
        clock: Measures "windows" and "frames".

    Returns:
        The state after the window, with `stopped` set if the chain ends.
    """
    clock = clock or Clock()
    start = time.perf_counter()
    state = state.to(resolve_device(config.device))
    try:
        with clock.measure("windows"):
            outcome, halted = _run(state, problem, objective, config)
    except SimulationError as error:
        record = {"window": state.window + 1, "failed": error.cause, "message": str(error)}
        return replace(state, history=(*state.history, record), stopped="failed")
    with clock.measure("frames"):
        frames, shown = _new_frames(state, outcome, problem, config)
        report = outcome.evaluation.report()
        record = _record(state, outcome, report, time.perf_counter() - start, halted)
        state = replace(
            state,
            body=_promote(outcome, config),
            G=_core.multiply(outcome.rollout.G, state.G),
            step=_next_step(state, outcome, _merit(record), config),
            shown=shown,
            frames=(*state.frames, *frames),
            history=(*state.history, record),
        )
    return replace(state, stopped=_stop(state, config))


def last_frame(state: ChainState, problem: Problem, config: MorphConfig) -> ChainState:
    """Add the state itself as a frame, unless it is the last frame already."""
    body = state.body
    if np.array_equal(to_host(state.shown), to_host(body.x)):
        return state
    frame = _frame(problem, config, body.x, body.F, state.G, window=state.window, step=config.window_steps)
    return replace(state, frames=(*state.frames, frame), shown=body.x)


def _run(state: ChainState, problem: Problem, objective: Objective, config: MorphConfig) -> tuple[Outcome, str]:
    """Run the window. If the simulation fails without control, halt the body and retry; return the cause, too."""

    def run(body: Particles) -> Outcome:
        return run_window(problem, objective.begin_window(body, state.history), body, config, state.step)

    body = state.body
    try:
        return run(body), ""
    except SimulationError as error:
        v, C = body.v, body.C
        return run(replace(body, v=_core.zeros(v, v.shape), C=_core.zeros(C, C.shape))), error.cause


def _merit(record: dict[str, Any]) -> float:
    """Return the number that compares the ends of windows: the merit reported by the objective, or else the loss."""
    return float(record.get("merit", record["loss"]))


def _promote(outcome: Outcome, config: MorphConfig) -> Particles:
    """Return the end state as the start of the next window."""
    end = outcome.rollout
    body: Particles = replace(end.particles, x=end.x, v=end.v, C=end.C, F=end.F)
    if config.velocity_kept != 1.0:
        factor = config.velocity_kept
        body = replace(body, v=scaled(body.v, factor), C=scaled(body.C, factor))
    if config.assimilation > 0.0:
        rest = None if body.Fp is None else to_host(body.Fp)
        body = replace(body, Fp=move_to(assimilate(to_host(body.F), rest, config.assimilation), body.device))
    return body


def assimilate(F: Array, Fp: Array | None, eta: float) -> Array:
    """Return S_e^eta Fp, where F Fp^-1 = R_e S_e: moves the rest shape towards the current shape.

    Args:
        F: Deformation gradients, shape (N, 3, 3).
        Fp: Rest state, shape (N, 3, 3), or None for the identity.
        eta: Fraction of the elastic strain that becomes rest shape, in [0, 1].

    Returns:
        New rest state, dtype of `F`.
    """
    rest = np.broadcast_to(np.eye(3), F.shape) if Fp is None else Fp.astype(np.float64)
    elastic = np.matmul(F.astype(np.float64), np.linalg.inv(rest))
    squares, axes = np.linalg.eigh(np.matmul(elastic.transpose(0, 2, 1), elastic))
    stretch = np.matmul(axes * squares[:, None, :] ** (0.5 * eta), axes.transpose(0, 2, 1))
    return np.ascontiguousarray(np.matmul(stretch, rest), dtype=F.dtype)


def _next_step(state: ChainState, outcome: Outcome, merit: float, config: MorphConfig) -> float:
    """Return the first step of the next window: longer if this window ended better than the previous one.

    The line search compares with the same window without control, which drifts as well. Only the ends of successive
    windows show whether the chain still descends.
    """
    if config.optimizer == "lbfgs":
        return config.step
    least = STEP_LEAST * config.step
    if outcome.step == 0.0:
        return max(least, STEP_SHORTER * state.step)
    before = _merit(state.history[-1]) if state.history else np.inf
    factor = STEP_LONGER if merit < STEP_PROGRESS * before else STEP_SHORTER
    return min(config.step, max(least, factor * outcome.step))


def _record(state: ChainState, outcome: Outcome, report: dict[str, Any], seconds: float, halted: str) -> dict[str, Any]:
    det_F_min, det_F_max = _core.determinant_range(outcome.rollout.F)
    return {
        "window": state.window + 1,
        "loss_start": float(outcome.loss_start),
        "loss": float(outcome.loss),
        "terms": {name: float(value) for name, value in outcome.evaluation.terms.items()},
        "step": float(outcome.step),
        "accepted": outcome.accepted,
        "trials": outcome.trials,
        "rejected": dict(outcome.rejected),
        "det_F_min": det_F_min,
        "det_F_max": det_F_max,
        "speed": float(np.sqrt(_core.mean_square(outcome.rollout.v))),
        "halted": halted,
        "device": outcome.rollout.particles.device,
        "seconds": seconds,
        **report,
    }


def _stop(state: ChainState, config: MorphConfig) -> str:
    """Return why the chain ends, "" if it does not."""
    history = state.history
    if len(history) >= STUCK_WINDOWS and all(row["accepted"] == 0 for row in history[-STUCK_WINDOWS:]):
        return "stuck"
    if len(history) > config.patience:
        merits = [_merit(row) for row in history]
        if min(merits[-config.patience :]) > (1.0 - config.tolerance) * min(merits[: -config.patience]):
            return "converged"
    return "windows" if len(history) >= config.windows else ""


def _new_frames(
    state: ChainState, outcome: Outcome, problem: Problem, config: MorphConfig
) -> tuple[list[Frame], Array]:
    """Return one frame per `frame_motion` cells of mean motion, so that films have an even speed."""
    shown, frames = state.shown, []
    rollout = outcome.rollout
    for step in range(1, config.window_steps + 1):
        x = rollout.array(step, "x")
        if _core.mean_distance(x, shown) >= config.frame_motion * problem.sim.dx:
            shown, G = x, _core.multiply(rollout.array(step, "G"), state.G)
            frames.append(_frame(problem, config, x, rollout.array(step, "F"), G, window=state.window + 1, step=step))
    return frames, shown


def _frame(problem: Problem, config: MorphConfig, x: Array, F: Array, G: Array, *, window: int, step: int) -> Frame:
    F, G = (np.ascontiguousarray(to_host(array), dtype=np.float32) for array in (F, G))
    steps = max(window - 1, 0) * config.window_steps + step
    return Frame(problem.to_world(x), F, G, window=window, step=step, time=steps * problem.sim.dt)
