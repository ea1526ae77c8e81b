# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Full disks, read-only folders and unusual names: complete files or none, and a clear one-line message."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import export, view
from diffmpm.cli import main
from diffmpm.errors import MeshError, OutputError
from diffmpm.morphing import MorphResult

OPTIONS = {"particles": 400, "cell_particles": 8.0, "steps": 4, "windows": 8, "frame_motion": 0.3}
OPTIONS |= {"tolerance": 0.0, "arrival": 0.0}
SETTINGS = ["--particles", "400", "--windows", "8", "--set", "arrival=0", "--quiet", "--no-pictures"]
for name in ("cell_particles=8", "steps=4", "frame_motion=0.3", "tolerance=0"):
    SETTINGS += ["--set", name]
NAME = "zwölf 形 'n \" Räume"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that mounts a disk of a given size, which requires root."""
    disks: list[Path] = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / f"disk {len(disks)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if not shutil.which("mount") or os.name == "nt" or os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("this system cannot mount a small disk")
        disks.append(folder)
        return folder

    yield mount
    for folder in disks:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file() or path.is_dir()]


def test_full_disk_during_a_morph_keeps_the_checkpoint(small_disk, tmp_path, capsys) -> None:
    whole = dm.morph("sphere", "box", **OPTIONS)
    disk = small_disk(400)
    assert main(["morph", "sphere", "box", "--out", str(disk / "out"), *SETTINGS]) == 2
    error = capsys.readouterr().err
    assert "could not write" in error
    assert "(No space left on device); nothing was changed; free some space" in error
    assert error.count("\n") == 1
    assert not leftovers(disk)
    assert (disk / "out" / "checkpoint" / "state.bin").exists()
    assert not (disk / "out" / "result.npz").exists()
    shutil.copytree(disk / "out", tmp_path / "larger")
    result = dm.morph("sphere", "box", **OPTIONS, out=tmp_path / "larger", resume=True)
    np.testing.assert_array_equal(result.x, whole.x)


def test_full_disk_leaves_the_old_result_complete(small_disk) -> None:
    disk = small_disk(780)  # enough for the frames but not for the whole result
    first = dm.morph("sphere", "box", **{**OPTIONS, "windows": 1}, out=disk)
    with pytest.raises(OutputError, match="No space left on device"):
        dm.morph("sphere", "box", **{**OPTIONS, "seed": 3}, out=disk, resume=False)
    loaded = MorphResult.load(disk)
    np.testing.assert_array_equal(loaded.x, first.x)
    np.testing.assert_array_equal(loaded.frames[-1].x, first.frames[-1].x)


@pytest.mark.parametrize("format", ["png", "gif", "mp4", "ply", "splat", "glb", "vtp", "npz", "usd", "obj"])
def test_full_disk_during_render_and_export(small_disk, tmp_path, capsys, format) -> None:
    needed = {"mp4": "imageio_ffmpeg", "usd": "pxr"}.get(format)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    dm.morph("sphere", "box", **{**OPTIONS, "windows": 2}, out=tmp_path / "result")
    disk = small_disk(12)
    command = "render" if format in ("png", "gif", "mp4") else "export"
    options = ["--format", format, "--out", str(disk), "--quiet", *(["--samples", "900"] if format != "obj" else [])]
    options += ["--size", "256"] if command == "render" else []
    assert main([command, str(tmp_path / "result"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffmpm {command}: out: ")
    assert error.count("\n") == 1, error
    assert list(disk.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="limits of files are of POSIX")
def test_file_size_limits_are_named(tmp_path: Path) -> None:
    script = """
import resource, sys
import diffmpm as dm
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    dm.morph("sphere", "box", particles=400, cell_particles=8, steps=4, windows=2, out=sys.argv[1])
except dm.OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "(File too large); nothing was changed" in done.stdout, done.stderr
    assert not leftovers(tmp_path)


