# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Picture of a running morph."""

import threading
import time

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import view
from diffmpm.export import own_manifest
from diffmpm.morphing import Frame, Progress
from diffmpm.view import preview, surface_worker
from diffmpm.view.preview import Preview

pytest.importorskip("PIL", reason="pillow is not installed")

CONFIG = view.RenderConfig(size=48, samples=2000)


def progress(window=0):
    x = dm.sample("sphere", particles=300, dtype=np.float32).x
    frames = [
        Frame(x * np.float32(1 + 0.2 * k), None, None, window=k, step=0, time=float(k)) for k in range(window + 1)
    ]
    target = dm.sample("box", particles=300, dtype=np.float32).x
    return Progress(window, 9, 1.0, {}, 1.0, 1.0, tuple(frames), target_x=target)


def image(folder):
    from PIL import Image

    with Image.open(folder / "preview.png") as page:
        return np.asarray(page).astype(int)


def test_the_first_picture_precedes_the_first_window_and_follows_the_body(tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "FRACTION", 1e9)
    written, paths = threading.Event(), []
    with Preview(tmp_path, CONFIG, lambda path: (paths.append(path), written.set())) as picture:
        picture(progress())
        assert written.wait(60) and paths == [tmp_path / "preview.png"]
        first = image(tmp_path)
        assert own_manifest(tmp_path).names("preview") == ["preview.png"]
        picture(progress(2))
        end = time.monotonic() + 60
        while np.array_equal(now := image(tmp_path), first):
            assert time.monotonic() < end
            time.sleep(0.05)
    size = CONFIG.size
    changed = [np.abs(now - first)[-size:, k * size : (k + 1) * size].max() for k in range(3)]
    assert changed[1] > 50 and changed[0] == changed[2] == 0  # source and target stay
    assert len(paths) == 1


def test_pictures_take_a_small_fraction_of_the_time(tmp_path, monkeypatch):
    """After a picture that took a second, the next one waits for 50 seconds of processor time per thread."""
    monkeypatch.setattr(surface_worker, "get_num_threads", lambda: 2)
    now = time.process_time()
    assert surface_worker.paid_after(1.0, preview.FRACTION) - now == pytest.approx(100.0, abs=1.0)


def test_a_body_without_surface_does_not_stop_the_morph(tmp_path):
    bad = progress()
    frame = Frame(np.full((300, 3), np.nan, np.float32), None, None, window=0, step=0, time=0.0)
    with Preview(tmp_path, CONFIG) as picture:
        assert picture(Progress(0, 9, 1.0, {}, 1.0, 1.0, (frame,), target_x=bad.target_x))
    assert not (tmp_path / "preview.png").exists()


def test_the_final_pictures_replace_it(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = dm.morph("sphere", "box", particles=200, windows=1, steps=4, iterations=1, progress=False)
    written = threading.Event()
    with Preview(tmp_path, CONFIG, lambda path: written.set()) as picture:
        picture(progress())
        assert written.wait(60)
    view.save_pictures(result, tmp_path, size=16, gif_frames=2)
    assert (tmp_path / "comparison.png").exists() and not (tmp_path / "preview.png").exists()
    assert own_manifest(tmp_path).names("preview") == []
