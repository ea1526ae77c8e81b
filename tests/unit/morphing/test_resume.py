# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import errno
import os
import threading

import diffmpm as dm
import pytest
from diffmpm.errors import CheckpointError, OutputError
from diffmpm.export import atomic
from diffmpm.morphing import run_morph
from numpy.testing import assert_array_equal


def interrupt_after(window):
    def callback(progress):
        if progress.window == window:
            raise KeyboardInterrupt

    return callback


def without_seconds(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


def assert_same(resumed, whole):
    for name in ("x", "F", "G", "source_x", "target_x"):
        assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert without_seconds(resumed) == without_seconds(whole)
    assert len(resumed.frames) == len(whole.frames)
    for ours, theirs in zip(resumed.frames, whole.frames, strict=True):
        assert_array_equal(ours.x, theirs.x)
        assert_array_equal(ours.G, theirs.G)
        assert (ours.window, ours.step, ours.time) == (theirs.window, theirs.step, theirs.time)


@pytest.mark.parametrize("options", [{}, {"assimilation": 1.0, "velocity_kept": 0.5, "dtype": "float64"}])
def test_resumed_morph_equals_uninterrupted_morph(tiny, tmp_path, options):
    whole = dm.morph("sphere", "box", **tiny, **options)
    with pytest.raises(KeyboardInterrupt):
        dm.morph("sphere", "box", **tiny, **options, out=tmp_path, callback=interrupt_after(1))
    assert (tmp_path / "result.npz").exists()
    with pytest.raises(KeyboardInterrupt):
        dm.morph("sphere", "box", **tiny, **options, out=tmp_path, callback=interrupt_after(3), resume=True)
    resumed = dm.morph("sphere", "box", **tiny, **options, out=tmp_path, resume=True)
    assert_same(resumed, whole)
    assert resumed.stopped == whole.stopped == "windows"


def test_interruption_discards_the_unfinished_window(tiny, tmp_path, monkeypatch):
    from diffmpm.morphing import api

    calls, advance = [], api.advance

    def advance_twice(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advance(*args)

    monkeypatch.setattr(api, "advance", advance_twice)
    result = run_morph("sphere", "box", **tiny, out=tmp_path)
    assert result.stopped == "interrupted"
    assert len(result.history) == 2


def test_finished_run_can_be_continued_with_more_windows(tiny, tmp_path):
    whole = dm.morph("sphere", "box", **tiny)
    dm.morph("sphere", "box", **{**tiny, "windows": 2}, out=tmp_path)
    longer = dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True)
    assert_array_equal(longer.x, whole.x)


def test_new_run_replaces_the_checkpoint(tiny, tmp_path):
    dm.morph("sphere", "box", **tiny, out=tmp_path)
    dm.morph("sphere", "box", **{**tiny, "windows": 1}, out=tmp_path, resume=False)
    resumed = dm.morph("sphere", "box", **{**tiny, "windows": 2}, out=tmp_path, resume=True)
    assert len(resumed.history) == 2


def test_interrupted_run_is_discarded_only_on_request(tiny, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        dm.morph("sphere", "box", **tiny, out=tmp_path, callback=interrupt_after(2))
    state = tmp_path / "checkpoint" / "state.bin"
    before = state.read_bytes()
    with pytest.raises(CheckpointError, match=r"holds an interrupted morph \(2 of \d+ windows\).*resume=True"):
        dm.morph("sphere", "torus", **tiny, out=tmp_path)
    assert state.read_bytes() == before
    dm.morph("sphere", "torus", **tiny, out=tmp_path, resume=False)
    before = (tmp_path / "result.npz").read_bytes()
    with pytest.raises(OutputError, match=r"expected a folder without a result, found that of a finished morph in"):
        dm.morph("sphere", "box", **tiny, out=tmp_path)  # the last run has finished
    assert (tmp_path / "result.npz").read_bytes() == before


def test_damaged_checkpoint_of_an_interrupted_run_is_replaced_on_request(tiny, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        dm.morph("sphere", "box", **tiny, out=tmp_path, callback=interrupt_after(1))
    (tmp_path / "checkpoint" / "state.bin").write_bytes(b"nothing")
    with pytest.raises(OutputError, match=r"expected to replace only unchanged files .*got 'checkpoint/state.bin'"):
        dm.morph("sphere", "box", **tiny, out=tmp_path, resume=False)
    assert dm.morph("sphere", "box", **tiny, out=tmp_path, resume=False, force=True).stopped == "windows"


def test_resume_refuses_another_run(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"resume: expected a checkpoint at .*state.bin.*found none"):
        dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True)
    dm.morph("sphere", "box", **{**tiny, "windows": 1}, out=tmp_path)
    with pytest.raises(CheckpointError, match="got seed = 3 instead of 0"):
        dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True, seed=3)
    with pytest.raises(CheckpointError, match="resume: expected the source and target of the interrupted run"):
        dm.morph("sphere", "torus", **tiny, out=tmp_path, resume=True)


@pytest.mark.parametrize("name", ["state.bin", "frame_0000.npz"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_checkpoint_is_named(tiny, tmp_path, name, damage):
    dm.morph("sphere", "box", **{**tiny, "windows": 1}, out=tmp_path)
    path = tmp_path / "checkpoint" / name
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=f"{name}.* is damaged"):
        dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True)


def test_full_disk_preserves_the_last_checkpoint(tiny, tmp_path, monkeypatch):
    whole = dm.morph("sphere", "box", **tiny)
    dm.morph("sphere", "box", **{**tiny, "windows": 1}, out=tmp_path)

    def write(path, content):
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write", write)
        with pytest.raises(OutputError, match="No space left on device"):
            dm.morph("sphere", "box", **{**tiny, "windows": 2}, out=tmp_path, resume=True)
    resumed = dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True)
    assert_array_equal(resumed.x, whole.x)
    assert not list(tmp_path.rglob("*.tmp"))


