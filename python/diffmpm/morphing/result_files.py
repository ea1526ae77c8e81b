# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Files of the result of a morph."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._arrays import Array, as_array
from .._placement import Placement
from ..errors import CheckpointError, ConfigError, DiffMPMWarning, OutputError
from ..export import (
    Entry,
    Manifest,
    decode_npz,
    encode_json,
    encode_npz,
    encode_ply,
    lock_folder,
    own_manifest,
    read_manifest,
    write_together,
)
from ..export.atomic import in_parallel
from ..export.manifest import MANIFEST, digest
from .checkpoint import FOLDER
from .checkpoint import WRITER as CHECKPOINT
from .frames import Frame, Leg
from .result import MorphResult
from .run_file import MorphRun

T = TypeVar("T")

WRITER = "result"
"""Name of results in the manifest."""
FILES = ("result.npz", "result.ply", "config.json", "metrics.json", "history.json", "frames/", "ply/")
"""Files and folders of a result in the output folder."""
OUTPUTS = {WRITER: FILES, CHECKPOINT: (FOLDER,)}
"""All outputs of a morph, by writer."""
_ARRAYS = ("x", "F", "G", "source_x", "target_x")
_COLORS = ("source_color", "rest_color", "target_color")
"""Arrays of a result with colours."""
_TRIES, _PAUSE = 20, 0.1
"""Number of attempts to read a result that is being replaced, and seconds between them."""


