# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`morph_chain`: a body that takes several shapes, one after the other."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, resolve_device
from .._placement import Placement, Similarity
from ..errors import CheckpointError, ConfigError
from ..export import lock_folder, own_manifest, refuse_foreign
from ..geometry import MeshLike
from ..geometry.matching import assign
from ..view.timeline import between
from .api import Callback, configured, run_leg, run_morph
from .checkpoint import clear_checkpoint, has_checkpoint
from .config import MorphConfig
from .frames import Frame, Leg
from .guidance import RenderGuidance
from .problem import Start
from .provenance import provenance
from .result import MorphResult
from .result_files import OUTPUTS, WRITER, refuse_result, write_result
from .run_file import MorphRun

LEGS = "legs"
"""Folder of the checkpoints of the motions in the output folder."""

CLOSING = 0.3
"""Fraction of the last motion of a loop over which the particles move to their places in the first state."""


def morph_chain(
    shapes: Sequence[MeshLike],
    config: MorphConfig | str | None = None,
    *,
    loop: bool = False,
    render: RenderGuidance | None = None,
    callback: Callback | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    force: bool = False,
    progress: bool = True,
    **overrides: Any,
) -> MorphResult:
    """Turn a solid shape into a second one, that into a third one, and so on.

    Each morph starts from the body in which the one before has ended, at rest. In a loop, the body returns to the first
    shape, and its last state is the first one: towards the end of the last morph each particle moves to the place that
    one of the particles had at the start, so that both states are the same set of positions, deformation gradients and
    colours, in another order.

    Args:
        shapes: Two shapes or more, each as for `morph`.
        config: Configuration of each morph, or name of a preset; the default preset if None.
        loop: Whether to return to the first shape.
        render: Guidance by images, as for `morph`.
        callback: As for `morph`, with the frames of the current morph. Returning False ends the chain.
        out: Folder for the checkpoints and for the files of `MorphResult.save`. None: nothing is written.
        resume: As for `morph`. Morphs that have ended are not repeated.
        force: Whether to replace files in `out` that this program did not write.
        progress: Whether to show a progress bar.
        **overrides: Fields of `MorphConfig`.

    Returns:
        The result, in the units and at the position of the last shape. Its `legs` describe the morphs.

    Raises:
        ConfigError: If there are fewer than two shapes, or an option is invalid.
        MeshError: If a mesh cannot be read.
        DeviceError: If the CUDA device does not exist.
        MemoryError: If the memory of the device or of the machine is full.
        CheckpointError: If `resume` is True and a checkpoint is damaged or of another run; or if it is None and `out`
            holds an interrupted run.
        OutputError: If `out` cannot be written, another process is writing to it, or it holds other files or a result.
        KeyboardInterrupt: On Ctrl-C. With `out`, the checkpoint and the result so far have been written.
    """
    result = run_chain(
        shapes, config,
        loop=loop, render=render, callback=callback, out=out, resume=resume, force=force, progress=progress,
        **overrides,
    )  # fmt: skip
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result


