# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`morph`: from two shapes to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .._arrays import Array, chosen_device
from .._placement import Placement
from ..errors import ConfigError
from ..export import lock_folder, refuse_foreign
from ..geometry import MeshLike
from ..metrics.evaluation import Target
from .chain import ChainState, advance, last_frame, start_chain
from .checkpoint import Checkpoint, refuse_interrupted
from .clock import Clock
from .config import MorphConfig, preset
from .frames import Frame
from .guidance import RenderGuidance
from .guided import GuidedObjective, ImageGuide
from .objective import LossObjective, Objective
from .problem import JUDGE, Problem, make_problem
from .result import OUTPUTS, MorphResult, refuse_result, write_result
from .run import MorphRun
from .views import Views
from .writer import CheckpointWriter


@dataclass(frozen=True)
class Progress:
    """What the callback of `morph` learns after each window."""

    window: int
    """Windows done."""
    windows: int
    """Largest number of windows."""
    loss: float
    """Objective at the end of the window."""
    record: dict[str, Any]
    """Record of the window, as in `MorphResult.history`."""
    seconds: float
    """Time since the start, without earlier runs."""
    seconds_left: float
    """Time left if no window is saved by convergence."""
    frames: tuple[Frame, ...]
    """Frames so far, as in `MorphResult.frames`."""
    placement: Placement = field(default_factory=Placement)
    """As in `MorphResult.placement`."""


Callback = Callable[[Progress], object]


def morph(
    source: MeshLike,
    target: MeshLike | Views,
    config: MorphConfig | str | None = None,
    *,
    render: RenderGuidance | None = None,
    callback: Callback | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    force: bool = False,
    **overrides: Any,
) -> MorphResult:
    """Turn one solid shape into another by controlled elastodynamics.

    Args:
        source: Path to a mesh, name of a built-in shape, `Mesh`, or (vertices, triangles).
        target: The same for the shape to reach; or `Views`, silhouettes from known cameras, when no shape is known. The
            body then fills their visual hull, guided by the images.
        config: Configuration, or name of a preset; the default preset if None.
        render: Guidance by images of the body's surface; none if None, unless the target is `Views`.
        callback: Called after each window with a `Progress`, with `out` as soon as its checkpoint is on the disk, while
            the next one runs; returning False ends the morph there.
        out: Folder for checkpoints, written while the next windows run, and, at the end, the files of
            `MorphResult.save`; nothing is written if None. A process that is killed loses no window that was reported.
        resume: True: continue the run whose checkpoint is in `out`, bit for bit as if it had never stopped. False:
            begin anew. None: begin anew unless that would give up a run that was interrupted, or replace a result.
        force: Whether files in `out` that this program did not write may be replaced, too.
        **overrides: Fields of `MorphConfig`, for example `particles=40_000, seed=3`.

    Returns:
        The result, in the units and place of the target mesh.

    Raises:
        ConfigError: If an option does not fit.
        MeshError: If a mesh cannot be read.
        DeviceError: If there is no CUDA device of that name.
        MemoryError: If the memory of the device or of the machine is full; with `out`, `resume=True` goes on from the
            last checkpoint.
        CheckpointError: If `resume` finds no checkpoint, a damaged one, or that of another run; or if it is None and
            `out` holds a run that was interrupted.
        OutputError: If `out` cannot be written, another process writes into it, it holds a result and `resume` is None,
            or files that this program did not write are in the way.
        KeyboardInterrupt: On Ctrl-C; with `out`, checkpoint and the result so far have been written then.

    References:
        Xu, Song, Levin, Hyde 2025, arXiv 2409.15746.
    """
    result = run_morph(
        source, target, config, render=render, callback=callback, out=out, resume=resume, force=force, **overrides
    )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result


def run_morph(
    source: MeshLike,
    target: MeshLike | Views,
    config: MorphConfig | str | None = None,
    *,
    render: RenderGuidance | None = None,
    callback: Callback | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    force: bool = False,
    **overrides: Any,
) -> MorphResult:
    """Do what `morph` does, but return the result so far on Ctrl-C, with `stopped` "interrupted"."""
    options = _configure(config, overrides)
    if resume and out is None:
        raise ConfigError("out: expected the folder of the interrupted run to resume, got None; pass out=...")
    shape, guidance = _seen(target, render)
    run = MorphRun.describe(source, target, options, guidance)
    with nullcontext() if out is None else lock_folder(out) as folder:
        return _run(source, shape, guidance, run, callback, folder, resume, force=force)


def _run(
    source: MeshLike,
    target: MeshLike,
    render: RenderGuidance | None,
    run: MorphRun,
    callback: Callback | None,
    folder: Path | None,
    resume: bool | None,
    *,
    force: bool,
) -> MorphResult:
    options = run.morph
    chosen_device(options.device)  # refused before anything else is done
    if folder is not None and resume is None:
        refuse_interrupted(folder)
        refuse_result(folder)
    if folder is not None and not resume:
        refuse_foreign(folder, OUTPUTS, force=force)
    clock = Clock()
    problem = make_problem(source, target, options, clock)
    checkpoint = None if folder is None else Checkpoint(folder, problem, options, render, force=force)
    if folder is not None and checkpoint is not None and resume:
        state = checkpoint.load()
        refuse_foreign(folder, OUTPUTS, force=force)
    else:
        state = start_chain(problem, options)
        if checkpoint is not None:
            checkpoint.clear()
    with clock.measure("objective"):
        loss = problem.loss(options)
        objective: Objective = LossObjective(loss)
        if render is not None:
            objective = GuidedObjective(loss, ImageGuide(problem, render), options.windows)
    state = _Runner(problem, options, objective, checkpoint, callback, clock).run(state)
    result = replace(_result(state, problem, options, clock), run=run)
    if folder is not None and checkpoint is not None:
        with clock.measure("writing"):
            write_result(result, folder, checkpoint.frame_files(), force=force)
        result = replace(result, timings=clock.timings())
    return result


