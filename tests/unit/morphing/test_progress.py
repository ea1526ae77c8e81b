# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import hashlib
import io
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.morphing import run_morph
from diffmpm.morphing.progress import ProgressBar

TINY = {"particles": 200, "windows": 2, "steps": 4, "released_steps": 0, "iterations": 1, "tolerance": 0}
TETRA = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def result():
    return dm.morph("sphere", "box", **TINY)


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_bar_only_in_terminals(monkeypatch, stream, progress):
    monkeypatch.setattr(sys, "stderr", stream())
    dm.morph("sphere", "box", **TINY, progress=progress)
    assert bool(re.search(r"2/2 .*loss", sys.stderr.getvalue())) == (progress and stream is Terminal)


def test_log_has_one_record_per_ten_percent(caplog):
    caplog.set_level(logging.DEBUG, "diffmpm")
    with ProgressBar(visible=False) as bar:
        for window in range(1, 41):
            bar.update(SimpleNamespace(window=window, windows=40, loss=2.0, record={}, seconds=1.0, seconds_left=3.0))
    assert len(caplog.records) == 40
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert [line.split(",")[0] for line in lines] == [f"window {n}/40" for n in range(4, 41, 4)]


def test_the_begin_precedes_the_first_window():
    calls = []
    result = run_morph("sphere", "box", **TINY, progress=False, begin=calls.append, callback=calls.append)
    assert [call.window for call in calls] == [0, 1, 2]
    assert len(calls[0].frames) == 1 and calls[0].record == {}
    assert (calls[0].source_name, calls[0].target_name) == ("sphere", "box")
    np.testing.assert_array_equal(calls[0].target_x, result.target_x)


def test_result_draws_exports_and_describes_itself(result, tmp_path):
    image = result.image(size=48)
    assert image.shape == (48, 48, 3) and image.dtype == np.uint8
    written = result.render(tmp_path / "film", formats=["gif"], size=48)
    assert all(path.exists() for path in written)
    assert any(result.export(tmp_path / "files", "obj").iterdir())
    text = result._repr_html_()
    assert "sphere to box" in text and "silhouette_iou" in text and "data:image/png;base64," in text
    assert repr(result).startswith("MorphResult(source_name='sphere', target_name='box'")
    assert len(repr(result)) < 300


def test_films_and_exports_without_a_folder_are_named_after_the_shapes(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert result.render(formats=["gif"], size=48) == [Path("sphere-to-box/render/morph.gif")]
    assert result.export(format="particles") == Path("sphere-to-box/export/particles")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sphere-to-box"]


def test_show_opens_the_page(result, monkeypatch):
    pytest.importorskip("viser", reason="viser is not installed")
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with result.show() as viewer:
        assert opened == [viewer.url]


def test_provenance_is_stored(tmp_path):
    (tmp_path / "tetra.obj").write_text(TETRA)
    result = dm.morph("sphere", tmp_path / "tetra.obj", **TINY, out=tmp_path / "out")
    origin = result.provenance
    digest = hashlib.sha256((tmp_path / "tetra.obj").read_bytes()).hexdigest()
    assert origin["sha256"] == {"source": None, "target": digest}
    assert origin["version"] == dm.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", origin["date"])
    assert origin["platform"] and origin["python"] and origin["command"]
    loaded = dm.MorphResult.load(tmp_path / "out")
    assert loaded.provenance == origin and "provenance" not in loaded.metrics


def test_failed_morph_leaves_no_folder(tmp_path):
    with pytest.raises(dm.MeshError, match="did you mean torus"):
        dm.morph("sphere", "toruss", out=tmp_path / "a" / "b")
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.warns(dm.MeshWarning), pytest.raises(dm.MeshError):
        dm.morph("sphere", tmp_path / "flat.obj", out=tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