def run_chain(
    shapes: Sequence[MeshLike],
    config: MorphConfig | str | None = None,
    *,
    loop: bool = False,
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
    """Do the same as `morph_chain`, but on Ctrl-C return the result so far, with `stopped` "interrupted".

    `begin` is called with a `Progress` before the first window of each morph, without loss and record. `run` is stored
    with the result, with its shapes and options replaced.
    """
    shapes = list(shapes)
    if len(shapes) < 2:
        raise ConfigError(f"shapes: expected two or more, got {len(shapes)}")
    options = configured(config, overrides)
    described = MorphRun.describe(shapes, options, render, loop=loop)
    if run is not None:
        described = described.replace(image=run.image, timeline=run.timeline, outputs=run.outputs)
    common: dict[str, Any] = {"callback": callback, "begin": begin, "force": force, "progress": progress}
    if len(shapes) == 2 and not loop:
        return run_morph(shapes[0], shapes[1], options, render=render, out=out, resume=resume, run=described, **common)
    if resume and out is None:
        raise ConfigError("out: expected the folder of the interrupted run to resume, got None; pass out=...")
    resolve_device(options.device)  # raises before any work
    path = [*shapes, shapes[0]] if loop else shapes
    with nullcontext() if out is None else lock_folder(out) as folder:
        if folder is not None:
            _prepare(folder, resume, force)
        legs: list[MorphResult] = []
        start: MeshLike | Start = path[0]
        for number, (before, after) in enumerate(pairwise(path), 1):
            place = None if folder is None else folder / LEGS / f"{number:02d}"
            again = place is not None and bool(resume) and has_checkpoint(place)
            with nullcontext() if place is None else lock_folder(place):
                described_leg = MorphRun.describe([before, after], options, render)
                result, start, _ = run_leg(start, after, described_leg, render, place, resume=again, **common)
            legs.append(result)
            if result.stopped in ("interrupted", "callback"):
                break
        ended = len(legs) == len(path) - 1 and legs[-1].stopped != "interrupted"
        joined = join(legs, loop=loop and ended)
        joined = replace(joined, run=described, provenance=provenance(path))
        if folder is not None:
            write_result(joined, folder, drop=("pictures",), force=force)
    return joined


def _prepare(folder: Path, resume: bool | None, force: bool) -> None:
    """Refuse files in the way in an output folder, and remove earlier checkpoints unless they are continued."""
    places = sorted(path for path in (folder / LEGS).glob("*") if path.is_dir())
    if resume is None:
        if any(has_checkpoint(place) for place in places) and _is_interrupted(folder):
            raise CheckpointError(
                f"resume: expected a choice, as {str(folder)!r} holds an interrupted chain of morphs; continue it with "
                "resume=True (--resume), discard it with resume=False (--overwrite), or name another folder"
            )
        refuse_result(folder)
    if resume and not any(has_checkpoint(place) for place in places):
        raise CheckpointError(
            f"resume: expected checkpoints in {str(folder / LEGS)!r}, found none; start without resume, or name the "
            "output folder of the interrupted run"
        )
    refuse_foreign(folder, OUTPUTS, force=force)
    if not resume:
        for place in (folder, *places):
            clear_checkpoint(place, force=force)


def _is_interrupted(folder: Path) -> bool:
    """Return whether a folder has no result of a chain that has ended."""
    manifest = own_manifest(folder)
    try:
        return str(json.loads(manifest.read("metrics.json"))["stopped"]) == "interrupted"
    except Exception:  # missing or damaged in any way
        return not manifest.names(WRITER)


def join(legs: Sequence[MorphResult], *, loop: bool = False) -> MorphResult:
    """Return the results of successive morphs as one result, in the coordinates of the last one.

    Args:
        legs: Results; each body starts in the state in which the one before has ended.
        loop: Whether the target of the last morph is the source of the first one. The last state is then the first one.
    """
    last = legs[-1]
    maps = [Similarity()]
    for leg in reversed(legs[1:]):
        maps.insert(0, maps[0].after(leg.placement.fit))
    fit = maps[0].after(legs[0].placement.fit)
    if loop:  # the first state is in the coordinates of its file; rounds of fits return near them
        back = fit.inverse()
        maps, fit = [back.after(to_result) for to_result in maps], Similarity()
    parts, time, window = [], 0.0, 0
    for leg, to_result in zip(legs, maps, strict=True):
        moved = [_moved(frame, leg.placement, to_result, last.placement) for frame in leg.frames]
        moved = [replace(f, time=f.time + time, window=f.window + window) for f in moved]
        time, window = moved[-1].time, window + len(leg.history)
        parts.append(moved)
    rest = [leg.rest_color for leg in legs]
    if loop:
        match = assign(parts[-1][-1].x, parts[0][0].x)
        parts[-1] = _closed(parts[-1], parts[0][0], match)
        rest[-1] = None if legs[0].source_color is None else legs[0].source_color[match]
    frames = [parts[0][0], *(frame for part in parts for frame in part[1:])]
    ends = np.cumsum([len(part) - 1 for part in parts])
    end = frames[-1]
    return replace(
        last,
        x=end.x,
        F=last.F if end.F is None else end.F,
        G=last.G if end.G is None else end.G,
        source_x=frames[0].x,
        source_color=legs[0].source_color,
        rest_color=rest[-1],
        frames=tuple(frames),
        legs=tuple(
            Leg(int(n), color, to_result, leg.summary())
            for n, color, to_result, leg in zip(ends, rest, maps, legs, strict=True)
        ),
        loop=loop,
        history=tuple({**row, "leg": n} for n, leg in enumerate(legs, 1) for row in leg.history),
        seconds=float(sum(leg.seconds for leg in legs)),
        source_name=legs[0].source_name,
        placement=Placement(
            last.placement.up,
            legs[0].placement.source_up,
            last.placement.origin,
            fit,
        ),
        timings={
            phase: round(sum(leg.timings.get(phase, 0.0) for leg in legs), 3)
            for phase in dict.fromkeys(name for leg in legs for name in leg.timings)
        },
    )


def _moved(frame: Frame, own: Placement, to_result: Similarity, result: Placement) -> Frame:
    """Return a frame in the coordinates of another result."""
    if to_result == Similarity() and own.origin == result.origin:
        return frame
    R = to_result.matrix
    F, G = (None if a is None else np.asarray(R @ a.astype(np.float64) @ R.T, np.float32) for a in (frame.F, frame.G))
    x = to_result(frame.x.astype(np.float64) + own.origin) - result.origin
    return replace(frame, x=x.astype(np.float32), F=F, G=G)


def _closed(frames: Sequence[Frame], first: Frame, match: Array) -> list[Frame]:
    """Return the frames of the last motion with a smooth transition to the first state, in the order `match`."""
    end = frames[-1].x
    goal, F = first.x[match], None if first.F is None else first.F[match]
    closed = []
    for k, frame in enumerate(frames):
        u = min(1.0, max(0.0, 1.0 - (1.0 - k / (len(frames) - 1)) / CLOSING))
        weight = u * u * (3.0 - 2.0 * u)
        if weight == 1.0:
            frame = replace(frame, x=goal, F=F)
        elif weight > 0.0:
            x = frame.x + np.float32(weight) * (goal - end)
            frame = replace(frame, x=x, F=None if frame.F is None or F is None else between(frame.F, F, weight))
        closed.append(frame)
    return closed