def _configure(config: MorphConfig | str | None, overrides: dict[str, Any]) -> MorphConfig:
    if config is None or isinstance(config, str):
        return preset(config or "default", **overrides)
    if not isinstance(config, MorphConfig):
        raise ConfigError(f"config: expected a MorphConfig or the name of a preset, got {type(config).__name__}")
    return config.replace(**overrides)


def _seen(target: MeshLike | Views, render: RenderGuidance | None) -> tuple[MeshLike, RenderGuidance | None]:
    """Return the shape to fill and the guidance: views stand for their hull, and guide unless others were given."""
    if render is not None and not isinstance(render, RenderGuidance):
        raise ConfigError(f"render: expected a RenderGuidance or None, got {type(render).__name__}")
    if not isinstance(target, Views):
        return target, render
    render = render or RenderGuidance()
    return target.hull(), render if render.views is not None else replace(render, views=target)


class _Runner:
    """Advance the chain, keep the checkpoint fresh, and report each window once it is on the disk."""

    def __init__(
        self,
        problem: Problem,
        config: MorphConfig,
        objective: Objective,
        checkpoint: Checkpoint | None,
        callback: Callback | None,
        clock: Clock,
    ) -> None:
        self._problem, self._config, self._objective = problem, config, objective
        self._writer = None if checkpoint is None else CheckpointWriter(checkpoint)
        self._callback, self._clock = callback, clock
        self._began = time.perf_counter()
        self._done = 0  # windows before this run
        self._unreported: list[ChainState] = []

    def run(self, state: ChainState) -> ChainState:
        """Return the state at which the chain stopped; an interrupted window is dropped as a whole."""
        self._done = state.window
        try:
            return self._run(state)
        finally:
            if self._writer is not None:
                self._writer.close()

    def _run(self, state: ChainState) -> ChainState:
        current = state
        try:
            if current.window >= self._config.windows and not current.stopped:
                current = replace(current, stopped="windows")
            while not current.stopped:
                current = advance(current, self._problem, self._objective, self._config, self._clock)
                self._unreported.append(current)
                self._save(current, wait=bool(current.stopped))
                current = self._report() or current
        except KeyboardInterrupt:
            current = replace(current, stopped="interrupted")
        self._save(current, wait=True)
        return current

    def _save(self, state: ChainState, *, wait: bool) -> None:
        """Have the state written; the next window need not wait for it."""
        if self._writer is not None:
            with self._clock.measure("checkpoints"):
                self._writer.put(state)
                if wait:
                    self._writer.flush()

    def _report(self) -> ChainState | None:
        """Call back for the windows on the disk; return the state that the callback stops at, if it does.

        What was computed after that is given up, as if it had not been.
        """
        while self._unreported and (self._writer is None or self._unreported[0].window <= self._writer.windows):
            state = self._unreported.pop(0)
            try:
                stopped = "" if self._called(state) else state.stopped or "callback"
            except KeyboardInterrupt:
                stopped = "interrupted"
            if stopped:
                self._unreported.clear()
                return replace(state, stopped=stopped)
        return None

    def _called(self, state: ChainState) -> bool:
        """Call back; return whether to go on."""
        if self._callback is None or "loss" not in state.history[-1]:
            return True
        seconds = time.perf_counter() - self._began
        record, windows = state.history[-1], self._config.windows
        left = seconds / (state.window - self._done) * (windows - state.window)
        progress = Progress(
            state.window, windows, record["loss"], record, seconds, left, state.frames, self._problem.placement
        )
        return self._callback(progress) is not False


def _result(state: ChainState, problem: Problem, config: MorphConfig, clock: Clock) -> MorphResult:
    with clock.measure("frames"):
        state = last_frame(state, problem, config)
    start, end = state.frames[0], state.frames[-1]
    with clock.measure("sampling"):
        target = problem.to_world(problem.resample(JUDGE))
    with clock.measure("metrics"):
        measures = _metrics(start.x, end.x, end.F, target)
    return MorphResult(
        x=end.x,
        F=end.F,
        G=end.G,
        source_x=start.x,
        target_x=target,
        frames=state.frames,
        metrics=measures,
        history=state.history,
        config=config,
        stopped=state.stopped,
        seconds=float(sum(row.get("seconds", 0.0) for row in state.history)),
        source_name=problem.source_name,
        target_name=problem.target_name,
        placement=problem.placement,
        timings=clock.timings(),
    )


def _metrics(start: Array, end: Array, F: Array, target: Array) -> dict[str, Any]:
    judge = Target(target)
    return {**judge.evaluate(end, F=F, x_start=start), "start": judge.evaluate(start)}
