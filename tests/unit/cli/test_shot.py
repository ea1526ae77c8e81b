# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Shot files, chains on the command line, and the timeline of `render` and `export`."""

from __future__ import annotations

import re

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.morphing import MorphRun, read_run
from numpy.testing import assert_array_equal

SHOT = """
source = "sphere"
target = "box"
loop = true
preset = "fast"
outputs = ["webp", "npz"]

[morph]
particles = 200
windows = 2
cell_particles = 3.0
steps = 4

[timeline]
duration = 2
fps = 6.0
hold = 0.25
ease = 1.0
start_sweep = "-z"

[image]
size = 24
samples = 300
supersample = 1

[[image.camera]]
time = 0

[[image.camera]]
time = 1.5
azimuth = 60
"""


def run(*arguments):
    return main([*map(str, arguments), "--quiet"])


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """Return the folder of a shot."""
    folder = tmp_path_factory.mktemp("shot")
    (folder / "shot.toml").write_text(SHOT)
    assert run("morph", "--config", folder / "shot.toml", "--out", folder / "out", "--no-pictures") == 0
    return folder / "out"


def frames_in(path):
    from PIL import Image

    with Image.open(path) as film:
        total = 0
        for k in range(film.n_frames):
            film.seek(k)
            film.load()
            total += film.info["duration"]
        return total


def test_a_shot_writes_its_films_and_exports(shot):
    result = dm.MorphResult.load(shot)
    assert (
        result.loop and result.title == "sphere to box to sphere" and result.run.shapes == ("sphere", "box", "sphere")
    )
    assert result.run.timeline == dm.Timeline(duration=2, fps=6, hold=0.25, ease=1, start_sweep="-z")
    assert frames_in(shot / "render" / "morph.webp") == pytest.approx(2000, abs=20)
    assert len(list((shot / "export" / "npz").iterdir())) == 12


def test_the_stored_configuration_repeats_a_shot(shot, tmp_path):
    assert run("morph", "--config", shot / "config.json", "--out", tmp_path, "--no-pictures") == 0
    one, other = (dm.MorphResult.load(folder) for folder in (shot, tmp_path))
    for a, b in zip(one.frames, other.frames, strict=True):
        assert_array_equal(a.x, b.x)
        assert_array_equal(a.F, b.F)
    names = ["render/morph.webp", *(f"export/npz/morph_{k:04d}.npz" for k in range(12))]
    for name in names:
        assert (shot / name).read_bytes() == (tmp_path / name).read_bytes()


def test_options_override_the_timeline_of_the_shot(shot, tmp_path):
    options = ["--duration", "1", "--fps", "9", "--start-sweep", "-x", "--out", tmp_path]
    assert run("render", shot, "--format", "png", "--view", "0,0", *options) == 0
    assert len(list((tmp_path / "png").iterdir())) == 9
    assert run("export", shot, "--format", "npz", *options) == 0
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 9
    first = [np.load(path)["x"] for path in files[:3]]
    assert_array_equal(first[0], first[2])  # held for 2 images of 1/9 s


def test_messages_about_timelines(shot, tmp_path, capsys):
    for options, message in (
        (["--duration", "0.2"], "duration: expected at least"),
        (["--duration", "1"], "camera: expected times up to 1 s, the length of the film, got 1.5 s"),
        (["--ease", "2"], "ease: expected a finite number from 0 to 1, got 2"),
        (["--start-sweep", "up"], "start_sweep: expected one of x, -x"),
        (["--start-sweep", "none.ply"], "mesh: expected an existing file"),
    ):
        assert run("render", shot, "--format", "png", *options, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("png*"))


@pytest.mark.parametrize(
    ("line", "replaced", "message"),
    [
        (
            'source = "sphere"',
            "sauce = 1",
            r"line 2: sauce: expected a key of a configuration file; did you mean source",
        ),
        ("loop = true", 'loop = "yes"', "line 4: loop: expected True or False, got 'yes'"),
        ('"fast"', '"slow"', "line 5: preset: expected one of default, fast, quality, xu, got 'slow'"),
        ('"webp"', '"avi"', "line 6: outputs: expected one of png, gif, webp, mp4, ply, .*, got 'avi'"),
        ("steps = 4", "stepz = 4", "line 12: morph.stepz: expected a field of MorphConfig; did you mean step"),
        ("hold = 0.25", "hold = -1", "line 17: timeline.hold: expected a finite number from 0 to 3600, got -1"),
        ("size = 24", "size = 1", "line 22: image.size: expected an integer from 8 to 8192"),
        ("azimuth = 60", "azimut = 60", "line 26: image.camera: key 2: azimut: expected a field of CameraKey"),
        ("[timeline]", "[timelines]", "line 14: timelines: expected a key of a configuration file"),
        ("hold = 0.25", "hold = 3", "duration: expected at least 6.33 s for 2 holds of 3 s"),
        ("time = 1.5", "time = 9", "camera: expected times up to 2 s"),
    ],
)
def test_messages_have_line_and_key(tmp_path, capsys, line, replaced, message):
    assert line in SHOT
    (tmp_path / "bad.toml").write_text(SHOT.replace(line, replaced))
    assert run("morph", "--config", tmp_path / "bad.toml", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "a.toml").write_text(
        'source = "a.obj"\nvia = ["b.obj"]\ntarget = "box"\ntimeline.start_sweep = "c.ply"\n'
    )
    read = read_run(tmp_path / "a.toml")
    assert read.shapes == (str(tmp_path / "a.obj"), str(tmp_path / "b.obj"), "box")
    assert read.timeline.start_sweep == str(tmp_path / "c.ply")
    assert MorphRun.from_dict(read.to_dict()) == read


def test_a_chain_on_the_command_line(tmp_path, capsys):
    options = ["--particles", "200", "--windows", "1", "--set", "steps=4", "--hold", "0.5", "--no-pictures"]
    assert main(["morph", "sphere", "box", "sphere", *options, "--out", str(tmp_path)]) == 0
    assert "sphere to box to sphere: 200 particles, 2 windows" in capsys.readouterr().out
    result = dm.MorphResult.load(tmp_path)
    assert len(result.legs) == 2 and not result.loop and result.run.timeline.hold == 0.5
    assert main(["info", str(tmp_path)]) == 0
    assert re.match(r"sphere to box: silhouette IoU 0\.\d+, .*\nbox to sphere: ", capsys.readouterr().out)
    assert run("morph", "sphere", "box", "sphere", "--resume", "--out", tmp_path / "none") == 2
    assert "resume: expected checkpoints in" in capsys.readouterr().err
