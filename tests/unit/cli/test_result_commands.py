# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""``diffmpm render`` and ``diffmpm export`` on the folder of a small morph."""

import json
import re
import shutil
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.errors import CheckpointError, ConfigError
from diffmpm.morphing import MorphResult
from diffmpm.view import export_frames

FEW = ["--samples", "500", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("morph") / "result"
    options = [
        "--particles",
        "300",
        "--windows",
        "3",
        "--set",
        "cell_particles=3",
        "--set",
        "steps=5",
        "--set",
        "frame_motion=0.001",
        "--set",
        "arrival=0",
    ]
    assert main(["morph", "sphere", "box", "--out", str(out), "--quiet", "--no-pictures", *options]) == 0
    return out


def test_result_is_read_back(folder, tmp_path):
    result = MorphResult.load(folder)
    again = MorphResult.load(result.save(tmp_path / "again"))
    assert (again.source_name, again.target_name, again.stopped) == ("sphere", "box", "windows")
    assert again.config == result.config and again.metrics == result.metrics and again.history == result.history
    assert len(again.frames) == len(result.frames) > 2
    for name in ("x", "F", "G"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
        np.testing.assert_array_equal(getattr(again.frames[1], name), getattr(result.frames[1], name))


def test_render_writes_pictures_and_gif(folder, tmp_path, capsys):
    from PIL import Image

    options = [
        "--samples",
        "500",
        "--size",
        "40x32",
        "--view",
        "-10,40",
        "--turntable",
        "--color",
        "clay",
        "--every",
        "2",
    ]
    assert main(["render", str(folder), "--out", str(tmp_path), *options]) == 0
    printed = capsys.readouterr()
    assert f"written: {tmp_path / 'png'}" in printed.out
    assert "image" in printed.err
    pages = sorted((tmp_path / "png").iterdir())
    count = len(MorphResult.load(folder).frames)
    held = 2 * round(0.9 * 15)
    assert len(pages) == len(range(0, count, 2)) + (count % 2 == 0) + held
    with Image.open(pages[0]) as page:
        assert page.size == (40, 32)
    assert {path.name for path in tmp_path.iterdir()} == {"png", "morph.gif", "diffmpm.json"}


def test_render_goes_into_the_result_by_default(folder):
    assert main(["render", str(folder), "--frames", "-1", "--format", "png", "--size", "16", "--no-shadow", *FEW]) == 0
    assert [path.name for path in (folder / "render" / "png").iterdir()] == ["morph_0000.png"]
    shutil.rmtree(folder / "render")


def test_export_writes_the_selected_frames(folder, tmp_path, capsys):
    """Into the folder of --out itself, with the numbers of the frames. Another format does not touch them."""
    command = ["export", str(folder), "--out", str(tmp_path), *FEW]
    assert main([*command, "--format", "splat", "--frames", "1:3"]) == 0
    paths = sorted(tmp_path.glob("*.splat"))
    assert [path.name for path in paths] == ["morph_0001.splat", "morph_0002.splat"]
    sizes = [path.stat().st_size for path in paths]
    assert all(size % 32 == 0 and 250 <= size // 32 <= 1000 for size in sizes)  # about 500 each
    assert capsys.readouterr().out == ""
    assert main([*command, "--format", "ply", "--frames", "0"]) == 0
    assert main([*command, "--format", "splat", "--frames", "2"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"morph_0000.ply", "morph_0002.splat", "diffmpm.json"}


def test_colours_are_lit_unless_unlit_is_set(folder, tmp_path):
    colors = []
    for options in ([], ["--unlit"]):
        common = ["--format", "npz", "--frames", "0", "--color", "#808080", "--out", str(tmp_path)]
        assert main(["export", str(folder), *common, *FEW, *options]) == 0
        with np.load(tmp_path / "morph_0000.npz") as data:
            colors.append(data["colors"])
    assert np.ptp(colors[0]) > 0.2
    np.testing.assert_allclose(colors[1], 128 / 255, atol=1e-6)


def test_islands_of_an_exported_mesh(tmp_path):
    """The file has one part with normals and colours, and its up axis is y."""
    trimesh, gltf = pytest.importorskip("trimesh"), pytest.importorskip("pygltflib")
    x = np.float32(dm.sample("capsule", particles=900).x)
    apart = x[:90] * np.float32(0.3) + np.float32([4.0, 0.0, 0.0])
    body = np.concatenate([x, apart - apart.mean(axis=0) + np.float32([4.0, 0.0, 0.0])])
    still = np.broadcast_to(np.eye(3, dtype=np.float32), (len(body), 3, 3))
    frame = SimpleNamespace(x=body, F=still, G=still, time=0.0)
    result = SimpleNamespace(source_x=body, frames=(frame,))
    parts, files = {}, {}
    for islands in ("all", "largest"):
        folder = export_frames(result, tmp_path / islands, "mesh-glb", islands=islands)
        (files[islands],) = folder.glob("*.glb")
        parts[islands] = trimesh.load(files[islands], force="mesh", process=False)
    assert [parts[name].body_count for name in ("all", "largest")] == [2, 1]
    assert parts["largest"].is_watertight and parts["largest"].bounds[1, 0] < 2.0
    height = np.ptp(x[:, 2])  # the capsule is upright
    assert np.ptp(parts["largest"].vertices[:, 1]) == pytest.approx(height, rel=0.15)
    attributes = gltf.GLTF2().load(str(files["largest"])).meshes[0].primitives[0].attributes
    assert attributes.NORMAL is not None and attributes.COLOR_0 is not None
    with pytest.raises(dm.ConfigError, match=r"islands: expected a format that uses it .*mesh-glb"):
        export_frames(result, tmp_path, "ply", islands="largest")


def test_export_of_a_mesh(folder, tmp_path):
    options = ["--frames", "-1", "--islands", "largest", "--out", str(tmp_path), "--quiet"]
    assert main(["export", str(folder), "--format", "obj", *options]) == 0
    text = next(tmp_path.glob("*.obj")).read_text()
    assert text.count("\nf ") > 100


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("render", ["--format", "avi"], "format: expected names from png, gif, webp, mp4, got 'avi'"),
        ("render", ["--view", "north"], "view: expected AZIMUTH,ELEVATION in degrees, got 'north'"),
        ("render", ["--size", "2"], "size: expected an integer from 8 to 8192, or WIDTHxHEIGHT of such, got '2'"),
        ("render", ["--frames", "a:b"], "frames: expected A:B or an integer, got 'a:b'"),
        ("render", ["--frames", "900"], "frames: expected some of the .* frames, 0 to .*, got '900'"),
        ("render", ["--fps", "0"], "fps: expected a finite number > 0 and <= 1000, got 0"),
        ("render", ["--color", "mauve"], "color: expected #rrggbb or one of .*, got 'mauve'"),
        ("view", ["--port", "70000"], "port: expected an integer from 0 to 65535, got 70000"),
        ("export", ["--format", "fbx"], "format: expected one of ply, splat, .*, got 'fbx'"),
        ("export", ["--format", "ply", "--every", "0"], "every: expected an integer from 1 to .*, got 0"),
    ],
)
def test_bad_options_get_one_sentence_and_status_2(folder, tmp_path, capsys, command, options, message):
    if command == "view":
        pytest.importorskip("viser", reason="viser is not installed")
    else:
        options = [*options, "--out", str(tmp_path / "out")]
    assert main([command, str(folder), "--quiet", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffmpm {command}: ") and error.count("\n") == 1
    assert re.search(message, error), error


@pytest.mark.parametrize("command", [["render"], ["export", "--format", "ply"], ["view"]])
def test_folders_without_a_result_are_named(tmp_path, capsys, command):
    assert main([command[0], str(tmp_path / "none"), *command[1:]]) == 2
    error = capsys.readouterr().err
    assert re.search("result: expected a folder written by 'diffmpm morph', got .*none' without result.npz", error)
    assert error.count("\n") == 1


def test_damaged_results_are_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "metrics.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"result: expected the complete files of a morph, but .*metrics.json"):
        MorphResult.load(copy)
    (copy / "metrics.json").write_text(json.dumps({"stopped": "windows"}))
    with pytest.raises(CheckpointError, match=r"result: expected the complete files of a morph, .*run the morph again"):
        MorphResult.load(copy)
    np.savez(copy / "frames" / "frame_0000.npz", x=np.zeros((3, 3)))
    with pytest.raises(CheckpointError, match=r"but .*frame_0000.npz' is damaged"):
        MorphResult.load(copy)
    (copy / "frames" / "frame_0000.npz").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"frame_0000.npz' is damaged \(.*expected \d+ bytes, got 2"):
        MorphResult.load(copy)
    shutil.rmtree(copy / "frames")
    with pytest.raises(CheckpointError, match=r"but .*frame_0000.npz' is damaged \(.*it is missing"):
        MorphResult.load(copy)
    (copy / "diffmpm.json").unlink()
    with pytest.raises(ConfigError, match="without frames; name the output folder of a morph"):
        MorphResult.load(copy)


def test_interruption_leaves_no_partial_files(folder, tmp_path, monkeypatch, capsys):
    from diffmpm import view

    def interrupted(*arguments, **options):
        yield np.zeros((8, 8, 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(view, "render_frames", interrupted)
    assert main(["render", str(folder), "--out", str(tmp_path), "--quiet"]) == 130
    assert "diffmpm render: interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_info_describes_a_mesh(tmp_path, capsys):
    from diffmpm.export import write_mesh

    box = dm.load_mesh("box")
    write_mesh(tmp_path / "box.ply", box.vertices, box.triangles, colors=np.tile((0.9, 0.1, 0.2), (8, 1)))
    assert main(["info", str(tmp_path / "box.ply")]) == 0
    text = capsys.readouterr().out
    assert "triangles  12\n" in text and "colors     vertex colours\n" in text
    assert main(["info", "box", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["closed"] is True and facts["colors"] == [] and facts["vertices"] == 8
    write_mesh(tmp_path / "grey.ply", box.vertices, box.triangles, colors=np.full((8, 3), 0.8))
    assert main(["info", str(tmp_path / "grey.ply")]) == 0
    assert "vertex colours, all of one grey" in capsys.readouterr().out
