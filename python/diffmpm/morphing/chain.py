# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The chain of windows: an immutable state, and the function that advances it by one window."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, add_scaled, identities, move_to, resolve_device, scaled, to_host
from ..errors import SimulationError
from ..optimize.lbfgs import Pairs
from ..types import Particles
from .clock import Clock
from .config import MorphConfig
from .frames import Frame
from .groups import groups_of
from .objective import Objective
from .problem import Problem
from .window import Outcome, follow, run_window

STUCK_WINDOWS = 3
"""Number of successive windows without progress after which a level ends."""

MEMORY = 3
"""A window is rejected if its merit is above those of this many accepted windows before it. The largest of them can
then never rise, so that no chain diverges (Grippo, Lampariello and Lucidi 1986)."""

STEP_PROGRESS = 0.995
"""A window that ends above this fraction of the best merit before it shortens the step of Adam and gradient descent."""

STEP_SHORTER, STEP_LONGER, STEP_LEAST = 0.75, 1.15, 0.03
"""Factors of the step after a poor and after a good window, and its smallest fraction of the configured step."""

FIRST_SHORTER, FIRST_LONGER = 0.3, 1.5
"""Factors of the first L-BFGS step of a window after one without an accepted step, and after any other."""

MOTION_QUANTILE = 0.99
"""Quantile of the motion of the particles that separates frames."""


@dataclass(frozen=True)
class Best:
    """State after the window with the smallest merit of a level."""

    frame: Frame
    """End of the window."""
    body: Particles
    """Start of the next window, canonical units."""


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
    level: int = 0
    """Level of the grid, from the coarsest."""
    time: float = 0.0
    """Time since the start, canonical units."""
    best: Best | None = None
    """Best state of this level."""
    pairs: Pairs = ()
    """L-BFGS pairs of the last window of this level."""
    history: tuple[dict[str, Any], ...] = field(default=())
    """One record per window."""
    stopped: str = ""
    """Why the chain stopped: "", "converged", "windows", "stuck", "failed", "callback" or "interrupted"."""

    @property
    def window(self) -> int:
        """Number of completed windows."""
        return len(self.history)

    def merits(self) -> list[float]:
        """Return the merits of the accepted windows of this level."""
        return [_merit(row) for row in self.history if row.get("level") == self.level and row["accepted_window"]]

    def to(self, device: str) -> ChainState:
        """Return the state with its arrays on a device."""
        if self.body.device == device:
            return self
        best = None if self.best is None else replace(self.best, body=self.best.body.to(device))
        G, shown = move_to(self.G, device), move_to(self.shown, device)
        pairs = tuple((move_to(step, device), move_to(change, device)) for step, change in self.pairs)
        return replace(self, body=self.body.to(device), G=G, shown=shown, best=best, pairs=pairs)


def start_chain(problem: Problem, config: MorphConfig) -> ChainState:
    """Return the state before the first window."""
    body = problem.body
    eye = identities(body.F)
    frame = _frame(problem, body.x, body.F, eye, window=0, step=0, time=0.0)
    return ChainState(body=body, G=eye, step=config.step, shown=body.x, frames=(as_stored(frame, config),))


