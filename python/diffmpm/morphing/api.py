# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`morph`: from two shapes to a result."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .._arrays import Array, resolve_device
from .._placement import Placement
from .._repr import short_repr
from ..errors import ConfigError, SimulationError
from ..export import lock_folder, refuse_foreign
from ..geometry import MeshLike
from ..metrics.evaluation import Target
from ..mpm import Simulation
from .chain import ChainState, advance, as_stored, last_frame, resumed, start_chain
from .checkpoint import Checkpoint, CheckpointWriter, refuse_interrupted
from .clock import Clock
from .config import MorphConfig, preset
from .frames import Frame
from .guidance import RenderGuidance
from .guided_objective import GuidedObjective, ImageGuide
from .objective import Objective
from .problem import EVALUATION_SAMPLE, Problem, Start, make_problem
from .progress import ProgressBar
from .provenance import provenance
from .result import MorphResult
from .result_files import OUTPUTS, refuse_result, write_result
from .run_file import MorphRun
from .target_views import TargetViews


@short_repr
@dataclass(frozen=True)
class Progress:
    """Argument of the callback of `morph` after each window."""

    window: int
    """Number of completed windows."""
    windows: int
    """Largest number of windows."""
    loss: float
    """Objective at the end of the window."""
    record: dict[str, Any]
    """Record of the window, as in `MorphResult.history`."""
    seconds: float
    """Time since the start, without earlier runs."""
    seconds_left: float
    """Estimated time for the remaining windows, if the morph does not converge earlier."""
    frames: tuple[Frame, ...]
    """Frames so far, as in `MorphResult.frames`."""
    placement: Placement = field(default_factory=Placement)
    """As in `MorphResult.placement`."""
    target_x: Array | None = None
    """As in `MorphResult.target_x`."""
    source_name: str = "source"
    """Name of the source."""
    target_name: str = "target"
    """Name of the target."""
    source_color: Array | None = None
    """As in `MorphResult.source_color`."""
    target_color: Array | None = None
    """As in `MorphResult.target_color`."""

    @property
    def source_x(self) -> Array:
        """As in `MorphResult.source_x`."""
        return self.frames[0].x


Callback = Callable[[Progress], object]

SETTLED_STEPS = 200
"""Time steps without control after which the metric "settled" is measured."""


def morph(
    source: MeshLike,
    target: MeshLike | TargetViews,
    config: MorphConfig | str | None = None,
    *,
    render: RenderGuidance | None = None,
    callback: Callback | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    force: bool = False,
    progress: bool = True,
    **overrides: Any,
) -> MorphResult:
    """Turn one solid shape into another by controlled elastodynamics.

    Args:
        source: Path to a mesh, name of a built-in shape, `Mesh`, or (vertices, triangles).
        target: The target shape, likewise; or `TargetViews`, silhouettes from known cameras, if the shape is unknown.
            The body then fills their visual hull, guided by the images.
        config: Configuration, or name of a preset; the default preset if None.
        render: Guidance by images of the body's surface. None: no guidance, unless the target is `TargetViews`.
        callback: Called with a `Progress` after each window, with `out` as soon as its checkpoint is written. Returning
            False ends the morph after that window.
        out: Folder for checkpoints, which are written in the background, and for the files of `MorphResult.save`. None:
            nothing is written. A process that is killed loses no reported window.
        resume: True: continue the run whose checkpoint is in `out`, bit for bit as if it had never stopped. False:
            start from the beginning. None: as False, unless `out` holds an interrupted run or a result.
        force: Whether to replace files in `out` that this program did not write.
        progress: Whether to show a progress bar in terminals and notebooks. The logger "diffmpm" gets a record for each
            window in any case.
        **overrides: Fields of `MorphConfig`, for example `particles=40_000, seed=3`.

    Returns:
        The result, in the units and at the position of the target mesh.

    Raises:
        ConfigError: If an option is invalid.
        MeshError: If a mesh cannot be read.
        DeviceError: If the CUDA device does not exist.
        MemoryError: If the memory of the device or of the machine is full. With `out`, `resume=True` continues from
            the last checkpoint.
        CheckpointError: If `resume` is True and the checkpoint is missing, damaged or of another run; or if it is None
            and `out` holds an interrupted run.
        OutputError: If `out` cannot be written, another process is writing to it, it holds a result and `resume` is
            None, or files that this program did not write are in the way.
        KeyboardInterrupt: On Ctrl-C. With `out`, the checkpoint and the result so far have been written.

    References:
        Xu, Song, Levin, Hyde 2025, arXiv 2409.15746.
    """
    result = run_morph(
        source, target, config,
        render=render, callback=callback, out=out, resume=resume, force=force, progress=progress, **overrides,
    )  # fmt: skip
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result


