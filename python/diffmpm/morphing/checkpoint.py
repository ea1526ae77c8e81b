# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Checkpoints: the state between two windows, written in the background while the next windows run."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import as_array
from ..errors import CheckpointError
from ..export import Entry, Manifest, decode_npz, encode_npz, own_manifest, write_together
from ..export.atomic import in_parallel
from ..export.manifest import MANIFEST
from ..types import Particles
from .chain import Best, ChainState
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
"""Options that may change on resuming. An `up` that turns the source makes another problem, which is refused."""


class Checkpoint:
    """Checkpoint of one run in a folder. Each frame is a separate file, written once.

    Args:
        out: Output folder of the run.
        problem: The morph.
        config: Configuration.
        render: Guidance by images, if any.
        force: Whether to replace files that this program did not write.
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
        self._frames = 0  # number of written frames

    def clear(self) -> None:
        """Remove the checkpoint of an earlier run.

        Raises:
            OutputError: If it cannot be removed.
        """
        clear_checkpoint(self._out, force=self._force)

    def save(self, state: ChainState) -> None:
        """Write a state whose arrays are on the CPU. The previous checkpoint is valid until the new one is complete.

        Raises:
            OutputError: If it cannot be written.
        """
        meta = {
            "config": self._config.to_dict(),
            "problem": self._problem,
            "render": self._render,
            "frames": len(state.frames),
            "step": state.step,
            "level": state.level,
            "time": state.time,
            "history": list(state.history),
            "stopped": state.stopped,
            "pairs": len(state.pairs),
        }
        arrays = _body_arrays(state.body)
        if state.best is not None:
            arrays |= {f"best_{name}": array for name, array in _body_arrays(state.best.body).items()}
            arrays["best"] = np.frombuffer(state.best.frame.encode(), np.uint8)
        for n, (step, change) in enumerate(state.pairs):
            arrays |= {f"pair_{n}_step": step, f"pair_{n}_change": change}
        payload = encode_npz(meta=json.dumps(meta), G=state.G, shown=state.shown, **arrays)
        written = min(self._frames, len(state.frames))  # further ones belong to a later state that was discarded
        names = [_frame_name(index) for index in range(written)]
        with write_together(self._out, by=WRITER, whole=[FOLDER], keep=names, force=self._force) as stage:

            def write(index: int) -> None:
                stage.write(_frame_name(index), state.frames[index].encode())

            in_parallel(write, range(written, len(state.frames)))
            stage.write(_STATE, payload)
        self._frames = len(state.frames)

    def frame_files(self) -> list[tuple[Path, Entry]]:
        """Return the written frame files and their manifest entries."""
        files = own_manifest(self._out).files
        names = [_frame_name(index) for index in range(self._frames)]
        return [(self._out / name, files[name]) for name in names if name in files]

    def load(self) -> ChainState:
        """Read the state.

        Raises:
            CheckpointError: If the checkpoint is missing, is damaged, or belongs to another run.
        """
        manifest = _manifest(self._out)
        content = _read(manifest, _STATE)
        try:
            return self._decode(content, manifest)
        except CheckpointError:
            raise
        except Exception as error:  # intact by its digest, but perhaps written by another version
            raise _damaged(self._out / _STATE, f"{type(error).__name__}: {error}") from error

    def _decode(self, content: bytes, manifest: Manifest) -> ChainState:
        arrays = decode_npz(content)
        meta = json.loads(str(arrays.pop("meta")))
        self._check_same_run(meta)
        self._frames = int(meta["frames"])
        names = [_frame_name(index) for index in range(self._frames)]
        frames = tuple(Frame.decode(_read(manifest, name)) for name in names)
        body, best = _body(arrays), None
        if "best" in arrays:
            best = Best(Frame.decode(arrays["best"].tobytes()), _body(arrays, "best_"))
        stopped = str(meta["stopped"])
        return ChainState(
            body=body,
            G=as_array(arrays["G"], "G", body.F.shape, body.dtype),
            step=float(meta["step"]),
            shown=as_array(arrays["shown"], "shown", body.x.shape, body.dtype),
            frames=frames,
            history=tuple(meta["history"]),
            level=int(meta["level"]),
            time=float(meta["time"]),
            best=best,
            pairs=tuple((arrays[f"pair_{n}_step"], arrays[f"pair_{n}_change"]) for n in range(int(meta["pairs"]))),
            stopped=stopped if stopped in ("stuck", "failed") else "",
        )

    def _check_same_run(self, meta: dict[str, Any]) -> None:
        options = self._config.to_dict()
        for name, value in meta["config"].items():
            if name not in _MAY_CHANGE and options.get(name) != value:
                raise CheckpointError(
                    f"resume: expected the options of the interrupted run, got {name} = {options.get(name)!r} instead "
                    f"of {value!r}; pass the same options, or start without resume"
                )
        for what, fingerprint, key in (
            ("guidance by images", self._render, "render"),
            ("source and target", self._problem, "problem"),
        ):
            if meta.get(key) != fingerprint:
                raise CheckpointError(
                    f"resume: expected the {what} of the interrupted run, got different ones; "
                    "pass the same ones, or start without resume"
                )


class CheckpointWriter:
    """Writes states in the background, one at a time. A waiting state is replaced by a later one.

    An error while writing is raised by the next call of `put` or `flush`.

    Args:
        checkpoint: Checkpoint to write.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="diffmpm checkpoint")
        self._writing: Future[int] | None = None
        self._waiting: ChainState | None = None
        self._last: ChainState | None = None
        self.windows = -1
        """Number of windows in the last written state."""

    def put(self, state: ChainState) -> None:
        """Write a state in the background."""
        if state is not self._last:
            self._last = self._waiting = state
        self._advance()

    def flush(self) -> None:
        """Wait until all states are written."""
        while self._writing is not None or self._waiting is not None:
            if self._writing is not None:
                wait([self._writing])
            self._advance()

    def close(self) -> None:
        """Wait for the thread. Discards a waiting state and an error."""
        try:
            self._pool.shutdown()
        except BaseException:  # interrupted: the thread must end before another writer may start
            self._pool.shutdown()
            raise

    def _advance(self) -> None:
        """Take the result of the thread if it has ended, and start the next one."""
        if self._writing is not None:
            if not self._writing.done():
                return
            writing, self._writing = self._writing, None
            try:
                self.windows = writing.result()
            except BaseException:
                self._waiting = self._last = None
                raise
        if self._waiting is not None:
            state, self._waiting = self._waiting.to("cpu"), None
            self._writing = self._pool.submit(self._write, state)

    def _write(self, state: ChainState) -> int:
        self._checkpoint.save(state)
        return state.window


