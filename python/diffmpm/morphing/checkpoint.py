# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Checkpoints: the chain's state at the border of two windows, on disk, with a digest of its content."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_array
from ..errors import CheckpointError
from ..export import check_folder, encode_npz, remove_leftovers, write_bytes
from ..export.atomic import in_parallel
from ..types import Particles
from .chain import ChainState
from .config import MorphConfig
from .frames import Frame
from .guidance import RenderGuidance
from .problem import Problem

FOLDER = "checkpoint"
_NAME = "state.bin"
_MAGIC = b"DiffMPM checkpoint 1\n"
_BODY = ("x", "v", "C", "F", "mass", "volume", "lam", "mu")
_MAY_CHANGE = frozenset({"windows", "tolerance", "patience", "device", "up"})
"""Options that a run may be resumed with other values of: when to stop, where to compute, and what is up. If another up
turns the source, `_check_same_run` finds another problem."""


class Checkpoint:
    """Checkpoint of one run in a folder; each frame is a file of its own, written once.

    Args:
        out: Output folder of the run.
        problem: The morph.
        config: Its configuration.
        render: Its guidance by images, if any.
    """

    def __init__(self, out: Path, problem: Problem, config: MorphConfig, render: RenderGuidance | None = None) -> None:
        self.folder = out / FOLDER
        self._problem, self._config = problem.fingerprint(), config
        self._render = None if render is None else render.fingerprint()
        self._digests: list[str] = []

    def clear(self) -> None:
        """Remove the checkpoint of an earlier run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def refuse_interrupted(self) -> None:
        """Make sure that there is none of a run that was interrupted; damaged ones do not count.

        Raises:
            CheckpointError: If there is.
        """
        try:
            meta = json.loads(str(_arrays(_read(self.folder / _NAME))["meta"]))
            stopped, done, windows = meta["stopped"], len(meta["history"]), int(meta["config"]["windows"])
        except Exception:  # whatever is wrong with it, nothing can go on from it
            return
        if stopped in ("", "interrupted"):
            raise CheckpointError(
                f"resume: expected a choice, as {str(self.folder.parent)!r} holds an interrupted morph ({done} of "
                f"{windows} windows); continue it with resume=True (--resume), give it up with resume=False "
                "(--no-resume), or name another folder"
            )

    def save(self, state: ChainState) -> None:
        """Write a state whose arrays are on the CPU; the previous checkpoint stays valid until the new one is complete.

        Raises:
            OutputError: If it cannot be written.
        """
        check_folder(self.folder)
        del self._digests[len(state.frames) :]  # of a later state that was given up
        new = range(len(self._digests), len(state.frames))
        self._digests += in_parallel(lambda index: self._save_frame(index, state.frames[index]), new)
        meta = {
            "config": self._config.to_dict(),
            "problem": self._problem,
            "render": self._render,
            "frames": self._digests,
            "step": state.step,
            "history": list(state.history),
            "stopped": state.stopped,
        }
        arrays = {name: getattr(state.body, name) for name in _BODY}
        if state.body.Fp is not None:
            arrays["Fp"] = state.body.Fp
        payload = encode_npz(meta=json.dumps(meta), G=state.G, shown=state.shown, **arrays)
        write_bytes(self.folder / _NAME, _MAGIC + _digest(payload).encode() + b"\n" + payload)

    def frame_files(self) -> list[Path]:
        """Return the files of the frames that have been written."""
        return [self._frame_path(index) for index in range(len(self._digests))]

    def load(self) -> ChainState:
        """Read the state.

        Raises:
            CheckpointError: If there is none, it is damaged, or it belongs to another run.
        """
        path = self.folder / _NAME
        content = _read(path)
        remove_leftovers(self.folder)
        try:
            return self._decode(content)
        except CheckpointError:
            raise
        except Exception as error:  # what the digest lets through was written so, by another version perhaps
            raise _damaged(path, f"{type(error).__name__}: {error}") from error

    def _decode(self, content: bytes) -> ChainState:
        arrays = _arrays(content)
        meta = json.loads(str(arrays.pop("meta")))
        self._check_same_run(meta)
        self._digests = [str(digest) for digest in meta["frames"]]
        frames = tuple(self._load_frame(index) for index in range(len(self._digests)))
        body = Particles.create(**{name: arrays[name] for name in _BODY}, Fp=arrays.get("Fp"))
        stopped = str(meta["stopped"])
        return ChainState(
            body=body,
            G=as_array(arrays["G"], "G", body.F.shape, body.dtype),
            step=float(meta["step"]),
            shown=as_array(arrays["shown"], "shown", body.x.shape, body.dtype),
            frames=frames,
            history=tuple(meta["history"]),
            stopped=stopped if stopped in ("stuck", "failed") else "",
        )

    def _check_same_run(self, meta: dict[str, Any]) -> None:
        ours = self._config.to_dict()
        for name, value in meta["config"].items():
            if name not in _MAY_CHANGE and ours.get(name) != value:
                raise CheckpointError(
                    f"resume: expected the options of the interrupted run, got {name} = {ours.get(name)!r} instead of "
                    f"{value!r}; give the same options, or start without resume"
                )
        if meta.get("render") != self._render:
            raise CheckpointError(
                "resume: expected the guidance by images of the interrupted run, got another one; "
                "give the same render, or start without resume"
            )
        if meta["problem"] != self._problem:
            raise CheckpointError(
                "resume: expected the source and target of the interrupted run, got other ones; "
                "give the same meshes, or start without resume"
            )

    def _frame_path(self, index: int) -> Path:
        return self.folder / f"frame_{index:04d}.npz"

    def _save_frame(self, index: int, frame: Frame) -> str:
        """Write a frame and return its digest."""
        content = encode_npz(**frame_arrays(frame))
        write_bytes(self._frame_path(index), content)
        return _digest(content)

    def _load_frame(self, index: int) -> Frame:
        path = self._frame_path(index)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _damaged(path, str(error.strerror)) from error
        if _digest(content) != self._digests[index]:
            raise _damaged(path, "its content has changed")
        data = _arrays(content)
        window, step, time = int(data["window"]), int(data["step"]), float(data["time"])
        return Frame(data["x"], data["F"], data["G"], window=window, step=step, time=time)


def frame_arrays(frame: Frame) -> dict[str, Any]:
    """Return what the archive of a frame holds."""
    return {name: getattr(frame, name) for name in ("x", "F", "G", "window", "step", "time")}


def _read(path: Path) -> bytes:
    """Return the archive behind the digest."""
    if not path.exists():
        raise CheckpointError(
            f"resume: expected a checkpoint at {str(path)!r}, found none; start without resume, "
            "or name the output folder of the interrupted run"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    head = len(_MAGIC) + 65
    if not content.startswith(_MAGIC) or content[len(_MAGIC) : head] != _digest(content[head:]).encode() + b"\n":
        raise _damaged(path, "its digest does not match its content")
    return content[head:]


def _arrays(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"resume: expected a complete checkpoint, but {str(path)!r} is damaged ({reason}); start without resume"
    )