def test_read_only_folders_are_named_and_read(tmp_path, small_disk, capsys) -> None:
    """File modes do not restrict root, so root gets a read-only disk."""
    root = os.name != "nt" and os.geteuid() == 0
    folder = small_disk(4000) if root else tmp_path / "locked"
    dm.morph("sphere", "box", **{**OPTIONS, "windows": 1}, out=folder / "result")
    if root:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    else:
        for path in (folder / "result", folder):
            path.chmod(0o555)
    try:
        for out in (folder, folder / "new", folder / "result"):
            assert main(["morph", "sphere", "box", "--out", str(out), *SETTINGS]) == 2
            error = capsys.readouterr().err
            assert f"out: expected a folder to write into, got {str(out)!r}" in error
            assert error.count("\n") == 1
        assert len(MorphResult.load(folder / "result").x) == 400
        assert main(["export", str(folder / "result"), "--format", "splat", "--samples", "50", "--quiet"]) == 2
        assert "expected a folder to write into" in capsys.readouterr().err
        options = ["--format", "splat", "--samples", "50", "--quiet", "--out", str(tmp_path / "elsewhere")]
        assert main(["export", str(folder / "result"), *options]) == 0
    finally:
        if not root:
            for path in (folder, folder / "result"):
                path.chmod(0o755)