def clear_checkpoint(out: Path, *, force: bool = False) -> None:
    """Remove the checkpoint in a folder."""
    with write_together(out, by=WRITER, whole=[FOLDER], force=force):
        pass


def has_checkpoint(out: Path) -> bool:
    """Return whether a folder has a checkpoint, damaged or not."""
    return (out / _STATE).exists()


def refuse_interrupted(out: Path) -> None:
    """Raise a CheckpointError if a folder holds an interrupted run; damaged ones do not count."""
    try:
        meta = json.loads(str(decode_npz(_read(_manifest(out), _STATE))["meta"]))
        stopped, done, windows = meta["stopped"], len(meta["history"]), int(meta["config"]["windows"])
    except Exception:  # damaged in any way: cannot be resumed
        return
    if stopped in ("", "interrupted"):
        raise CheckpointError(
            f"resume: expected a choice, as {str(out)!r} holds an interrupted morph ({done} of {windows} windows); "
            "continue it with resume=True (--resume), discard it with resume=False (--overwrite), or name another "
            "folder"
        )


def _body_arrays(body: Particles) -> dict[str, Any]:
    arrays = {name: getattr(body, name) for name in _BODY}
    return arrays if body.Fp is None else {**arrays, "Fp": body.Fp}


def _body(arrays: dict[str, Any], prefix: str = "") -> Particles:
    return Particles.create(**{name: arrays[prefix + name] for name in _BODY}, Fp=arrays.get(f"{prefix}Fp"))


def _frame_name(index: int) -> str:
    return f"{FOLDER}frame_{index:04d}.npz"


def _manifest(out: Path) -> Manifest:
    """Return the manifest of a folder with a checkpoint."""
    path = out / _STATE
    manifest = own_manifest(out)
    if not manifest.intact:
        raise _damaged(out / MANIFEST, "its digest does not match its content")
    if _STATE in manifest.files:
        return manifest
    if path.exists():
        raise _damaged(path, f"{MANIFEST} does not list it; an earlier version may have written it")
    raise CheckpointError(
        f"resume: expected a checkpoint at {str(path)!r}, found none; start without resume, "
        "or name the output folder of the interrupted run"
    )


def _read(manifest: Manifest, name: str) -> bytes:
    if name not in manifest.files:
        raise _damaged(manifest.folder / name, "it is missing")
    try:
        return manifest.read(name)
    except (OSError, ValueError) as error:
        raise _damaged(manifest.folder / name, getattr(error, "strerror", None) or str(error)) from error


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"resume: expected a complete checkpoint, but {str(path)!r} is damaged ({reason}); start without resume"
    )
