# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The chain of windows: an immutable state and the function that advances it by one window."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, chosen_device, place, to_host, zeros_like
from ..errors import SimulationError
from ..types import Particles
from .clock import Clock
from .config import MorphConfig
from .frames import Frame
from .objective import Objective
from .problem import Problem
from .window import Outcome, run_window

STUCK_WINDOWS = 3
"""Windows in a row without an accepted step after which the chain stops."""

STEP_PROGRESS = 0.995
"""A window that ends above this share of the loss of the one before shortens the step."""

STEP_SHORTER, STEP_LONGER, STEP_LEAST = 0.75, 1.15, 0.03
"""Factors of the step after a poor and after a good window, and its smallest share of the configured step."""


@dataclass(frozen=True)
class ChainState:
    """State at the border of two windows; `advance` returns a new one and never writes into an old one.

    Its arrays are where the windows are computed, those of the frames on the CPU.
    """

    body: Particles
    """State that the next window starts from, canonical units."""
    G: Array
    """Motion gradients since the start, shape (N, 3, 3)."""
    step: float
    """First step of the next line search."""
    shown: Array
    """Canonical positions of the last frame, shape (N, 3)."""
    frames: tuple[Frame, ...]
    """Frames so far."""
    history: tuple[dict[str, Any], ...] = field(default=())
    """One record a window."""
    stopped: str = ""
    """Why the chain stopped: "", "converged", "windows", "stuck", "failed", "callback" or "interrupted"."""

    @property
    def window(self) -> int:
        """Number of windows done."""
        return len(self.history)


def start_chain(problem: Problem, config: MorphConfig) -> ChainState:
    """Return the state before the first window."""
    body = problem.body
    eye = np.ascontiguousarray(np.broadcast_to(np.eye(3, dtype=body.dtype), (body.count, 3, 3)))
    frame = Frame(problem.to_world(body.x), _single(body.F), _single(eye), window=0, step=0, time=0.0)
    return ChainState(body=body, G=eye, step=config.step, shown=body.x, frames=(frame,))


def advance(
    state: ChainState, problem: Problem, objective: Objective, config: MorphConfig, clock: Clock | None = None
) -> ChainState:
    """Run one window and promote its end.

    Args:
        state: State before it, wherever its arrays are; not changed.
        problem: The morph.
        objective: What is minimised.
        config: Configuration.
        clock: Gets the time of the window and that of frames and record.

    Returns:
        The state after it, with `stopped` set where the chain ends.
    """
    clock = clock or Clock()
    began = time.perf_counter()
    state = _on(state, chosen_device(config.device))
    try:
        with clock.measure("windows"):
            outcome, halted = _run(state, problem, objective, config)
    except SimulationError as error:
        record = {"window": state.window + 1, "failed": error.cause, "message": str(error)}
        return replace(state, history=(*state.history, record), stopped="failed")
    with clock.measure("frames"):
        frames, shown = _new_frames(state, outcome, problem, config)
        state = replace(
            state,
            body=_promote(outcome, config),
            G=_core.multiply(outcome.rollout.G, state.G),
            step=_next_step(state, outcome, config),
            shown=shown,
            frames=(*state.frames, *frames),
            history=(*state.history, _record(state, outcome, time.perf_counter() - began, halted)),
        )
    return replace(state, stopped=_stop(state, config))


def on_host(state: ChainState) -> ChainState:
    """Return the state with its arrays on the CPU."""
    return _on(state, "cpu")


def _on(state: ChainState, device: str) -> ChainState:
    """Return the state with its arrays on a device."""
    if state.body.device == device:
        return state
    return replace(state, body=state.body.to(device), G=place(state.G, device), shown=place(state.shown, device))


def last_frame(state: ChainState, problem: Problem, config: MorphConfig) -> ChainState:
    """Add the state itself as a frame unless it is the last one already."""
    x = to_host(state.body.x)
    if np.array_equal(to_host(state.shown), x):
        return state
    at = _time(problem, config, state.window, 0)
    frame = Frame(
        problem.to_world(x), _single(state.body.F), _single(state.G), window=state.window, step=_steps(config), time=at
    )
    return replace(state, frames=(*state.frames, frame), shown=state.body.x)


def _run(state: ChainState, problem: Problem, objective: Objective, config: MorphConfig) -> tuple[Outcome, str]:
    """Run the window; where even the uncontrolled body would break, halt it first and say why."""
    try:
        return _window(state, state.body, problem, objective, config), ""
    except SimulationError as error:
        body = replace(state.body, v=zeros_like(state.body.v), C=zeros_like(state.body.C))
        return _window(state, body, problem, objective, config), error.cause


def _window(state: ChainState, body: Particles, problem: Problem, objective: Objective, config: MorphConfig) -> Outcome:
    """Run the window from a body."""
    return run_window(problem, objective.begin_window(body, state.history), body, config, state.step)