def run_morph(
    source: MeshLike,
    target: MeshLike | TargetViews,
    config: MorphConfig | str | None = None,
    *,
    render: RenderGuidance | None = None,
    callback: Callback | None = None,
    begin: Callback | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    force: bool = False,
    progress: bool = True,
    run: MorphRun | None = None,
    **overrides: Any,
) -> MorphResult:
    """Do the same as `morph`, but on Ctrl-C return the result so far, with `stopped` "interrupted".

    `begin` is called with a `Progress` before the first window, without loss and record. `run` is stored with the
    result; by default it is the description of the other arguments.
    """
    options = configured(config, overrides)
    if resume and out is None:
        raise ConfigError("out: expected the folder of the interrupted run to resume, got None; pass out=...")
    resolve_device(options.device)  # raises before any work
    shape, guidance = _resolved(target, render)
    run = run or MorphRun.describe([source, target], options, guidance)
    origin = provenance([source, shape])
    with nullcontext() if out is None else lock_folder(out) as folder:
        if folder is not None and resume is None:
            refuse_interrupted(folder)
            refuse_result(folder)
        if folder is not None and not resume:
            refuse_foreign(folder, OUTPUTS, force=force)
        clock = Clock()
        result, _, checkpoint = run_leg(
            source, shape, run, guidance, folder,
            resume=resume, callback=callback, begin=begin, force=force, progress=progress, clock=clock,
        )  # fmt: skip
        result = replace(result, provenance=origin)
        if folder is not None and checkpoint is not None:
            with clock.measure("writing"):
                write_result(result, folder, checkpoint.frame_files(), drop=("pictures",), force=force)
            result = replace(result, timings=clock.timings())
    return result


def run_leg(
    source: MeshLike | Start,
    target: MeshLike,
    run: MorphRun,
    guidance: RenderGuidance | None,
    folder: Path | None,
    *,
    resume: bool | None,
    callback: Callback | None,
    begin: Callback | None,
    force: bool,
    progress: bool,
    clock: Clock | None = None,
) -> tuple[MorphResult, Start, Checkpoint | None]:
    """Run one morph from a shape or the end of an earlier morph, with its checkpoint in a locked folder.

    Returns:
        The result, its body as the start of another morph, and the checkpoint.
    """
    clock, options = clock or Clock(), run.morph
    problem = make_problem(source, target, options, clock)
    state = start_chain(problem, options)
    checkpoint = None
    if folder is not None:
        checkpoint = Checkpoint(folder, problem, options, guidance, force=force)
        if resume:
            state = checkpoint.load()
            refuse_foreign(folder, OUTPUTS, force=force)
        else:
            checkpoint.clear()
    if begin is not None:
        begin(_progress(problem, options, state))
    with clock.measure("objective"):
        physics = problem.objectives(options)
        objectives: list[Objective] = [*physics]
        if guidance is not None:
            guide = ImageGuide(problem, guidance)
            objectives = [GuidedObjective(part, guide, options.windows) for part in physics]
    writer = None if checkpoint is None else CheckpointWriter(checkpoint)
    with ProgressBar(visible=progress) as bar:

        def report(now: Progress) -> object:
            bar.update(now)
            return None if callback is None else callback(now)

        state = _Runner(problem, options, objectives, writer, report, clock).run(state)
    result = _result(state, problem, run, clock)
    body = (state.body if state.best is None else state.best.body).to("cpu")
    return result, Start(replace(body, color=result.rest_color), problem), checkpoint


def configured(config: MorphConfig | str | None, overrides: dict[str, Any]) -> MorphConfig:
    """Return the configuration of the arguments of `morph`."""
    if config is None or isinstance(config, str):
        return preset(config or "default", **overrides)
    if not isinstance(config, MorphConfig):
        raise ConfigError(f"config: expected a MorphConfig or the name of a preset, got {type(config).__name__}")
    return config.replace(**overrides)


def _resolved(target: MeshLike | TargetViews, render: RenderGuidance | None) -> tuple[MeshLike, RenderGuidance | None]:
    """Return the target shape and the guidance. Views are replaced by their hull, and guide the morph."""
    if render is not None and not isinstance(render, RenderGuidance):
        raise ConfigError(f"render: expected a RenderGuidance or None, got {type(render).__name__}")
    if not isinstance(target, TargetViews):
        return target, render
    render = render or RenderGuidance()
    return target.hull(), render if render.views is not None else replace(render, views=target)


