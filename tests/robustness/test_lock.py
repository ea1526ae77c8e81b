# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One writer per folder; readers never block it and never see an incomplete result."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import export
from diffmpm.cli import main
from diffmpm.errors import CheckpointError, ConfigError, OutputError
from diffmpm.export import is_locked, lock, lock_folder
from diffmpm.morphing import MorphResult

OPTIONS = {"particles": 64, "cell_particles": 3.0, "steps": 3, "windows": 2, "frame_motion": 0.3}
HOLD = """
import sys
from diffmpm.export import lock_folder

with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the lock of a folder until its input ends."""
    folder = tmp_path / "taken"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process, folder
        if process.poll() is None:
            process.communicate(timeout=30)


def test_a_second_process_is_refused_with_a_reason(holder, tmp_path, capsys) -> None:
    process, folder = holder
    expected = (
        f"but process {process.pid} is writing into {str(folder)!r}; wait until it ends, or choose another folder"
    )
    with pytest.raises(OutputError) as caught:
        dm.morph("sphere", "box", **OPTIONS, out=folder)
    assert expected in str(caught.value)
    assert main(["morph", "sphere", "box", "--out", str(folder), "--quiet", "--resume"]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == [lock.LOCK]  # untouched
    result = dm.morph("sphere", "box", **OPTIONS, out=tmp_path / "free")
    with pytest.raises(OutputError, match=f"process {process.pid} is writing"):
        result.save(folder)
    process.communicate(timeout=30)
    result.save(folder)  # the lock is gone with its holder
    assert not (folder / lock.LOCK).exists()


@pytest.mark.parametrize("command", [["render", "--format", "png", "--size", "16"], ["export", "--format", "splat"]])
def test_render_and_export_are_refused_too(holder, tmp_path, capsys, command) -> None:
    _, folder = holder
    dm.morph("sphere", "box", **OPTIONS, out=tmp_path / "result")
    options = ["--samples", "200", "--quiet", "--out", str(folder)]
    assert main([command[0], str(tmp_path / "result"), *command[1:], *options]) == 2
    assert "expected a folder that is not in use" in capsys.readouterr().err


def test_a_killed_process_leaves_no_lock(holder) -> None:
    process, folder = holder
    (folder / ".diffmpm.0123abcd.tmp" / "frames").mkdir(parents=True)  # uncommitted files
    (folder / ".diffmpm.0123abcd.tmp" / "frames" / "a.npz").write_text("half")
    (folder / ".0123abcd.tmp").write_text("a foreign file")
    assert is_locked(folder)
    process.kill()
    process.wait()
    assert (folder / lock.LOCK).exists()
    assert not is_locked(folder)
    with lock_folder(folder):
        assert {path.name for path in folder.iterdir()} == {lock.LOCK, ".0123abcd.tmp"}
    assert [path.name for path in folder.iterdir()] == [".0123abcd.tmp"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    script = """
import os, sys, time
from diffmpm.export import lock_folder
with lock_folder(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        os.close(1), os.close(2)
        time.sleep(60)
        os._exit(0)
with lock_folder(sys.argv[1]):
    print(pid)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    os.kill(int(done.stdout), signal.SIGKILL)


def test_the_same_thread_may_lock_again_and_another_may_not(tmp_path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        with pytest.raises(OutputError) as caught, lock_folder(tmp_path):
            pass
        refused.append(str(caught.value))

    with lock_folder(tmp_path):
        with lock_folder(tmp_path / "."):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert is_locked(tmp_path)
    assert "another thread of this process is writing into" in refused[0]
    assert not is_locked(tmp_path)


def test_disks_without_locks_are_written_to(tmp_path, monkeypatch) -> None:
    def no_locks(handle: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_acquire", no_locks)
    with lock_folder(tmp_path):
        assert not is_locked(tmp_path)


def test_lock_that_cannot_be_written_is_named(tmp_path, monkeypatch) -> None:
    def full(handle: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match=r"out: could not lock .* \(No space left on device\); free some space"):
        with lock_folder(tmp_path):
            pass


def test_reading_while_it_is_written(tmp_path: Path) -> None:
    """Results replace each other in a folder; every reader gets a complete one."""
    results = [dm.morph("sphere", "box", **{**OPTIONS, "seed": seed, "windows": seed}) for seed in (1, 2, 3)]
    results[0].save(tmp_path)
    ended = threading.Event()

    def write() -> None:
        for n in range(30):
            results[n % 3].save(tmp_path)
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    seeds = set()
    try:
        while not ended.is_set():
            loaded = MorphResult.load(tmp_path)
            seed = loaded.config.seed
            seeds.add(seed)
            expected = results[seed - 1]
            np.testing.assert_array_equal(loaded.x, expected.x)
            assert loaded.metrics["chamfer"] == expected.metrics["chamfer"]
            assert loaded.history == expected.history
            assert len(loaded.frames) == len(expected.frames)
            np.testing.assert_array_equal(loaded.frames[-1].x, expected.frames[-1].x)
    finally:
        thread.join()
    assert len(seeds) > 1


def test_a_result_that_keeps_changing_is_named(tmp_path, monkeypatch) -> None:
    from diffmpm.morphing import result_files

    dm.morph("sphere", "box", **OPTIONS, out=tmp_path)
    manifest = export.read_manifest(tmp_path)
    assert manifest is not None
    stale = dataclasses.replace(manifest.files["metrics.json"], sha256="")
    manifests = (export.Manifest(tmp_path, {**manifest.files, "metrics.json": stale, str(n): stale}) for n in range(99))
    monkeypatch.setattr(result_files, "_PAUSE", 0.0)
    monkeypatch.setattr(result_files, "read_manifest", lambda place: next(manifests))
    with pytest.raises(CheckpointError, match=r"those in .* are replaced while they are read"):
        MorphResult.load(tmp_path)
    assert len(list(manifests)) < 99 - 2 * 10  # retried


def test_a_result_that_does_not_exist_yet_is_named(holder) -> None:
    with pytest.raises(ConfigError, match=r"without result.npz; name the output folder of a morph that has ended"):
        MorphResult.load(holder[1])