def write_result(
    result: MorphResult,
    out: str | os.PathLike[str],
    frame_files: Sequence[tuple[Path, Entry]] = (),
    *,
    drop: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Write the files of `MorphResult.save`, and remove those of the writers `drop`.

    Existing `frame_files` are linked where the file system can.
    """
    with (
        lock_folder(out) as folder,
        write_together(folder, by=WRITER, whole=FILES, drop=drop, last="metrics.json", force=force) as stage,
    ):
        colors = _file_colors(result)

        def encode(frame: Frame) -> bytes:
            return encode_ply(result.placement.world(frame.x), colors(frame))

        def write(index: int) -> None:
            frame, name = result.frames[index], f"frames/frame_{index:04d}.npz"
            if index >= len(frame_files) or not stage.link(name, *frame_files[index]):
                stage.write(name, frame.encode())
            stage.write(f"ply/frame_{index:04d}.ply", encode(frame))

        in_parallel(write, range(len(result.frames)))
        run = result.run or MorphRun(morph=result.config, complete=False)
        stage.write("result.npz", encode_npz(**_arrays(result)))
        stage.write("result.ply", encode(result.frames[-1]))
        stage.write("config.json", encode_json(run.to_dict()))
        stage.write("history.json", encode_json({"windows": list(result.history)}))
        stage.write("metrics.json", encode_json(result.summary()))
    return folder


def _arrays(result: MorphResult) -> dict[str, Array]:
    """Return the arrays of a result by name, without missing colours."""
    arrays = {name: getattr(result, name) for name in (*_ARRAYS, *_COLORS)}
    arrays |= {f"leg_color_{n}": leg.rest_color for n, leg in enumerate(result.legs, 1)}
    return {name: array for name, array in arrays.items() if array is not None}


def _file_colors(result: MorphResult) -> Callable[[Frame], dict[str, Array]]:
    """Return a function from a frame to the properties of its particles in .ply files: colours, if it has any."""
    if result.source_color is None and result.rest_color is None:
        return lambda frame: {}
    from ..view import RenderConfig
    from ..view.colors import ParticleColors

    look = ParticleColors(result, RenderConfig())

    def colors(frame: Frame) -> dict[str, Array]:
        levels = np.rint(255.0 * look(frame)).astype(np.uint8)
        return dict(zip(("red", "green", "blue"), levels.T, strict=True))

    return colors


def refuse_result(out: Path) -> None:
    """Raise an OutputError if a folder holds a result."""
    if own_manifest(out).names(WRITER):
        raise OutputError(
            f"out: expected a folder without a result, found that of a finished morph in {str(out)!r}; name another "
            "folder (--out), or replace it with resume=False (--overwrite)"
        )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except OSError as error:
        raise _damaged(folder / MANIFEST, error) from error


def _unlisted(folder: Path) -> Manifest:
    """Return a manifest for the result of an earlier version, which wrote none."""
    paths = [*(folder / "frames").glob("frame_*.npz")]
    paths += [folder / name for name in FILES if name.endswith((".npz", ".json"))]
    files = {}
    for path in filter(Path.is_file, paths):
        try:
            status = path.stat()
            entry = Entry(WRITER, status.st_size, status.st_mtime_ns, digest(path))
        except OSError as error:
            raise _damaged(path, error) from error
        files[path.relative_to(folder).as_posix()] = entry
    return Manifest(folder, files)


def read_result(folder: Path) -> MorphResult:
    """Read a result as `MorphResult.load` does."""
    for _ in range(_TRIES):
        manifest = _manifest(folder)
        try:
            return _read(folder, manifest)
        except (ConfigError, CheckpointError):
            if _manifest(folder) == manifest:
                raise
        time.sleep(_PAUSE)
    raise CheckpointError(
        f"result: expected the files of one morph, but those in {str(folder)!r} are replaced while they are read; "
        "read them when their writer has ended"
    )


def _read(folder: Path, manifest: Manifest | None) -> MorphResult:
    listed = manifest or _unlisted(folder)
    if not listed.intact:
        raise _damaged(folder / MANIFEST, ValueError("its digest does not match its content"))
    names = listed.names(WRITER)

    def load(name: str, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(listed.read(name))
        except MemoryError:
            raise
        except Exception as error:  # NumPy and zipfile raise exceptions of many types
            raise _damaged(folder / name, error) from error

    def table(name: str) -> dict[str, Any]:
        return load(name, lambda content: dict(json.loads(content.decode("utf-8"))))

    frame_names = sorted(name for name in names if name.startswith("frames/"))
    for name in ("result.npz", "metrics.json", "history.json", "frames"):
        if not (frame_names if name == "frames" else name in names):
            raise ConfigError(
                f"result: expected a folder written by 'diffmpm morph', got {str(folder)!r} without {name}; "
                "name the output folder of a morph that has ended"
            )
    if manifest is None:
        warnings.warn(
            f"result: {str(folder)!r} is read without digests, as it has no {MANIFEST}: an earlier version wrote it",
            DiffMPMWarning,
            stacklevel=4,
        )
    copies = [name for name in names if name.endswith(".ply") and (folder / name).exists()]  # may have been removed
    in_parallel(lambda name: load(name, len), copies)
    frames = tuple(in_parallel(lambda name: load(name, Frame.decode), frame_names))
    arrays, summary, history = load("result.npz", decode_npz), table("metrics.json"), table("history.json")
    config = table("config.json") if "config.json" in names else {}
    try:
        # Earlier versions stored the options in the history.
        run = MorphRun.from_dict(config or {"morph": history["config"], "complete": False})
        n = len(arrays["x"])
        m = len(arrays["target_x"])
        shapes = {"x": (n, 3), "F": (n, 3, 3), "G": (n, 3, 3), "source_x": (n, 3), "target_x": (m, 3)}
        legs = summary.get("legs", [])
        colors = {"source_color": (n, 3), "rest_color": (n, 3), "target_color": (m, 3)}
        leg_colors = [arrays.get(f"leg_color_{k}") for k in range(1, len(legs) + 1)]
        shapes |= {name: shape for name, shape in colors.items() if name in arrays}
        result = MorphResult(
            **{name: as_array(arrays[name], name, shape) for name, shape in shapes.items()},
            frames=frames,
            metrics=summary,
            history=tuple(history["windows"]),
            config=run.morph,
            stopped=str(summary["stopped"]),
            seconds=float(summary["seconds"]),
            source_name=str(summary["source"]),
            target_name=str(summary["target"]),
            placement=Placement.from_dict(summary["placement"]) if "placement" in summary else Placement(),
            run=run,
            timings=dict(summary.get("timings", {})),
            provenance=dict(summary.get("provenance", {})),
            legs=tuple(
                Leg.from_facts(facts, None if color is None else as_array(color, "leg_color", (n, 3)))
                for facts, color in zip(legs, leg_colors, strict=True)
            ),
            loop=bool(summary.get("loop", False)),
        )
        for name in result.facts():
            summary.pop(name, None)
        return result
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"result: expected the complete files of a morph, but {str(path)!r} is damaged ({error!r}); run the morph again"
    )