def advance(
    state: ChainState,
    problem: Problem,
    objectives: Sequence[Objective],
    config: MorphConfig,
    clock: Clock | None = None,
) -> ChainState:
    """Run one window and return the new state.

    Args:
        state: State before the window, on any device; not modified.
        problem: The morph.
        objectives: Objective of each level.
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
            outcome, halted = _run(state, problem, objectives[state.level], config)
    except SimulationError as error:
        record = {"window": state.window + 1, "failed": error.cause, "message": str(error)}
        return replace(state, history=(*state.history, record), stopped="failed")
    with clock.measure("frames"):
        record = _record(state, outcome, outcome.evaluation.report(), time.perf_counter() - start, halted)
        merits = state.merits()
        record["accepted_window"] = not merits or _merit(record) <= max(merits[-MEMORY:])
        if record["accepted_window"]:
            state = _accepted(state, outcome, record, problem, config)
        else:
            state = _rejected(state, outcome, record, config)
    return _next_level(state, problem, config)


def _accepted(
    state: ChainState, outcome: Outcome, record: dict[str, Any], problem: Problem, config: MorphConfig
) -> ChainState:
    """Return the state after a window whose end becomes the start of the next one."""
    frames, shown, G = _new_frames(state, outcome, problem, config)
    roll, body = outcome.rollout, _promote(outcome, config)
    merits, best = state.merits(), state.best
    end = state.time + config.window_steps * problem.sims[state.level].dt
    if not merits or _merit(record) < min(merits):
        frame = _frame(problem, roll.x, roll.F, G, window=state.window + 1, step=config.window_steps, time=end)
        best = Best(frame, body)
    return replace(
        state,
        body=body,
        G=G,
        step=_next_step(merits, outcome, _merit(record), state.step, config),
        shown=shown,
        frames=(*state.frames, *frames),
        history=(*state.history, record),
        time=end,
        best=best,
        pairs=outcome.pairs,
    )


def _rejected(state: ChainState, outcome: Outcome, record: dict[str, Any], config: MorphConfig) -> ChainState:
    """Return the start of the window at rest, with a shorter step."""
    step = max(STEP_LEAST * config.step, STEP_SHORTER**2 * (outcome.step or state.step))
    return replace(state, body=_at_rest(state.body), step=step, pairs=(), history=(*state.history, record))


def _at_rest(body: Particles) -> Particles:
    """Return a body without velocities."""
    return replace(body, v=_core.zeros(body.v, body.v.shape), C=_core.zeros(body.C, body.C.shape))


def _next_level(state: ChainState, problem: Problem, config: MorphConfig) -> ChainState:
    """Return the state with `stopped` set if the chain ends, or on the next grid if that of this level is done."""
    last = state.level == len(problem.sims) - 1
    stopped = _stop(state, config, last=last)
    if last or stopped in ("", "windows"):
        return replace(state, stopped=stopped)
    return replace(state, body=_at_rest(state.body), level=state.level + 1, step=config.step, best=None, pairs=())


def resumed(state: ChainState, problem: Problem, config: MorphConfig) -> ChainState:
    """Return a state from a checkpoint, with `stopped` set if the chain had ended when it was interrupted."""
    if state.stopped or not state.history:
        return state
    return replace(state, stopped=_stop(state, config, last=state.level == len(problem.sims) - 1))


def last_frame(state: ChainState, problem: Problem) -> ChainState:
    """End the frames with the best state of the last level, or with the body before the first window of a level."""
    if state.best is None:
        body = state.body
        last = _frame(problem, body.x, body.F, state.G, window=state.window, step=0, time=state.time)
    else:
        last = state.best.frame
    return replace(state, frames=(*(frame for frame in state.frames if frame.time < last.time), last))


def _run(state: ChainState, problem: Problem, objective: Objective, config: MorphConfig) -> tuple[Outcome, str]:
    """Run the window. If the simulation fails without control, halt the body and retry; return the cause, too."""
    sim = problem.sims[state.level]

    def run(body: Particles, pairs: Pairs = state.pairs) -> Outcome:
        window = objective.begin_window(body, state.history)
        return run_window(sim, window, body, config, state.step, pairs)

    groups = None
    if objective.allows_groups:
        groups = groups_of(state.body.x, (sim.dx / problem.sims[-1].dx) ** 3, widest=sim.dx)
    if groups is not None:
        with suppress(SimulationError):
            outcome = follow(run(groups.merge(state.body), ()), groups, state.body, config)
            if _core.determinant_range(outcome.rollout.F)[0] >= config.det_F_min:
                return replace(outcome, pairs=()), ""
    try:
        return run(state.body), ""
    except SimulationError as error:
        return run(_at_rest(state.body)), error.cause


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


def _next_step(merits: list[float], outcome: Outcome, merit: float, step: float, config: MorphConfig) -> float:
    """Return the first step of the next window.

    The line search compares with the same window without control, which moves as well. Only the ends of successive
    windows show whether the chain still descends. Two windows may alternate, so a good one is compared with the best
    before the last.
    """
    if config.optimizer == "lbfgs":
        return min(config.step, FIRST_LONGER * outcome.step if outcome.step > 0.0 else FIRST_SHORTER * step)
    least = STEP_LEAST * config.step
    if outcome.step == 0.0:
        return max(least, STEP_SHORTER * step)
    good = min([*merits[-1:], merit]) < STEP_PROGRESS * min(merits[:-1], default=np.inf)
    return min(config.step, max(least, (STEP_LONGER if good else STEP_SHORTER) * outcome.step))


def _record(state: ChainState, outcome: Outcome, report: dict[str, Any], seconds: float, halted: str) -> dict[str, Any]:
    det_F_min, det_F_max = _core.determinant_range(outcome.rollout.F)
    return {
        "window": state.window + 1,
        "level": state.level,
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


def _stop(state: ChainState, config: MorphConfig, *, last: bool) -> str:
    """Return why the level ends, "" if it does not."""
    rows = [row for row in state.history if row.get("level") == state.level]
    recent = rows[-STUCK_WINDOWS:]
    if len(recent) == STUCK_WINDOWS and not any(row["accepted"] and row["accepted_window"] for row in recent):
        return "stuck"
    patience, tolerance = (config.patience, config.tolerance) if last else (1, config.level_tolerance)
    merits = [_merit(row) for row in rows]
    if last and merits and min(merits) <= config.arrival * rows[-1].get("sample_loss", 0.0):
        return "converged"
    if len(merits) > patience and min(merits[-patience:]) > (1.0 - tolerance) * min(merits[:-patience]):
        return "converged" if merits[-1] <= (1.0 + tolerance) * min(merits) else "stuck"
    return "windows" if len(state.history) >= config.windows else ""


def _new_frames(
    state: ChainState, outcome: Outcome, problem: Problem, config: MorphConfig
) -> tuple[list[Frame], Array, Array]:
    """Return one frame per `frame_motion` spacings of motion of the fastest particles, so that no part jumps.

    Returns:
        Frames, positions in the last frame, and motion gradients since the start of the morph at the end.
    """
    shown, frames, G = state.shown, [], state.G
    rollout, sim = outcome.rollout, problem.sims[state.level]
    identity = identities(G)
    for step in range(1, config.window_steps + 1):
        # As in each time step; trial rollouts do not carry it.
        G = _core.multiply(add_scaled(identity, sim.dt, rollout.array(step, "C")), G)
        x = rollout.array(step, "x")
        if _moved(x, shown, config.frame_motion * problem.spacing):
            shown, now = x, state.time + step * sim.dt
            frame = _frame(problem, x, rollout.array(step, "F"), G, window=state.window + 1, step=step, time=now)
            frames.append(as_stored(frame, config))
    return frames, shown, G


def _moved(x: Array, before: Array, distance: float) -> bool:
    """Return whether the `MOTION_QUANTILE` of the motion of the particles is at least `distance`."""
    way = to_host(x) - to_host(before)
    far = int(np.count_nonzero(np.einsum("ni,ni->n", way, way) >= distance**2))
    return far >= len(way) - min(len(way) - 1, int(MOTION_QUANTILE * len(way)))


def as_stored(frame: Frame, config: MorphConfig) -> Frame:
    """Return a frame as it is stored."""
    return frame if config.keep == "all" else replace(frame, F=None, G=None)


def _frame(problem: Problem, x: Array, F: Array, G: Array, *, window: int, step: int, time: float) -> Frame:
    F, G = (np.ascontiguousarray(to_host(array), dtype=np.float32) for array in (F, G))
    return Frame(problem.to_world(x), F, G, window=window, step=step, time=time)