@dataclass
class _Runner:
    """Advances the chain, writes checkpoints, and reports each window once its checkpoint is written."""

    problem: Problem
    config: MorphConfig
    objectives: Sequence[Objective]
    writer: CheckpointWriter | None
    callback: Callback
    clock: Clock
    start: float = field(default_factory=time.perf_counter)
    resumed: int = 0
    """Number of windows of earlier runs."""
    unreported: list[ChainState] = field(default_factory=list)

    def run(self, state: ChainState) -> ChainState:
        """Return the state at which the chain stopped. An interrupted window is discarded."""
        self.resumed = state.window
        state = resumed(state, self.problem, self.config)
        try:
            try:
                while not state.stopped:
                    state = advance(state, self.problem, self.objectives, self.config, self.clock)
                    self.unreported.append(state)
                    self._save(state, wait=bool(state.stopped))
                    state = self._report() or state
            except KeyboardInterrupt:
                state = replace(state, stopped="interrupted")
            self._save(state, wait=True)
        finally:
            if self.writer is not None:
                self.writer.close()
        return state

    def _save(self, state: ChainState, *, wait: bool) -> None:
        if self.writer is not None:
            with self.clock.measure("checkpoints"):
                self.writer.put(state)
                if wait:
                    self.writer.flush()

    def _report(self) -> ChainState | None:
        """Call back for the written windows; return the state at which the callback stops the chain, if it does.

        Later windows are then discarded.
        """
        while self.unreported and (self.writer is None or self.unreported[0].window <= self.writer.windows):
            state = self.unreported.pop(0)
            try:
                stopped = "" if self._call_back(state) else state.stopped or "callback"
            except KeyboardInterrupt:
                stopped = "interrupted"
            if stopped:
                self.unreported.clear()
                return replace(state, stopped=stopped)
        return None

    def _call_back(self, state: ChainState) -> bool:
        """Call back; return whether to continue."""
        if "loss" not in state.history[-1]:
            return True
        seconds = time.perf_counter() - self.start
        left = seconds / (state.window - self.resumed) * (self.config.windows - state.window)
        progress = _progress(self.problem, self.config, state)
        return self.callback(replace(progress, seconds=seconds, seconds_left=left)) is not False


def _progress(problem: Problem, config: MorphConfig, state: ChainState) -> Progress:
    record = state.history[-1] if state.history else {}
    return Progress(
        window=state.window,
        windows=config.windows,
        loss=record.get("loss", math.nan),
        record=record,
        seconds=0.0,
        seconds_left=math.nan,
        frames=state.frames,
        placement=problem.placement,
        source_color=problem.source_color,
        target_x=problem.evaluation_x,
        target_color=problem.evaluation_color,
        source_name=problem.source_name,
        target_name=problem.target_name,
    )


def _result(state: ChainState, problem: Problem, run: MorphRun, clock: Clock) -> MorphResult:
    with clock.measure("frames"):
        state = last_frame(state, problem)
    start, end = state.frames[0], state.frames[-1]
    assert end.F is not None and end.G is not None
    with clock.measure("sampling"):
        target_x, other_x = problem.evaluation_x, problem.to_world(problem.resample(EVALUATION_SAMPLE + 1))
    with clock.measure("metrics"):
        target = Target(target_x)
        metrics = {
            **target.evaluate(end.x, F=end.F, x_start=start.x),
            "settled": _settled(state, problem, target),
            "ceiling": target.evaluate(other_x),
            "start": target.evaluate(start.x),
        }
    return MorphResult(
        x=end.x,
        F=end.F,
        G=end.G,
        source_x=start.x,
        target_x=target_x,
        source_color=problem.source_color,
        rest_color=problem.target_colors(end.x),
        target_color=problem.evaluation_color,
        frames=tuple(as_stored(frame, run.morph) for frame in state.frames),
        metrics=metrics,
        history=state.history,
        config=run.morph,
        stopped=state.stopped,
        seconds=float(sum(row.get("seconds", 0.0) for row in state.history)),
        source_name=problem.source_name,
        target_name=problem.target_name,
        placement=problem.placement,
        run=run,
        timings=clock.timings(),
    )


def _settled(state: ChainState, problem: Problem, target: Target) -> float | None:
    """Return the silhouette IoU of the best state after `SETTLED_STEPS` steps without control; None if they fail."""
    if state.best is None:
        return None
    simulation = Simulation(state.best.body, problem.sims[state.level])
    try:
        x = simulation.rollout(SETTLED_STEPS, differentiable=False).x
    except SimulationError:
        return None
    return target.silhouette_iou(problem.to_world(x))
