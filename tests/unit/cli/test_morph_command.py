# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.export import read_npz
from numpy.testing import assert_array_equal

TINY = ["--particles", "300", "--windows", "3", "--set", "cell_particles=3", "--set", "steps=5"]
TINY += ["--set", "arrival=0"]
FILES = {
    "result.npz",
    "result.ply",
    "metrics.json",
    "config.json",
    "history.json",
    "diffmpm.json",
    "loss.png",
    "source.png",
    "target.png",
    "result.png",
    "comparison.png",
    "contact_sheet.png",
    "morph.gif",
    "morph.webp",
}
FOLDERS = {"frames", "ply", "checkpoint"}


def run(*arguments):
    return main(["morph", *map(str, arguments)])


def test_writes_every_output(tmp_path, capsys):
    assert run("sphere", "box", "--out", tmp_path, "--size", 48, *TINY) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | FOLDERS
    printed = capsys.readouterr()
    assert "silhouette IoU" in printed.out
    assert re.match(r"window 1/3, loss \S+, \d+ s, at most \d+ s left\nwindow 2/3", printed.err)
    assert re.search(r"drawing image \d+/\d+\n", printed.err) and "\r" not in printed.err
    assert printed.out.startswith(f"first picture: {tmp_path / 'preview.png'} (updated while the morph runs)\n")
    *_, folder, words, picture, following = printed.out.splitlines()
    assert folder == f"written to {tmp_path}"
    assert re.match("good|fair|look again: ", words)
    assert picture == f"open: {tmp_path / 'comparison.png'}" and (tmp_path / "comparison.png").exists()
    again = rf"morph --config {tmp_path}/config\.json .+ -o {tmp_path}-2|render {tmp_path} --size 48 --turntable"
    assert re.fullmatch(f"next: diffmpm ({again})", following.replace("\\", "/")), following
    assert json.loads((tmp_path / "metrics.json").read_text())["windows"] == 3


def test_pictures_have_the_size_view_and_colour(tmp_path):
    from PIL import Image

    look = ["--size", "64x40", "--view", "-90,0", "--color", "#ff0000"]
    assert run("sphere", "box", "--out", tmp_path, *look, *TINY, "--quiet") == 0
    with Image.open(tmp_path / "source.png") as page:
        assert page.size == (3 * 64, 40)
        red, green, _ = np.asarray(page.convert("RGB")).astype(int)[20, 32]
        assert red > green + 50
    with Image.open(tmp_path / "morph.gif") as page:
        assert page.size == (64, 40)


def test_the_next_command_names_each_option_once():
    from diffmpm.cli.morph import _next_command
    from diffmpm.morphing.verdict import verdict

    measures = {"silhouette_iou": 0.9, "ceiling": {"silhouette_iou": 0.95}, "stray": 0.0, "det_F_min": 0.8}
    outcome = verdict({**measures, "stopped": "windows", "windows": 30, "particles": 100})
    assert _next_command(outcome, Path("a"), []).split(" ", 4)[4] == "--set tolerance=0.02 --windows 80 -o a-2"


def test_the_next_command_keeps_the_look(tmp_path, capsys):
    look = ["--size", "64x40", "--view=-90,0", "--color", "#ff0000"]
    assert run("sphere", "box", "--out", tmp_path, *look, *TINY, "--no-pictures") == 0
    following = capsys.readouterr().out.splitlines()[-1]
    assert "--color '#ff0000' --size 64x40 --view -90,0" in following


def test_transparent_pictures_and_a_turntable(tmp_path):
    from PIL import Image

    look = ["--size", "32", "--background", "transparent", "--color", "clay", "--turntable", "0.5"]
    assert run("sphere", "box", "--out", tmp_path, *look, *TINY, "--quiet") == 0
    for name in ("source.png", "comparison.png", "contact_sheet.png", "morph.webp"):
        with Image.open(tmp_path / name) as page:
            assert page.convert("RGBA").getpixel((0, 0))[3] == 0, name
    with Image.open(tmp_path / "morph.webp") as page:
        assert page.n_frames > 1