def test_reported_windows_are_on_disk(tiny, tmp_path):
    """Checkpoints are written while the next windows run; a window is reported once it, or a later one, is written."""
    reported = []

    def check(progress):
        content = (tmp_path / "checkpoint" / "state.bin").read_bytes()
        written = max(n for n in range(1, 1 + tiny["windows"]) if f'"window": {n},'.encode() in plain(content))
        assert written >= progress.window
        assert len(list((tmp_path / "checkpoint").glob("frame_*.npz"))) >= len(progress.frames)
        reported.append(progress.window)

    dm.morph("sphere", "box", **tiny, out=tmp_path, callback=check)
    assert reported == [1, 2, 3, 4]


def plain(content):
    """Return the text of a checkpoint, which NumPy stores with four bytes per character."""
    return content.replace(b"\0", b"")


@pytest.mark.parametrize("window", [1, 3, 4])
def test_stopping_at_a_window_discards_later_ones(tiny, tmp_path, window):
    whole = dm.morph("sphere", "box", **tiny)
    calls = []

    def stop(progress):
        calls.append(progress.window)
        return progress.window < window

    result = dm.morph("sphere", "box", **tiny, out=tmp_path, callback=stop)
    assert calls == list(range(1, window + 1))
    assert (len(result.history), result.stopped) == (window, "windows" if window == 4 else "callback")
    assert_array_equal(result.x, dm.morph("sphere", "box", **{**tiny, "windows": window}).x)
    assert_same(dm.morph("sphere", "box", **tiny, out=tmp_path, resume=True), whole)


@pytest.mark.parametrize("number", [1, 3])
def test_failure_to_write_a_checkpoint_ends_the_morph(tiny, tmp_path, monkeypatch, number):
    from diffmpm.morphing.checkpoint import Checkpoint

    calls, save = [], Checkpoint.save

    def failing(self, state):
        calls.append(state.window)
        if len(calls) == number:
            raise OutputError("out: no room")
        save(self, state)

    monkeypatch.setattr(Checkpoint, "save", failing)
    with pytest.raises(OutputError, match="out: no room"):
        dm.morph("sphere", "box", **{**tiny, "windows": 30, "tolerance": 0.0}, out=tmp_path)
    assert len(calls) == number
    assert not [thread for thread in threading.enumerate() if "diffmpm" in thread.name]
