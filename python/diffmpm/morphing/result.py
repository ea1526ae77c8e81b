# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Result of a morph, and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._arrays import Array
from ..export import check_folder, write_folder, write_json, write_npz, write_ply, write_ply_sequence
from .checkpoint import frame_arrays
from .config import MorphConfig
from .frames import Frame


@dataclass(frozen=True)
class MorphResult:
    """Body at the end of a morph, in the units and place of the target mesh; arrays are float32."""

    x: Array
    """Positions, shape (N, 3)."""
    F: Array
    """Deformation gradients (elastic memory), shape (N, 3, 3)."""
    G: Array
    """Motion gradients since the start, shape (N, 3, 3)."""
    source_x: Array
    """Positions of the body at the start, shape (N, 3)."""
    target_x: Array
    """Target sample, shape (N, 3)."""
    frames: tuple[Frame, ...]
    """Frames from start to end."""
    metrics: dict[str, Any]
    """Measures of METHOD 7 at the end, and at the start under "start"."""
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

    def save(self, out: str | os.PathLike[str]) -> Path:
        """Write result, frames, PLY sequence, metrics and history; each whole or not at all.

        Writes `result.npz`, `result.ply`, `frames/frame_0000.npz` ..., `ply/frame_0000.ply` ..., `metrics.json` and
        `history.json`. `diffmpm.view.save_pictures` adds the pictures.

        Args:
            out: Folder, made if needed.

        Returns:
            The folder.

        Raises:
            OutputError: If something cannot be written.
        """
        folder = check_folder(out)
        with write_folder(folder / "frames") as target:
            for index, frame in enumerate(self.frames):
                write_npz(target / f"frame_{index:04d}.npz", **frame_arrays(frame))
        write_ply_sequence(folder / "ply", [frame.x for frame in self.frames])
        write_npz(folder / "result.npz", x=self.x, F=self.F, G=self.G, source_x=self.source_x, target_x=self.target_x)
        write_ply(folder / "result.ply", self.x)
        write_json(folder / "history.json", {"config": self.config.to_dict(), "windows": list(self.history)})
        write_json(folder / "metrics.json", self.summary())
        return folder

    def summary(self) -> dict[str, Any]:
        """Return metrics, reason of the stop, counts and time as JSON types."""
        done = [row for row in self.history if "loss" in row]
        return {
            **self.metrics,
            "source": self.source_name,
            "target": self.target_name,
            "particles": int(self.x.shape[0]),
            "windows": len(self.history),
            "frames": len(self.frames),
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            "loss_start": done[0]["loss_start"] if done else None,
            "loss": done[-1]["loss"] if done else None,
        }