def test_positions_alone_take_less_space(tmp_path):
    folders = {keep: tmp_path / keep for keep in ("all", "positions")}
    for keep, folder in folders.items():
        options = ["--set", "frame_motion=0.02", "--no-pictures", "--quiet"]
        assert run("sphere", "box", "--out", folder, "--keep", keep, *TINY, *options) == 0
    sizes = [sum(path.stat().st_size for path in (folder / "frames").iterdir()) for folder in folders.values()]
    assert sizes[1] < sizes[0] / 4
    whole, small = (dm.MorphResult.load(folder) for folder in folders.values())
    assert len(small.frames) == len(whole.frames) > 2
    for name in ("x", "F", "G"):
        assert_array_equal(getattr(small, name), getattr(whole, name))
    for ours, theirs in zip(small.frames, whole.frames, strict=True):
        assert_array_equal(ours.x, theirs.x)
        assert ours.F is None and ours.G is None and theirs.G is not None
    for name in ("npz", "vtp", "ply"):
        small.export(tmp_path / "files", name, samples=500)
    assert "F" not in read_npz(next((tmp_path / "files" / "npz").glob("*.npz")))
    options += ["--windows", "4", "--resume"]
    assert run("sphere", "box", "--out", folders["positions"], "--keep", "positions", *TINY, *options) == 0


def test_old_pictures_do_not_stay_beside_a_new_result(tmp_path):
    assert run("sphere", "box", "--out", tmp_path, "--size", 16, *TINY, "--quiet") == 0
    assert run("sphere", "torus", "--out", tmp_path, "--overwrite", "--no-pictures", *TINY, "--quiet") == 0
    assert not {"comparison.png", "morph.gif", "preview.png"} & {path.name for path in tmp_path.iterdir()}


