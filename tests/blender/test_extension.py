# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The Blender extension: built, installed and used in Blender without a user interface."""

import importlib.util
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from diffmpm import MorphResult, load_mesh
from diffmpm.morphing.config import PRESETS
from numpy.testing import assert_allclose

SOURCES = Path(__file__).parents[2] / "integrations" / "blender"


def module(path):
    spec = importlib.util.spec_from_file_location(f"blender_{path.stem}", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # for dataclasses
    spec.loader.exec_module(loaded)
    return loaded


build, job = module(SOURCES / "build.py"), module(SOURCES / "diffmpm_blender" / "job.py")


@pytest.fixture(scope="module")
def facts(run_in_blender, tmp_path_factory):
    base = tmp_path_factory.mktemp("extension")
    (base / "results").mkdir()
    return run_in_blender("use_extension.py", build.build(base, []), base / "results")


def test_the_scene_of_the_user_is_unchanged(facts):
    assert facts["morph"] == ["FINISHED"]
    assert facts["after"] == facts["before"]
    # The mesh, the points, and the material of the points.
    assert facts["added"] == {"meshes": 2, "materials": 1, "objects": 2}


def test_the_mesh_ends_on_the_target(facts):
    """It has the polygons, materials and texture coordinates of the evaluated target, and its place."""
    assert facts["mesh"] == {"polygons": [[4], 96], "materials": ["blue"], "uvs": ["UVMap"]}
    rows = {row["frame"]: row for row in facts["film"]}
    assert all(row["vertices"] == [98, 98] for row in rows.values())
    assert rows[31]["error"] < 1e-6 and rows[41]["error"] < 1e-6
    assert rows[1]["error"] == rows[11]["error"] > rows[21]["error"] > 1e-3
    assert facts["hidden"] == [False, True, True]


def test_points_have_the_positions_colours_and_volumes_of_the_result(facts):
    result = MorphResult.load(Path(facts["folder"]) / "result")
    last = len(result.frames) - 1
    assert last > 1
    for row in facts["film"]:
        sample = last * np.clip((row["frame"] - 11) / 20, 0.0, 1.0)
        before, after = result.frames[int(sample)], result.frames[min(int(sample) + 1, last)]
        part = sample - int(sample)
        assert_allclose(row["points"], (1 - part) * before.x + part * after.x, atol=1e-5)
        nearest = result.frames[int(np.floor(sample + 0.5))]
        assert_allclose(row["det_F"], np.linalg.det(nearest.F), rtol=1e-3)  # half precision
    colors = np.array([facts["film"][k]["colors"] for k in (0, -1)])
    assert_allclose(colors.mean(axis=1), [[1, 0, 0], [0, 0, 1]], atol=0.02)


def test_both_are_drawn_in_the_colours_of_the_target(facts):
    """The light is white, and so is what is seen between the points."""
    for red, green, blue in facts["rendered"]:
        assert blue > 0.6 and max(red, green) < 0.8 * blue


def test_the_result_is_read_from_a_saved_file(facts):
    for stored, row in zip(facts["film_of_file"], facts["film"], strict=True):
        assert_allclose(stored["colors"], row["colors"], atol=2e-3)
        assert_allclose(stored["det_F"], row["det_F"], rtol=2e-3)
        assert_allclose(stored["points"], row["points"], atol=1e-6)
        assert stored["error"] == pytest.approx(row["error"], abs=1e-7)


def test_the_files_of_the_program(facts):
    """World coordinates, relative to the centre of the target, with colours and textures."""
    meshes = {side: load_mesh(Path(facts["folder"]) / f"{side}.obj") for side in ("source", "target")}
    assert_allclose(meshes["source"].vertices.mean(axis=0) + facts["center"], [4, 0, 0], atol=1e-5)
    assert_allclose(np.ptp(meshes["target"].vertices, axis=0) / 2 + meshes["target"].vertices.min(axis=0), 0, atol=1e-5)
    for side, color in (("source", [1, 0, 0]), ("target", [0, 0, 1])):
        mesh = meshes[side]
        assert mesh.is_closed and mesh.volume > 0.0
        assert_allclose(mesh.colors_at(mesh.vertices[:1]), [color], atol=1e-6)


def test_failures_and_cancelled_morphs_leave_nothing(facts):
    assert "diffmpm ended with status 1 and no message" in facts["failure"]
    assert facts["left_after_failure"] == facts["left_after_cancel"] == []
    assert facts["cancel"] == ["FINISHED"] and facts["process_ended"]
    assert facts["unregistered"]


def test_the_panel_draws_its_settings_and_the_message(facts):
    assert facts["panel"][:4] == ["source", "target", "particles", "preset"]
    assert "diffmpm.morph" in facts["panel"]
    assert " ".join(facts["panel"]).endswith("longer than the panel is wide, and wraps")
    assert set(facts["presets"]) == set(PRESETS)


def run_job(folder, *commands):
    running = job.Job(
        folder, "", [job.Command(str(k), command, 1 / len(commands)) for k, command in enumerate(commands)]
    )
    progress = []
    while running.poll():
        progress.append(running.progress)
        time.sleep(0.02)
    return running, progress


def test_a_job_reports_the_message_of_the_program(tmp_path):
    running, _ = run_job(tmp_path, ("morph", "sphere", "nowhere.obj", "--no-pictures"), ("info",))
    assert running.error.startswith("'nowhere.obj'") or "nowhere.obj" in running.error, running.error
    assert not running.error.startswith("diffmpm")
    assert running._number == 0  # the second command was not started


def test_a_job_runs_commands_in_order_and_can_be_cancelled(tmp_path):
    running, progress = run_job(tmp_path, ("--version",), ("--version",))
    assert not running.error and progress == sorted(progress)
    morph = job.Command("morph", ("morph", "sphere", "torus", "--out", "result"), 1.0)
    running = job.Job(tmp_path, "", [morph])
    assert running.poll()
    process = running._process
    running.cancel()
    assert process.poll() is not None
    running = job.Job(tmp_path, str(tmp_path / "python"), [job.Command("info", ("info",), 1.0)])
    assert not running.poll() and "in its preferences" in running.error


def test_progress_and_messages_are_read_from_the_log():
    log = "window 1/12, loss 3, 4 s, at most 5 s left\nwindow 3/12, loss 2, 4 s, at most 5 s left\n"
    assert job.fraction_done(log) == 0.25 and job.fraction_done("") == 0.0
    assert job.error_message(log + "diffmpm morph: warning: odd\ndiffmpm morph: no memory\nmore\n", 2) == "no memory"
    assert "install the extension with bundled wheels" in job.error_message("/bin/python: No module named diffmpm", 1)


def test_wheels_are_bundled_and_checked(tmp_path):
    names = ["diffmpm-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl", "scipy-1.17.1-cp311-cp311-manylinux2014_x86_64.whl"]
    for name in names:
        (tmp_path / name).write_bytes(b"wheel")
    path = build.build(tmp_path, sorted(tmp_path.glob("*.whl")))
    assert path.name.endswith("-linux-x64.zip")
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read("blender_manifest.toml").decode()
        assert archive.read(f"wheels/{names[0]}") == b"wheel"
    assert f'wheels = ["./wheels/{names[0]}", "./wheels/{names[1]}"]' in manifest
    assert 'platforms = ["linux-x64"]' in manifest
    with pytest.raises(ValueError, match="expected that of diffmpm"):
        build.build(tmp_path, [tmp_path / names[1]])
    with pytest.raises(ValueError, match="would replace that of Blender"):
        build.build(tmp_path, [tmp_path / names[0], tmp_path / "numpy-2.4.6-cp311-cp311-win_amd64.whl"])
    with pytest.raises(ValueError, match="expected one for linux-x64"):
        build.build(tmp_path, [tmp_path / "diffmpm-0.1.0-cp310-abi3-linux_riscv64.whl"])