def test_names_with_spaces_quotes_and_any_characters(tmp_path: Path) -> None:
    """Every input and output of the command line has a name that the encoding of its output lacks."""
    if os.name == "nt":
        pytest.skip("Windows does not allow quotes in names")
    trimesh = pytest.importorskip("trimesh")
    folder = tmp_path / NAME
    folder.mkdir()
    for format in ("obj", "ply", "stl", "off", "glb"):
        mesh = dm.shapes.make("box")
        trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).export(folder / f"{NAME}.{format}")
        assert dm.load_mesh(folder / f"{NAME}.{format}").volume == pytest.approx(mesh.volume, rel=1e-5)
    out = folder / f"out {NAME}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> str:
        command = [sys.executable, "-W", "ignore::UserWarning", "-m", "diffmpm", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout.decode("ascii")

    few = ["--particles", 40, "--windows", 1, "--size", 16]
    settings = [word for word in SETTINGS if word not in ("--quiet", "--no-pictures")]
    printed = run("morph", folder / f"{NAME}.obj", folder / f"{NAME}.stl", "--out", out, *settings, *few)
    assert f"written to {str(out).encode('ascii', 'backslashreplace').decode()}" in printed
    assert MorphResult.load(out).source_name == NAME
    films = "png,gif,mp4" if importlib.util.find_spec("imageio_ffmpeg") else "png,gif"
    run("render", out, "--format", films, "--size", 16, "--samples", 100, "--frames", ":2")
    assert (out / "render" / "morph.gif").stat().st_size > 0
    assert "mp4" not in films or (out / "render" / "morph.mp4").stat().st_size > 0


ODD_NAMES = [
    "$$",
    "bad\udcff",
    "new\nline $x^{",
    "-dash",
    "--help",
    "%d %s",
    "a" * 200,
    "\u202e\u0301",
    "file:",
    "C:SDF_FORMAT_ARGS:",
]


@pytest.fixture
def odd(tmp_path, monkeypatch) -> Callable[[str], str]:
    """Return what makes sure that a name can be one on this disk, with the working folder an empty one."""
    monkeypatch.chdir(tmp_path)

    def usable(name: str) -> str:
        try:
            (tmp_path / "probe").mkdir(exist_ok=True)
            (tmp_path / "probe" / name).write_text("")
        except (OSError, ValueError):
            pytest.skip("this disk has no such names")
        return name

    return usable


@pytest.mark.parametrize("name", ODD_NAMES[:4])
def test_shapes_of_any_name_are_morphed_and_drawn(odd, capsys, name) -> None:
    """Nothing fails after the work: titles are no formulas, and what has no letter is replaced."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    mesh = dm.shapes.make("box")
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [
        f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.triangles
    ]
    Path(f"{odd(name)}.obj").write_text("\n".join(lines))
    small = ["--particles", "40", "--windows", "1", "--size", "16", "--set", "cell_particles=3", "--set", "steps=2"]
    assert main(["morph", f"./{name}.obj", "torus", "--out", "out", *small]) == 0, capsys.readouterr().err
    assert {"loss.png", "comparison.png", "morph.gif"} <= {path.name for path in Path("out").iterdir()}
    assert MorphResult.load("out").source_name == name
    assert main(["morph", f"./{name}.obj", "torus", *small, "--no-pictures", "--quiet"]) == 0
    (default,) = [path.name for path in Path().iterdir() if path.name.endswith("-to-torus")]
    assert default[0] not in "-."


@pytest.mark.parametrize("name", ["run:1", "http:", "http:/127.0.0.1:9/x", *ODD_NAMES])
def test_films_and_usd_stages_go_into_folders_of_any_name(odd, tmp_path, name) -> None:
    film = ["mp4"] if importlib.util.find_spec("imageio_ffmpeg") else []
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in (0, 90, 180)]
    odd(name.partition("/")[0])
    folder = tmp_path / name
    view.save_film(pictures, name, formats=["png", "gif", *film])
    assert all(path.exists() for path in (folder / "png" / "morph_0002.png", folder / "morph.gif"))
    assert not film or (folder / "morph.mp4").stat().st_size > 500
    if film:
        view.save_mp4(f"{name}.mp4", pictures)
        assert Path(f"{name}.mp4").stat().st_size > 500
    if importlib.util.find_spec("pxr"):
        splats = export.Splats.create(np.zeros((2, 3)), np.stack([np.eye(3)] * 2), np.ones((2, 3)))
        export.write_usd(folder / "a.usdc", [splats])
        assert (folder / "a.usdc").stat().st_size > 500


def test_titles() -> None:
    from diffmpm.view.text import printable

    assert printable("sphere to 形, 20 particles") == "sphere to 形, 20 particles"
    assert printable("a\nb\udcff\x1b[0m") == "a\ufffdb\ufffd\ufffd[0m"
    assert len(printable("n" * 500)) <= 90


@pytest.mark.parametrize("format", ["ply", "splat", "glb", "vtp", "npz", "usd", "obj"])
def test_exports_into_folders_of_any_name(tmp_path, format) -> None:
    needed = {"usd": "pxr"}.get(format)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    name = NAME.replace('"', "") if os.name == "nt" else NAME
    result = dm.morph("sphere", "box", **{**OPTIONS, "windows": 1}, out=tmp_path / name)
    options = ["--format", format, "--quiet", "--frames", "-1", *(["--samples", "100"] if format != "obj" else [])]
    assert main(["export", str(tmp_path / name), *options]) == 0
    assert any(path.stat().st_size > 0 for path in (tmp_path / name / "export" / format).iterdir())
    assert len(result.x) == 400


def test_the_longest_file_names(tmp_path) -> None:
    if os.name == "nt":
        pytest.skip("paths of Windows are short")
    longest = "n" * 251
    export.write_ply(tmp_path / f"{longest}.ply", np.zeros((2, 3)))
    export.write_ply_sequence(tmp_path / f"{longest}.seq", [np.zeros((2, 3))] * 2)
    export.write_ply_sequence(tmp_path / f"{longest}.seq", [np.zeros((2, 3))])
    assert {path.name for path in (tmp_path / f"{longest}.seq").iterdir()} == {"diffmpm.json", "frame_0000.ply"}
    dm.morph("sphere", "box", **{**OPTIONS, "windows": 1}, out=tmp_path / f"{longest}.out")
    assert len(MorphResult.load(tmp_path / f"{longest}.out").x) == 400
    for name in ("n" * 300, "a\0b"):
        with pytest.raises(OutputError, match="out: could not write"):
            export.write_ply(tmp_path / f"{name}.ply", np.zeros((2, 3)))
        with pytest.raises(OutputError, match="out: expected a folder to write into"):
            dm.morph("sphere", "box", **OPTIONS, out=tmp_path / name)
        with pytest.raises(MeshError, match="mesh: expected a readable file, got"):
            dm.load_mesh(tmp_path / f"{name}.obj")
