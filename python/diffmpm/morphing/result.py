# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Result of a morph, and its files."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._arrays import Array, as_array
from .._files import read_file
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
from ..export.manifest import MANIFEST
from .checkpoint import FOLDER, frame_arrays
from .checkpoint import WRITER as CHECKPOINT
from .config import MorphConfig
from .frames import Frame
from .run import MorphRun

WRITER = "result"
"""Name of results in the manifest."""
FILES = ("result.npz", "result.ply", "config.json", "metrics.json", "history.json", "frames/", "ply/")
"""Files and folders of a result in the output folder."""
OUTPUTS = {WRITER: FILES, CHECKPOINT: (FOLDER,)}
"""All that a morph writes into it, by writer."""


@dataclass(frozen=True)
class MorphResult:
    """Body at the end of a morph, in the units and axes of the target mesh; arrays are float32.

    Positions are relative to `placement.origin`: zeros, unless the target is so far away that float32 would round them.
    """

    x: Array
    """Positions, shape (N, 3)."""
    F: Array
    """Deformation gradients (elastic memory), shape (N, 3, 3)."""
    G: Array
    """Motion gradients since the start, shape (N, 3, 3)."""
    source_x: Array
    """Positions of the body at the start, shape (N, 3)."""
    target_x: Array
    """Target sample that judges, shape (N, 3): another one than that which the morph was fitted to."""
    frames: tuple[Frame, ...]
    """Frames from start to end."""
    metrics: dict[str, Any]
    """Measures (docs/method.md, section 7) at the end, and at the start under "start"."""
    history: tuple[dict[str, Any], ...]
    """One record a window: loss terms, accepted step, guards."""
    config: MorphConfig
    """Configuration."""
    stopped: str
    """"converged", "windows", "stuck", "failed", "callback" or "interrupted"."""
    seconds: float
    """Time of the windows."""
    source_name: str
    """Name of the source."""
    target_name: str
    """Name of the target."""
    placement: Placement = field(default_factory=Placement)
    """Axis that is up, origin of the positions, and the map from the source's coordinates to the target's."""
    run: MorphRun | None = None
    """What the morph was made from, as far as a file can hold it."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by part of the run, which do not overlap: "reading", "sampling", "objective", "windows", "frames" (with
    records), "checkpoints" (waiting for them), "metrics" and, but not in the files, "writing"."""

    def save(self, out: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write result, frames, PLY sequence, metrics and history, all together or nothing.

        Writes `result.npz`, `result.ply`, `frames/frame_0000.npz` ..., `ply/frame_0000.ply` ..., `config.json`,
        `metrics.json` and `history.json`; they replace those of an earlier result. `diffmpm.json` lists them with their
        digests. `diffmpm.view.save_pictures` adds the pictures.

        Args:
            out: Folder, made if needed.
            force: Whether files that this program did not write may be replaced, too.

        Returns:
            The folder.

        Raises:
            OutputError: If something cannot be written, other files are in the way, or somebody else writes into the
                folder.
        """
        return write_result(self, out, force=force)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> MorphResult:
        """Read a result that `save` or `diffmpm morph` has written; one that is being replaced is waited for.

        Files whose content is not that which was written are refused. Results of earlier versions, which have no
        `diffmpm.json`, are read with a warning.

        Args:
            folder: Its folder.

        Returns:
            The result, frames included.

        Raises:
            ConfigError: If the folder holds no result.
            CheckpointError: If a file of it is damaged.
        """
        place = Path(folder)
        for _ in range(_TRIES):
            manifest = _manifest(place)
            try:
                return _read_result(place, manifest)
            except (ConfigError, CheckpointError):
                if _manifest(place) == manifest:
                    raise
            time.sleep(_PAUSE)
        raise CheckpointError(
            f"result: expected the files of one morph, but those in {str(place)!r} are replaced while they are read; "
            "read them when their writer has ended"
        )

    def summary(self) -> dict[str, Any]:
        """Return metrics, reason of the stop, counts and time as JSON types."""
        done = [row for row in self.history if "loss" in row]
        return {
            **self.metrics,
            "source": self.source_name,
            "target": self.target_name,
            "placement": self.placement.to_dict(),
            "particles": int(self.x.shape[0]),
            "windows": len(self.history),
            "frames": len(self.frames),
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            "timings": self.timings,
            "loss_start": done[0]["loss_start"] if done else None,
            "loss": done[-1]["loss"] if done else None,
        }


_SUMMARY = {
    "source",
    "target",
    "placement",
    "particles",
    "windows",
    "frames",
    "stopped",
    "seconds",
    "timings",
    "loss_start",
    "loss",
}
"""What `summary` adds to the metrics."""


def write_result(
    result: MorphResult,
    out: str | os.PathLike[str],
    frame_files: Sequence[tuple[Path, Entry]] = (),
    *,
    force: bool = False,
) -> Path:
    """Do what `MorphResult.save` does; the files of frames that there are already are shared with the disk's help."""
    with (
        lock_folder(out) as folder,
        write_together(folder, by=WRITER, whole=FILES, last="metrics.json", force=force) as stage,
    ):

        def write(index: int) -> None:
            frame, name = result.frames[index], f"frames/frame_{index:04d}.npz"
            if index >= len(frame_files) or not stage.link(name, *frame_files[index]):
                stage.write(name, encode_npz(**frame_arrays(frame)))
            stage.write(f"ply/frame_{index:04d}.ply", encode_ply(result.placement.world(frame.x)))

        in_parallel(write, range(len(result.frames)))
        arrays = {name: getattr(result, name) for name in ("x", "F", "G", "source_x", "target_x")}
        stage.write("result.npz", encode_npz(**arrays))
        stage.write("result.ply", encode_ply(result.placement.world(result.x)))
        run = result.run or MorphRun(morph=result.config, complete=False)
        stage.write("config.json", encode_json(run.to_dict()))
        stage.write("history.json", encode_json({"windows": list(result.history)}))
        stage.write("metrics.json", encode_json(result.summary()))
    return folder


def refuse_result(out: Path) -> None:
    """Make sure that a folder holds no result.

    Raises:
        OutputError: If it does.
    """
    if own_manifest(out).names(WRITER):
        raise OutputError(
            f"out: expected a folder without a result, found that of a finished morph in {str(out)!r}; name another "
            "folder (--out), or replace it with resume=False (--overwrite)"
        )


_TRIES, _PAUSE = 20, 0.1
"""Tries to read a result that is being written, and seconds between them."""


class _Files:
    """Files of a result, checked by the manifest where there is one."""

    def __init__(self, place: Path, manifest: Manifest | None) -> None:
        self._place, self._manifest = place, manifest
        if manifest is None:
            self.names = [f"frames/{path.name}" for path in sorted((place / "frames").glob("frame_*.npz"))]
            self.names += [name for name in FILES if (place / name).is_file()]
        elif manifest.intact:
            self.names = manifest.names(WRITER)
        else:
            raise _foreign(place / MANIFEST, ValueError("its digest does not match its content"))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        try:
            return read_file(self._place / name) if self._manifest is None else self._manifest.read(name)
        except (OSError, ValueError) as error:
            raise _foreign(self._place / name, error) from error

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file."""
        try:
            return dict(json.loads(self.read(name).decode("utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise _foreign(self._place / name, error) from error

    def arrays(self, name: str) -> dict[str, Array]:
        """Return the arrays of an archive."""
        content = self.read(name)
        try:
            return decode_npz(content)
        except Exception as error:  # NumPy and zipfile raise whatever they stumble over
            raise _foreign(self._place / name, error) from error

    def frame(self, name: str) -> Frame:
        """Return a frame."""
        data = self.arrays(name)
        try:
            window, step, time = int(data["window"]), int(data["step"]), float(data["time"])
            n = len(data["x"])
            shapes = (("x", (n, 3)), ("F", (n, 3, 3)), ("G", (n, 3, 3)))
            x, F, G = (as_array(data[name], name, shape) for name, shape in shapes)
            return Frame(x, F, G, window=window, step=step, time=time)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _foreign(self._place / name, error) from error

    def check_copy(self, name: str) -> None:
        """Check a file that is there for other programs; it may have been removed."""
        if self._manifest is not None and (self._place / name).exists():
            self.read(name)


def _manifest(place: Path) -> Manifest | None:
    try:
        return read_manifest(place)
    except OSError as error:
        raise _foreign(place / MANIFEST, error) from error


def _read_result(place: Path, manifest: Manifest | None) -> MorphResult:
    """Read the files of a result."""
    files = _Files(place, manifest)
    frame_names = sorted(name for name in files.names if name.startswith("frames/"))
    for name in ("result.npz", "metrics.json", "history.json", "frames"):
        if not (frame_names if name == "frames" else name in files.names):
            raise ConfigError(
                f"result: expected a folder written by 'diffmpm morph', got {str(place)!r} without {name}; "
                "name the output folder of a morph that has ended"
            )
    if manifest is None:
        warnings.warn(
            f"result: {str(place)!r} is read without digests, as it has no {MANIFEST}: an earlier version wrote it",
            DiffMPMWarning,
            stacklevel=4,
        )
    in_parallel(files.check_copy, [name for name in files.names if name.endswith(".ply")])
    frames = tuple(in_parallel(files.frame, frame_names))
    arrays, summary, history = files.arrays("result.npz"), files.json("metrics.json"), files.json("history.json")
    config = files.json("config.json") if "config.json" in files.names else {}
    try:
        # Earlier versions kept the options with the history.
        run = MorphRun.from_dict(config or {"morph": history["config"], "complete": False})
        n = len(arrays["x"])
        shapes = {"x": (n, 3), "F": (n, 3, 3), "G": (n, 3, 3), "source_x": (n, 3), "target_x": (None, 3)}
        return MorphResult(
            **{name: as_array(arrays[name], name, shape) for name, shape in shapes.items()},
            frames=frames,
            metrics={name: value for name, value in summary.items() if name not in _SUMMARY},
            history=tuple(history["windows"]),
            config=run.morph,
            stopped=str(summary["stopped"]),
            seconds=float(summary["seconds"]),
            source_name=str(summary["source"]),
            target_name=str(summary["target"]),
            placement=Placement.from_dict(summary["placement"]) if "placement" in summary else Placement(),
            run=run,
            timings=dict(summary.get("timings", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(place, error) from error


def _foreign(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"result: expected the complete files of a morph, but {str(path)!r} is damaged ({error!r}); run the morph again"
    )
