# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Result of a morph, and its files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._arrays import Array, as_array
from .._placement import Placement
from ..errors import CheckpointError, ConfigError, DiffMPMError
from ..export import (
    is_locked,
    lock_folder,
    read_npz,
    write_json,
    write_npz,
    write_ply,
    write_together,
)
from ..export.atomic import in_parallel
from .checkpoint import frame_arrays
from .config import MorphConfig
from .frames import Frame


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
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by part of the run, which do not overlap: "reading", "sampling", "objective", "windows", "frames" (with
    records), "checkpoints" (waiting for them), "metrics" and, but not in the files, "writing"."""

    def save(self, out: str | os.PathLike[str]) -> Path:
        """Write result, frames, PLY sequence, metrics and history, all together or nothing.

        Writes `result.npz`, `result.ply`, `frames/frame_0000.npz` ..., `ply/frame_0000.ply` ..., `metrics.json` and
        `history.json`. `diffmpm.view.save_pictures` adds the pictures.

        Args:
            out: Folder, made if needed.

        Returns:
            The folder.

        Raises:
            OutputError: If something cannot be written, or somebody else writes into the folder.
        """
        return write_result(self, out)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> MorphResult:
        """Read a result that `save` or `diffmpm morph` has written; one that is being replaced is waited for.

        Args:
            folder: Its folder.

        Returns:
            The result, frames included.

        Raises:
            ConfigError: If the folder holds no result.
            CheckpointError: If a file of it is damaged.
        """
        place = Path(folder)
        problem: DiffMPMError = CheckpointError(
            f"result: expected the files of one morph, but those in {str(place)!r} are replaced while they are read; "
            "read them when their writer has ended"
        )
        for _ in range(_TRIES):
            before, writing = _stamp(place), is_locked(place)
            try:
                result = _read_result(place)
            except (ConfigError, CheckpointError) as error:
                if _stamp(place) == before and not (writing or is_locked(place)):
                    raise
                problem = error
            else:
                if _stamp(place) == before:
                    return result
            time.sleep(_PAUSE)
        raise problem

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


def write_result(result: MorphResult, out: str | os.PathLike[str], frame_files: Sequence[Path] = ()) -> Path:
    """Do what `MorphResult.save` does; the files of frames that there are already are shared with the disk's help."""
    with lock_folder(out) as folder, write_together(folder, last="metrics.json") as new:
        (new / "frames").mkdir()
        (new / "ply").mkdir()

        def write(index: int) -> None:
            frame, target = result.frames[index], new / "frames" / f"frame_{index:04d}.npz"
            if index >= len(frame_files) or not _linked(frame_files[index], target):
                write_npz(target, **frame_arrays(frame))
            write_ply(new / "ply" / f"frame_{index:04d}.ply", result.placement.world(frame.x))

        in_parallel(write, range(len(result.frames)))
        arrays = {name: getattr(result, name) for name in ("x", "F", "G", "source_x", "target_x")}
        write_npz(new / "result.npz", **arrays)
        write_ply(new / "result.ply", result.placement.world(result.x))
        write_json(new / "history.json", {"config": result.config.to_dict(), "windows": list(result.history)})
        write_json(new / "metrics.json", result.summary())
    return folder


def _linked(file: Path, target: Path) -> bool:
    """Give a file a second name; say whether the disk can."""
    try:
        os.link(file, target)
    except OSError:
        return False
    return True


_TRIES, _PAUSE = 20, 0.1
"""Tries to read a result that is being written, and seconds between them."""


def _read_result(place: Path) -> MorphResult:
    """Read the files of a result."""
    for name in ("result.npz", "metrics.json", "history.json", "frames"):
        if not (place / name).exists():
            raise ConfigError(
                f"result: expected a folder written by 'diffmpm morph', got {str(place)!r} without {name}; "
                "name the output folder of a morph that has ended"
            )
    arrays = read_npz(place / "result.npz")
    summary, history = _read_json(place / "metrics.json"), _read_json(place / "history.json")
    frames = tuple(_read_frame(path) for path in sorted((place / "frames").glob("frame_*.npz")))
    try:
        n = len(arrays["x"])
        shapes = {"x": (n, 3), "F": (n, 3, 3), "G": (n, 3, 3), "source_x": (n, 3), "target_x": (None, 3)}
        return MorphResult(
            **{name: as_array(arrays[name], name, shape) for name, shape in shapes.items()},
            frames=frames,
            metrics={name: value for name, value in summary.items() if name not in _SUMMARY},
            history=tuple(history["windows"]),
            config=MorphConfig(**history["config"]),
            stopped=str(summary["stopped"]),
            seconds=float(summary["seconds"]),
            source_name=str(summary["source"]),
            target_name=str(summary["target"]),
            placement=Placement.from_dict(summary["placement"]) if "placement" in summary else Placement(),
            timings=dict(summary.get("timings", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(place, error) from error


def _stamp(place: Path) -> tuple[int, int] | None:
    """Return what tells the file that `save` removes first and writes last from the one that takes its place."""
    try:
        found = (place / "metrics.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _foreign(path, error) from error


def _read_frame(path: Path) -> Frame:
    data = read_npz(path)
    try:
        window, step, time = int(data["window"]), int(data["step"]), float(data["time"])
        n = len(data["x"])
        x, F, G = (as_array(data[name], name, (n, *tail)) for name, tail in (("x", (3,)), ("F", (3, 3)), ("G", (3, 3))))
        return Frame(x, F, G, window=window, step=step, time=time)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _foreign(path, error) from error


def _foreign(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"result: expected the complete files of a morph, but {str(path)!r} is damaged ({error!r}); run the morph again"
    )