def _merit(row: dict[str, Any]) -> float:
    """Return what compares the ends of windows: the merit that an objective reports, or else the loss."""
    return float(row.get("merit", row["loss"]))


def _promote(outcome: Outcome, config: MorphConfig) -> Particles:
    """Return the end state as the start of the next window."""
    end = outcome.rollout
    body: Particles = replace(end.particles, x=end.x, v=end.v, C=end.C, F=end.F)
    if config.velocity_kept != 1.0:
        kept = body.dtype.type(config.velocity_kept)
        body = replace(body, v=body.v * kept, C=body.C * kept)
    if config.assimilation > 0.0:
        rest = None if body.Fp is None else to_host(body.Fp)
        body = replace(body, Fp=place(assimilate(to_host(body.F), rest, config.assimilation), body.device))
    return body


def assimilate(F: Array, Fp: Array | None, eta: float) -> Array:
    """Return S_e^eta Fp, where F Fp^-1 = R_e S_e: the rest shape moves towards the shape reached.

    Args:
        F: Deformation gradients, shape (N, 3, 3).
        Fp: Rest state, shape (N, 3, 3), or None for the identity.
        eta: Share of the elastic strain that becomes rest shape, in [0, 1].

    Returns:
        New rest state, dtype of `F`.
    """
    rest = np.broadcast_to(np.eye(3), F.shape) if Fp is None else Fp.astype(np.float64)
    elastic = np.matmul(F.astype(np.float64), np.linalg.inv(rest))
    squares, axes = np.linalg.eigh(np.matmul(elastic.transpose(0, 2, 1), elastic))
    stretch = np.matmul(axes * squares[:, None, :] ** (0.5 * eta), axes.transpose(0, 2, 1))
    return np.ascontiguousarray(np.matmul(stretch, rest), dtype=F.dtype)


def _next_step(state: ChainState, outcome: Outcome, config: MorphConfig) -> float:
    """Return the first step of the next window: shorter after a window that ended no better, longer after one that did.

    A line search compares with the same window without control, which also drifts; only the ends of successive windows
    tell whether the chain still descends.
    """
    if config.optimizer == "lbfgs":
        return config.step
    least = STEP_LEAST * config.step
    if outcome.step == 0.0:
        return max(least, STEP_SHORTER * state.step)
    before = _merit(state.history[-1]) if state.history else np.inf
    after = outcome.report.get("merit", outcome.loss)
    factor = STEP_LONGER if after < STEP_PROGRESS * before else STEP_SHORTER
    return min(config.step, max(least, factor * outcome.step))


def _record(state: ChainState, outcome: Outcome, seconds: float, halted: str) -> dict[str, Any]:
    det_F_min, det_F_max = _core.determinant_range(outcome.rollout.F)
    return {
        "window": state.window + 1,
        "loss_start": float(outcome.loss_start),
        "loss": float(outcome.loss),
        "terms": {name: float(value) for name, value in outcome.value.terms.items()},
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
        **outcome.report,
    }


def _stop(state: ChainState, config: MorphConfig) -> str:
    """Return why the chain ends here, "" if it goes on."""
    history = state.history
    if len(history) >= STUCK_WINDOWS and all(row["accepted"] == 0 for row in history[-STUCK_WINDOWS:]):
        return "stuck"
    if len(history) > config.patience:
        losses = [_merit(row) for row in history]
        if min(losses[-config.patience :]) > (1.0 - config.tolerance) * min(losses[: -config.patience]):
            return "converged"
    return "windows" if len(history) >= config.windows else ""


def _new_frames(
    state: ChainState, outcome: Outcome, problem: Problem, config: MorphConfig
) -> tuple[list[Frame], Array]:
    """Return a frame for each `frame_motion` cells of mean motion, so that a film of them moves evenly."""
    shown, frames = state.shown, []
    rollout = outcome.rollout
    for step in range(1, _steps(config) + 1):
        x = rollout.array(step, "x")
        if _core.mean_distance(x, shown) < config.frame_motion * problem.sim.dx:
            continue
        shown = x
        frames.append(
            Frame(
                x=problem.to_world(x),
                F=_single(rollout.array(step, "F")),
                G=_single(_core.multiply(rollout.array(step, "G"), state.G)),
                window=state.window + 1,
                step=step,
                time=_time(problem, config, state.window, step),
            )
        )
    return frames, shown


def _steps(config: MorphConfig) -> int:
    return config.steps + config.released_steps


def _time(problem: Problem, config: MorphConfig, windows: int, step: int) -> float:
    return (windows * _steps(config) + step) * problem.sim.dt


def _single(array: Array) -> Array:
    return np.ascontiguousarray(to_host(array), dtype=np.float32)
