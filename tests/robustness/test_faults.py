# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A fault or interrupt in any disk operation leaves the old or the new files, and the message is accurate."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import export
from diffmpm.errors import OutputError
from diffmpm.export import atomic
from diffmpm.morphing import MorphResult

TINY = {"particles": 32, "cell_particles": 3.0, "steps": 2, "windows": 1, "frame_motion": 0.3}
OPERATIONS = ("open", "write", "ftruncate", "fsync", "replace", "mkdir", "rmdir", "unlink", "link", "close")


class Faults:
    """Make one disk operation fail, or all from that one on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.count, self.first, self.all, self.failed = 0, 0, False, ""
        self._folder = str(folder)
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))
        monkeypatch.setattr(atomic, "_write", self._half(atomic._write))

    def arm(self, first: int, *, all: bool) -> None:
        self.count, self.first, self.all, self.failed = 0, first, all, ""

    def _hit(self, name: str) -> bool:
        if not self.first:
            return False
        self.count += 1
        hit = self.count >= self.first if self.all else self.count == self.first
        if hit and not self.failed:
            self.failed = name
        return hit

    def _failing(self, name: str, work: Callable[..., object]) -> Callable[..., object]:
        def operation(*arguments: object, **options: object) -> object:
            if name == "fsync":
                if self._hit(name):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return None
            if name == "open" and not isinstance(arguments[0], int) and not arguments[1] & os.O_CREAT:  # type: ignore[operator]
                return work(*arguments, **options)  # for reading
            if self._hit(name):
                if name == "close":
                    work(*arguments, **options)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return work(*arguments, **options)

        return operation

    def _half(self, work: Callable[[Path, bytes], None]) -> Callable[[Path, bytes], None]:
        def write(path: Path, content: bytes) -> None:
            if self._hit("write"):
                path.write_bytes(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            work(path, content)

        return write


@pytest.fixture(scope="module")
def results() -> tuple[MorphResult, MorphResult]:
    old, new = (dm.morph("sphere", "box", **{**TINY, "seed": seed}) for seed in (1, 2))
    return old, new


def which(folder: Path, results: tuple[MorphResult, MorphResult]) -> str:
    """Return whether a folder holds the complete old or the complete new result."""
    loaded = MorphResult.load(folder)
    for name, result in zip(("old", "new"), results, strict=True):
        if np.array_equal(loaded.x, result.x):
            assert len(loaded.frames) == len(result.frames)
            assert all(np.array_equal(a.x, b.x) for a, b in zip(loaded.frames, result.frames, strict=True))
            assert loaded.history == result.history
            return name
    raise AssertionError("a mixture")


@pytest.mark.parametrize("all", [False, True], ids=["one", "all-from-there"])
def test_a_fault_in_any_operation_leaves_the_old_or_the_new_result(results, tmp_path, monkeypatch, all) -> None:
    old, new = results
    faults = Faults(monkeypatch, tmp_path)
    outcomes = set()
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        old.save(folder)
        faults.arm(number, all=all)
        message = ""
        try:
            new.save(folder)
        except OutputError as error:
            message = str(error)
        failed, triggered = faults.failed, faults.count >= number
        faults.arm(0, all=False)
        if not triggered:
            break
        state = which(folder, results)
        outcomes.add((state, bool(message)))
        if "nothing was changed" in message:
            assert state == "old", (number, failed, message)
        elif "all new files of" in message:
            assert state == "new", (number, failed, message)
            stage = next(path for path in folder.iterdir() if path.name in message)
            manifest = export.read_manifest(folder)
            assert manifest is not None
            waiting = sum((stage / name).exists() for name in manifest.files)
            assert f"; {waiting} of them are in" in message
        elif message:
            assert "could not lock" in message or "expected a folder to write into" in message, message
            assert state == "old", (number, failed, message)
        else:
            assert state == "new", (number, failed)
        new.save(folder)  # a later write succeeds
        assert which(folder, results) == "new"
        assert not list(folder.glob(".*"))
    assert number > 25
    assert {("old", True), ("new", False)} <= outcomes
    assert all is (("new", True) in outcomes)


@pytest.mark.parametrize("all", [False, True], ids=["one", "all-from-there"])
def test_a_fault_in_any_operation_of_a_morph(tmp_path, monkeypatch, fuzz, all) -> None:
    old = dm.morph("sphere", "box", **{**TINY, "seed": 1})
    new = dm.morph("sphere", "box", **TINY)
    faults = Faults(monkeypatch, tmp_path)
    number, triggered, outcomes = 1, True, set()
    while triggered:
        folder = tmp_path / str(number)
        old.save(folder)
        faults.arm(number, all=all)
        message = ""
        try:
            dm.morph("sphere", "box", **TINY, out=folder, resume=False)
        except OutputError as error:
            message = str(error)
        triggered = faults.count >= number
        faults.arm(0, all=False)
        loaded = MorphResult.load(folder)
        expected = [new] if not message else [old, new] if "all new files of" in message else [old]
        assert any(np.array_equal(loaded.x, result.x) for result in expected), (number, faults.failed, message)
        outcomes.add(bool(message))
        number += max(1, 5 // fuzz)
        assert np.array_equal(dm.morph("sphere", "box", **TINY, out=folder, resume=False).x, new.x)
        assert not list(folder.glob(".*"))
    assert outcomes == {True, False}


def test_the_first_error_is_reported_and_not_that_of_the_lock(tmp_path, monkeypatch) -> None:
    close = os.close

    def failing(handle: int) -> None:
        close(handle)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(ZeroDivisionError), export.lock_folder(tmp_path):
        monkeypatch.setattr(os, "close", failing)
        raise ZeroDivisionError
    with export.lock_folder(tmp_path):
        pass
    monkeypatch.undo()
    assert not export.is_locked(tmp_path)


def test_staged_files_are_read_and_moved_by_the_next_write(results, tmp_path, monkeypatch) -> None:
    old, new = results
    old.save(tmp_path)
    move = atomic._move

    def failing(source: Path, target: Path) -> None:
        if target.name.endswith(".npz"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        move(source, target)

    with export.lock_folder(tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(atomic, "_move", failing)
            with pytest.raises(
                OutputError, match=r"all new files of .* are written, .*; \d+ of them are in '\.diffmpm\."
            ):
                new.save(tmp_path)
        assert which(tmp_path, results) == "new"
        with export.write_together(tmp_path, by="other") as stage:  # still under the same lock
            stage.write("other.txt", b"")
        assert which(tmp_path, results) == "new"
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "other.txt").exists()


INTERRUPTS = """
import collections, os, pathlib, random, shutil, signal, sys, time
from diffmpm.export import lock, lock_folder, write_bytes, write_together

base, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
os.fsync = lambda handle: None
random.seed(int(sys.argv[2]))
counts = collections.Counter()
signal.signal(signal.SIGALRM, signal.default_int_handler)

def single(folder):
    with lock_folder(folder):
        write_bytes(folder / "a.bin", b"x" * 1000)

def together(folder):
    with lock_folder(folder), write_together(folder, whole=["d/"], last="z") as stage:
        stage.write("z", b"1")
        (stage / "d").mkdir()
        (stage / "d" / "q").write_bytes(b"2")

def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

for work in (single, together):
    took = []
    for number in range(9):
        took.append(-time.perf_counter())
        work(base / work.__name__)
        took[-1] += time.perf_counter()
    longest = 1.2 * sorted(took)[4]
    for number in range(rounds):
        folder = base / f"{work.__name__}{number}"
        before = descriptors()
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, longest))
            work(folder)
            signal.setitimer(signal.ITIMER_REAL, 0)
            counts["finished"] += 1
        except KeyboardInterrupt:
            counts["interrupted"] += 1
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            pass
        counts["descriptor lost"] += descriptors() > before
        counts["entry left"] += len(lock._held)
        counts["guard left"] += lock._guard.locked()
        counts["temporary left"] += folder.exists() and any(".tmp" in path.name for path in folder.rglob(".*"))
        try:
            work(folder)
        except BaseException as error:
            counts[f"lock lost: {error!r}"] += 1
        shutil.rmtree(folder)
print({name: count for name, count in counts.items() if count})
"""


@pytest.mark.skipif(os.name == "nt", reason="timers are of POSIX")
def test_interrupts_at_any_instant_lose_nothing(tmp_path, fuzz) -> None:
    """Ctrl-C between two instructions of the lock or a commit. DIFFMPM_FUZZ=10 tries thousands."""
    command = [sys.executable, "-c", INTERRUPTS, str(tmp_path), str(250 * fuzz)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    counts = eval(done.stdout)
    assert counts.pop("interrupted") > 100
    counts.pop("finished", 0)
    assert counts == {}, done.stderr