def test_ctrl_c_while_drawing_explains_how_to_resume(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("diffmpm.view.save_pictures", interrupt)
        assert run("sphere", "box", "--out", tmp_path, *TINY, "--quiet") == 130
    error = capsys.readouterr().err
    assert error.startswith(f"diffmpm morph: the result in {tmp_path} is complete; add --resume to draw")
    assert not (tmp_path / "morph.gif").exists()
    assert run("sphere", "box", "--out", tmp_path, "--size", 48, *TINY, "--quiet", "--resume") == 0
    assert (tmp_path / "morph.gif").exists()


@pytest.mark.parametrize(
    ("text", "particles"),
    [("300", 300), ("0.3k", 300), ("0.0003M", 300), ("1K", 1000), ("3e2", None), ("0.3003k", None)],
)
def test_particles_with_a_suffix(tmp_path, capsys, text, particles):
    options = ["-o", tmp_path / "out", "-q", "--no-pictures", "--set", "steps=2", "--windows", "1"]
    if particles is None:
        with pytest.raises(SystemExit):
            run("sphere", "box", "--particles", text, *options)
        error = capsys.readouterr().err
        assert f"--particles: expected an integer such as 20000 or 20k, got '{text}'" in error
        assert error.count("\n") == 1
        return
    assert run("sphere", "box", "-n", text, *options) == 0
    assert run("sphere", "box", "--set", f"particles={text}", "--overwrite", *options) == 0
    assert capsys.readouterr() == ("", "")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["particles"] == particles


def test_verbose_explains_the_measures(tmp_path, capsys):
    assert run("sphere", "box", "-o", tmp_path, "--no-pictures", "-v", *TINY) == 0
    printed = capsys.readouterr().out
    assert re.search(r"surface_gap +\S+ +\S+ +fraction of the target's surface", printed)
    assert "open:" not in printed


def test_a_typo_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("sphere", "toruss") == 2
    assert run("sphere", "toruss", "-o", tmp_path / "a" / "b") == 2
    assert "did you mean torus?" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_shapes_are_listed_and_drawn(tmp_path, capsys, monkeypatch):
    assert main(["shapes"]) == 0
    assert capsys.readouterr().out.split() == list(dm.shapes.names())
    with pytest.raises(SystemExit):
        run("--help")
    assert "double_torus" in capsys.readouterr().out
    monkeypatch.setattr("diffmpm.geometry.shapes.names", lambda: ("box", "ring"))
    assert main(["shapes", "-o", str(tmp_path / "shapes.png")]) == 0
    assert capsys.readouterr().err == "shape 1/2\nshape 2/2\n"
    assert (tmp_path / "shapes.png").stat().st_size > 1000


def test_help_prints_percent_signs_once(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    assert "98 % of" in printed and "%%" not in printed


def test_default_folder_is_named_after_the_shapes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("sphere", "box", "--no-pictures", "--quiet", *TINY) == 0
    assert (tmp_path / "sphere-to-box" / "metrics.json").exists()


def test_presets_and_mesh_files(tmp_path):
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    (tmp_path / "tetra.obj").write_text(corners)
    options = ["--preset", "xu", "--set", "passes=1", *TINY, "--quiet", "--no-pictures"]
    assert run("sphere", tmp_path / "tetra.obj", "--out", tmp_path / "out", *options) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())["morph"]
    assert (config["schedule"], config["passes"]) == ("layered", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.obj", "box"], "none.obj"),
        (["sphere", "box", "--preset", "slow"], "preset: expected one of default, fast, quality, xu, got 'slow'"),
        (["sphere", "box", "--particles", "0"], "particles: expected an integer >= 8, got 0"),
        (["sphere", "box", "--set", "time_step=-1"], "time_step: expected a finite number > 0, got -1"),
        (["sphere", "box", "--set", "steps=x"], "steps: expected an integer >= 1, got 'x'"),
        (["sphere", "box", "--set", "fit=perhaps"], "fit: expected True or False, got 'perhaps'"),
        (["sphere", "box", "--set", "steps"], "--set: expected NAME=VALUE, got 'steps'"),
        (["sphere", "box", "--set", "stepz=3"], "stepz: expected a field of MorphConfig; did you mean step"),
        (["sphere", "box", "--set", "material=jelly"], "material: expected one of .*, got 'jelly'"),
        (
            ["sphere", "box", "--guide-fraction", "0.3"],
            "--guide-fraction: expected --render-guided with it, got it alone",
        ),
        (
            ["sphere", "box", "--render-guided", "--guide-share", "1"],
            r"fraction: expected a finite number >= 0 and < 1, got 1.0",
        ),
        (
            ["sphere", "box", "--size", "1"],
            "size: expected an integer from 8 to 8192, or WIDTHxHEIGHT of such, got '1'",
        ),
        (["sphere", "box", "--view", "north"], "view: expected AZIMUTH,ELEVATION in degrees, got 'north'"),
        (["sphere", "box", "--color", "mauve"], "color: expected #rrggbb or one of auto, material, clay"),
        (["sphere"], "target: expected a mesh file or a built-in shape, got none; name both shapes, as in"),
        (["sphere", "."], r"mesh: expected a built-in shape or a mesh file .*, got the folder '\.'"),
        (["--config", "none.json"], r"config: expected a readable .json file, got 'none.json'"),
        (["--config", "file"], "config: expected a file ending in .json or .toml, got 'file'"),
        (["sphere", "box", "--out", "file"], "out: expected a folder to write into, got 'file'"),
        (["sphere", "box", "--resume"], "resume: expected a checkpoint at .*found none"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_inputs_get_one_sentence_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffmpm morph: ")
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_render_guided_reports_the_share(tmp_path, capsys):
    guide = ["--render-guided", "--guide-views", 2, "--guide-size", 16, "--guide-fraction", 0.25]
    assert run("sphere", "box", "--out", tmp_path, "--no-pictures", *guide, *TINY) == 0
    rows = json.loads((tmp_path / "history.json").read_text())["windows"]
    fractions = [row["guidance"]["fraction"] for row in rows]
    assert fractions[0] == 0.0 < fractions[1] < fractions[2] < 0.25
    assert re.search(r"images \d+ %", capsys.readouterr().err)


def test_distances_of_tiny_meshes_are_not_printed_as_zero(tmp_path, capsys):
    edge = 0.001
    corners = f"v 0 0 0\nv {edge} 0 0\nv 0 {edge} 0\nv 0 0 {edge}\n"
    (tmp_path / "tiny.obj").write_text(f"{corners}f 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    assert run("sphere", tmp_path / "tiny.obj", "--out", tmp_path / "out", *TINY, "--no-pictures") == 0
    before, after = re.search(r"chamfer (\S+) -> (\S+),", capsys.readouterr().out).groups()
    assert 0.0 < float(after) < edge and 0.0 < float(before) < edge


def test_unreadable_mesh_gets_one_sentence(tmp_path, capsys):
    (tmp_path / "bad.obj").write_text("v 0 0 0\nv 1 0 0\n")
    assert run(tmp_path / "bad.obj", "box", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("more", [["--no-pictures"], ["--size", "16"]])
def test_an_appearance_without_colours_is_reported_once_before_the_morph(tmp_path, capsys, more):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("sphere", "box", "--out", tmp_path, "--appearance", "arrival", *more, *TINY) == 0
    error = capsys.readouterr().err
    assert error.startswith("diffmpm morph: warning: appearance: expected a shape with colours or a texture, got none;")
    assert error.count("warning") == 1
    assert run("sphere", "box", "--out", tmp_path, "--overwrite", "--no-pictures", *TINY) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_chosen_appearance_has_no_warning_if_a_shape_has_colours(tmp_path, capsys):
    red = tmp_path / "red.ply"
    ball = dm.load_mesh("sphere")
    dm.export.write_mesh(red, ball.vertices, ball.triangles, colors=np.tile([0.9, 0.1, 0.1], (len(ball.vertices), 1)))
    look = ["--appearance", "arrival", "--no-pictures"]
    assert run("sphere", red, "--out", tmp_path / "out", *look, *TINY) == 0
    assert "warning" not in capsys.readouterr().err


def test_warnings_are_one_line(tmp_path, capsys):
    (tmp_path / "open.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\n")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("sphere", tmp_path / "open.obj", "--out", tmp_path / "out", *TINY, "--no-pictures", "--quiet") == 0
    error = capsys.readouterr().err
    assert error.startswith("diffmpm morph: warning: ")
    assert error.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_leaves_a_result_and_resume_continues_bitwise(tmp_path):
    options = ["--particles", "3000", "--windows", "20", "--no-pictures"]
    options += ["--set", "tolerance=0", "--set", "arrival=0"]
    assert run("sphere", "torus", "--out", tmp_path / "whole", *options, "--quiet") == 0
    command = [sys.executable, "-m", "diffmpm", "morph", "sphere", "torus", "--out", str(tmp_path / "cut")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as process:
        output, limit = b"", time.monotonic() + 60
        while (
            not re.search(rb" [1-9]\d*/20", output) and time.monotonic() < limit and (piece := process.stderr.read1(64))
        ):
            output += piece
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, (output + rest).decode()
    assert b"Traceback" not in output + rest
    windows = json.loads((tmp_path / "cut" / "metrics.json").read_text())["windows"]
    assert 1 <= windows < 20
    assert np.isfinite(read_npz(tmp_path / "cut" / "result.npz")["x"]).all()
    assert run("sphere", "torus", "--out", tmp_path / "cut", *options, "--quiet", "--resume") == 0
    whole, cut = (read_npz(tmp_path / name / "result.npz") for name in ("whole", "cut"))
    for name in whole:
        assert_array_equal(cut[name], whole[name])


def test_config_of_a_result_repeats_it_bit_for_bit(tmp_path):
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    (tmp_path / "tetra.obj").write_text(corners)
    guide = ["--render-guided", "--guide-views", 2, "--guide-size", 16]
    options = ["--set", "drag=0.25", "--seed", 3, "--no-fit", *guide, *TINY, "--quiet", "--no-pictures"]
    assert run("sphere", tmp_path / "tetra.obj", "--out", tmp_path / "a", *options) == 0
    again = ["--config", tmp_path / "a" / "config.json", "--quiet", "--no-pictures"]
    assert run(*again, "--out", tmp_path / "b") == 0
    assert run(*again, "--out", tmp_path / "c", "--seed", 4) == 0
    a, b, c = (dm.morphing.MorphResult.load(tmp_path / name) for name in "abc")
    np.testing.assert_array_equal(a.x, b.x)
    assert not np.array_equal(a.x, c.x)
    assert a.run == b.run
    assert a.run.guidance.size == 16
    assert c.config == a.config.replace(seed=4)


def test_toml_configuration(tmp_path):
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    (tmp_path / "tetra.obj").write_text(corners)
    file = tmp_path / "run.toml"
    file.write_text(
        'source = "sphere"\ntarget = "tetra.obj"\npreset = "xu"\n[morph]\nparticles = 64\nwindows = 1\nsteps = 2\n'
    )
    assert run("--config", file, "--out", tmp_path / "out", "--quiet", "--no-pictures") == 0
    result = dm.morphing.MorphResult.load(tmp_path / "out")
    assert (result.config.schedule, result.config.particles, result.target_name) == ("layered", 64, "tetra")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"morf": {}}', "morf: expected a key of a configuration file; did you mean morph"),
        ('{"morph": {"stepz": 1}}', "stepz: expected a field of MorphConfig"),
        ('{"morph": 3}', "morph: expected a table of options, got 3"),
        ("[1]", "config: expected a table in .*, got list"),
        ("{", "config: expected a readable .json file"),
        ('{"complete": false}', "--config: expected a complete morph"),
    ],
)
def test_bad_configuration_files(tmp_path, capsys, text, message):
    (tmp_path / "bad.json").write_text(text)
    assert run("sphere", "box", "--config", tmp_path / "bad.json", "--out", tmp_path / "out", *TINY) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_morph_of_arrays_is_marked_as_incomplete(tmp_path):
    mesh = dm.shapes.make("sphere")
    options = {"particles": 64, "windows": 1, "steps": 2}
    result = dm.morph((mesh.vertices, mesh.triangles), "box", **options, out=tmp_path)
    assert result.run == dm.morphing.MorphRun(target="box", morph=result.config, complete=False)
    assert dm.morphing.MorphResult.load(tmp_path).run == result.run
