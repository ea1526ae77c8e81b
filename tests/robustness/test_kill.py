# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A morph that is killed or interrupted at any moment loses at most the current window."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.export import atomic
from diffmpm.morphing import MorphResult, run_morph

posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork are of POSIX")
OPTIONS = {"particles": 64, "cell_particles": 3.0, "steps": 3, "frame_motion": 0.3}
OPTIONS |= {"tolerance": 0.0, "arrival": 0.0}

MORPH = """
import json, sys
import diffmpm as dm

folder, resume, options = sys.argv[1], sys.argv[2] == "resume", json.loads(sys.argv[3])
dm.morph("sphere", "box", **options, out=folder, resume=resume, callback=lambda p: print(p.window, flush=True))
"""

SWEEP = """
import json, os, shutil, signal, sys
from pathlib import Path
import diffmpm as dm
from diffmpm.export import atomic, decode_npz
from diffmpm.morphing import MorphResult

base, options = Path(sys.argv[1]), json.loads(sys.argv[2])
os.fsync = lambda handle: None  # written data survives the process without it
write, move = atomic._write, atomic._move

def child(work):
    # A fork has everything loaded and a single thread.
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def die_at(number):
    left = [number]

    def count():
        left[0] -= 1
        return left[0] == 0

    def dying_write(path, content):
        if count():
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    def dying_move(source, target):
        if count():
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)

    atomic._write, atomic._move = dying_write, dying_move

def run(folder, resume, number=0, **changes):
    def work():
        if number:
            die_at(number)
        dm.morph("sphere", "box", **{**options, **changes}, out=folder, resume=resume)
    return child(work)

def resumable(folder):
    path = folder / "checkpoint" / "state.bin"
    return path.exists() and json.loads(str(decode_npz(path.read_bytes())["meta"]))["config"]["seed"] == 0

assert run(base / "whole", False) == 0
assert run(base / "earlier", False, seed=9, windows=1) == 0
whole, earlier = (MorphResult.load(base / name).x for name in ("whole", "earlier"))
count = 0
while True:
    count += 1
    folder = base / f"cut-{count}"
    shutil.copytree(base / "earlier", folder)
    status = run(folder, False, count)
    if status == 0:
        break  # there are fewer operations
    assert status == -signal.SIGKILL, status
    loaded = MorphResult.load(folder)  # the old or the new one at every moment
    assert (loaded.x == earlier).all() or (loaded.x == whole).all(), count
    assert run(folder, resumable(folder)) == 0, count
    assert (MorphResult.load(folder).x == whole).all(), count
    left = [str(path) for path in folder.rglob(".*")]
    assert not left, left
print(count)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def assert_same(ours: MorphResult, theirs: MorphResult) -> None:
    for name in ("x", "F", "G", "source_x", "target_x"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert len(ours.frames) == len(theirs.frames)
    for a, b in zip(ours.frames, theirs.frames, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        assert (a.window, a.step, a.time) == (b.window, b.step, b.time)
    for a, b in zip(ours.history, theirs.history, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


@posix
def test_killed_at_several_moments_and_resumed(tmp_path: Path) -> None:
    """Reported windows are on the disk: the next run starts after them, and its result is bit-identical."""

    options = {**OPTIONS, "windows": 40}
    whole = MorphResult.load(_morph(tmp_path / "whole", **options))
    folder, reported = tmp_path / "cut", 0
    for stop, delay in ((1, 0.0), (4, 0.004), (9, 0.011)):
        command = [sys.executable, "-c", MORPH, str(folder), "resume" if reported else "new", json.dumps(options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
            assert process.stdout is not None
            first = last = 0
            for line in process.stdout:
                last = int(line)
                first = first or last
                if last >= stop:
                    break
            time.sleep(delay)
            process.kill()
            last = max([last, *map(int, process.stdout.read().split())])
        assert process.returncode == -signal.SIGKILL
        assert first == 1 if not reported else first > reported
        reported = last
    assert not (folder / "metrics.json").exists()
    dm.morph("sphere", "box", **options, out=folder, resume=True)
    assert_same(MorphResult.load(folder), whole)


def _morph(folder: Path, **options: object) -> Path:
    dm.morph("sphere", "box", **options, out=folder)  # type: ignore[arg-type]
    return folder


@posix
def test_killed_in_every_file_operation(tmp_path: Path) -> None:
    """Each write is truncated once and each rename prevented once; a complete result exists at every moment."""

    command = [sys.executable, "-c", SWEEP, str(tmp_path), json.dumps({**OPTIONS, "windows": 2, "arrival": 0.95})]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize("name", ["_write", "_move"])
def test_interrupted_in_every_file_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    options = {**OPTIONS, "windows": 2, "arrival": 0.95}
    whole = dm.morph("sphere", "box", **options)
    operation = getattr(atomic, name)
    number = 0
    interrupted = True
    while interrupted:
        number += 1
        left, interrupted = [number], False

        def work(*arguments: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            operation(*arguments)

        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(atomic, name, work)
            try:
                interrupted = run_morph("sphere", "box", **options, out=folder).stopped == "interrupted"
            except KeyboardInterrupt:
                interrupted = True
        assert not [path for path in folder.rglob(".*")]
        resume = (folder / "checkpoint" / "state.bin").exists()
        assert_same(dm.morph("sphere", "box", **options, out=folder, resume=resume), whole)
    assert number > 5
