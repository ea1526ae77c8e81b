# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Checkpoints: the chain's state at the border of two windows, on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._arrays import as_array
from ..errors import CheckpointError
from ..export import Entry, Manifest, decode_npz, encode_npz, own_manifest, write_together
from ..export.atomic import in_parallel
from ..export.manifest import MANIFEST
from ..types import Particles
from .chain import ChainState
from .config import MorphConfig
from .frames import Frame
from .guidance import RenderGuidance
from .problem import Problem

WRITER = "checkpoint"
"""Name of checkpoints in the manifest."""
FOLDER = "checkpoint/"
"""Folder of their files in the output folder."""
_STATE = f"{FOLDER}state.bin"
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

    def __init__(
        self,
        out: Path,
        problem: Problem,
        config: MorphConfig,
        render: RenderGuidance | None = None,
        *,
        force: bool = False,
    ) -> None:
        self._out, self._force = out, force
        self._problem, self._config = problem.fingerprint(), config
        self._render = None if render is None else render.fingerprint()
        self._frames = 0  # that have been written

    def clear(self) -> None:
        """Remove the checkpoint of an earlier run.

        Raises:
            OutputError: If it cannot be removed.
        """
        with write_together(self._out, by=WRITER, whole=[FOLDER], force=self._force):
            pass

    def save(self, state: ChainState) -> None:
        """Write a state whose arrays are on the CPU; the previous checkpoint stays valid until the new one is complete.

        Raises:
            OutputError: If it cannot be written.
        """
        meta = {
            "config": self._config.to_dict(),
            "problem": self._problem,
            "render": self._render,
            "frames": len(state.frames),
            "step": state.step,
            "history": list(state.history),
            "stopped": state.stopped,
        }
        arrays = {name: getattr(state.body, name) for name in _BODY}
        if state.body.Fp is not None:
            arrays["Fp"] = state.body.Fp
        payload = encode_npz(meta=json.dumps(meta), G=state.G, shown=state.shown, **arrays)
        kept = min(self._frames, len(state.frames))  # more than these are of a later state that was given up
        names = [_frame_name(index) for index in range(kept)]
        with write_together(self._out, by=WRITER, whole=[FOLDER], keep=names, force=self._force) as stage:

            def write(index: int) -> None:
                stage.write(_frame_name(index), encode_npz(**frame_arrays(state.frames[index])))

            in_parallel(write, range(kept, len(state.frames)))
            stage.write(_STATE, payload)
        self._frames = len(state.frames)

    def frame_files(self) -> list[tuple[Path, Entry]]:
        """Return the files of the frames that have been written, and what the manifest says of them."""
        manifest = own_manifest(self._out)
        names = [_frame_name(index) for index in range(self._frames)]
        return [(self._out / name, manifest.files[name]) for name in names if name in manifest.files]

    def load(self) -> ChainState:
        """Read the state.

        Raises:
            CheckpointError: If there is none, it is damaged, or it belongs to another run.
        """
        manifest = _manifest(self._out)
        content = _read(manifest, _STATE)
        try:
            return self._decode(content, manifest)
        except CheckpointError:
            raise
        except Exception as error:  # what the digest lets through was written so, by another version perhaps
            raise _damaged(self._out / _STATE, f"{type(error).__name__}: {error}") from error

    def _decode(self, content: bytes, manifest: Manifest) -> ChainState:
        arrays = decode_npz(content)
        meta = json.loads(str(arrays.pop("meta")))
        self._check_same_run(meta)
        self._frames = int(meta["frames"])
        frames = tuple(_load_frame(manifest, index) for index in range(self._frames))
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


def refuse_interrupted(out: Path) -> None:
    """Make sure that a folder holds no run that was interrupted; damaged ones do not count.

    Raises:
        CheckpointError: If it does.
    """
    try:
        meta = json.loads(str(decode_npz(_read(_manifest(out), _STATE))["meta"]))
        stopped, done, windows = meta["stopped"], len(meta["history"]), int(meta["config"]["windows"])
    except Exception:  # whatever is wrong with it, nothing can go on from it
        return
    if stopped in ("", "interrupted"):
        raise CheckpointError(
            f"resume: expected a choice, as {str(out)!r} holds an interrupted morph ({done} of {windows} windows); "
            "continue it with resume=True (--resume), give it up with resume=False (--overwrite), or name another "
            "folder"
        )


def frame_arrays(frame: Frame) -> dict[str, Any]:
    """Return what the archive of a frame holds."""
    return {name: getattr(frame, name) for name in ("x", "F", "G", "window", "step", "time")}


def _frame_name(index: int) -> str:
    return f"{FOLDER}frame_{index:04d}.npz"


def _load_frame(manifest: Manifest, index: int) -> Frame:
    name = _frame_name(index)
    if name not in manifest.files:
        raise _damaged(manifest.folder / name, "it is missing")
    data = decode_npz(_read(manifest, name))
    window, step, time = int(data["window"]), int(data["step"]), float(data["time"])
    return Frame(data["x"], data["F"], data["G"], window=window, step=step, time=time)


def _manifest(out: Path) -> Manifest:
    """Return the manifest of a folder with a checkpoint."""
    path = out / _STATE
    manifest = own_manifest(out)
    if not manifest.intact:
        raise _damaged(out / MANIFEST, "its digest does not match its content")
    if _STATE in manifest.files:
        return manifest
    if path.exists():
        raise _damaged(path, f"{MANIFEST} does not list it, as that of an earlier version")
    raise CheckpointError(
        f"resume: expected a checkpoint at {str(path)!r}, found none; start without resume, "
        "or name the output folder of the interrupted run"
    )


def _read(manifest: Manifest, name: str) -> bytes:
    try:
        return manifest.read(name)
    except (OSError, ValueError) as error:
        raise _damaged(manifest.folder / name, getattr(error, "strerror", None) or str(error)) from error


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"resume: expected a complete checkpoint, but {str(path)!r} is damaged ({reason}); start without resume"
    )
