# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Output folders: only files of DiffMPM are replaced, links are not followed, and changed files are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import export, view
from diffmpm.cli import main
from diffmpm.errors import CheckpointError, DiffMPMWarning, OutputError
from diffmpm.morphing import MorphResult, run_morph

TINY = {"particles": 64, "cell_particles": 3.0, "steps": 3, "windows": 2, "frame_motion": 30.0, "arrival": 0.0}
FLAGS = [
    "--particles",
    "64",
    "--set",
    "cell_particles=3",
    "--set",
    "steps=3",
    "--set",
    "arrival=0",
    "--windows",
    "2",
    "--quiet",
    "--size",
    "24",
]
FEW = ["--samples", "200", "--quiet"]
IN_THE_WAY = "expected to replace only unchanged files of diffmpm"
links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Skip fsync, as no process is killed here, and use one thread, as the bodies are tiny."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    before = dm.get_num_threads()
    dm.set_num_threads(1)
    yield
    dm.set_num_threads(before)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("morph") / "result"
    dm.morph("sphere", "box", **TINY, out=folder)
    return folder


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    shutil.copytree(result, tmp_path / "copy")
    return tmp_path / "copy"


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return the content of all files and the targets of all links."""
    loaded: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            loaded[name] = os.readlink(path)
        elif path.is_file():
            loaded[name] = path.read_bytes()
    return loaded


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (
            ["morph", "sphere", "box", *FLAGS],
            ["checkpoint/a", "frames/model.pt", "metrics.json", "morph.gif", "ply/x/y"],
        ),
        (["morph", "sphere", "box", *FLAGS, "--no-pictures"], ["diffmpm.json"]),
        (["morph", "sphere", "box", *FLAGS, "--no-pictures"], ["result.npz/a", "result.npz/b"]),
        (["morph", "sphere", "box", *FLAGS, "--no-pictures"], [f"frames/{n}" for n in range(9)]),
        (["render", "RESULT", *FEW, "--size", "16"], ["png/holiday.jpg", "morph.gif"]),
        (["export", "RESULT", *FEW, "--format", "splat"], ["morph_0000.splat"]),
    ],
    ids=["morph", "manifest", "folder-for-a-file", "many", "render", "export"],
)
def test_foreign_files_are_refused_by_name_and_replaced_by_force(result, tmp_path, capsys, command, names) -> None:
    out = tmp_path / "out"
    fill(out, *names, "notes.txt", "png2/a.png")
    before = tree(out)
    command = [str(result) if word == "RESULT" else word for word in [*command, "--out", str(out)]]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert IN_THE_WAY in error
    named = ["result.npz"] if "result.npz/a" in names else names[:5]
    assert all(repr(name) in error for name in named), error
    assert len(names) < 6 or "and 4 more" in error
    assert tree(out) == before
    assert main([*command, "--force"]) == 0
    after = tree(out)
    assert (after["notes.txt"], after["png2/a.png"]) == (before["notes.txt"], before["png2/a.png"])
    assert not [name for name in names if after.get(name) == before[name]]
    assert main([*command, *(["--overwrite"] if command[0] == "morph" else [])]) == 0


def test_changed_files_count_as_foreign(copy) -> None:
    """A morph replaces its own files but no others, also where frames become stale."""
    last = sorted((copy / "frames").iterdir())[-1]
    for path in (copy / "result.ply", last):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-1] + b"x")
        with pytest.raises(OutputError, match=f"{IN_THE_WAY}, got '{path.relative_to(copy).as_posix()}'"):
            dm.morph("sphere", "box", **TINY, out=copy, resume=False)
        assert path.read_bytes() == content[:-1] + b"x"
        path.write_bytes(content)  # the modification time differs, so the digest decides
    dm.morph("sphere", "box", **{**TINY, "windows": 1}, out=copy, resume=False)
    assert len(MorphResult.load(copy).frames) >= 1


def test_files_added_while_a_morph_runs_are_not_replaced(tmp_path) -> None:
    def disturb(progress: dm.Progress) -> None:
        fill(tmp_path, "frames/late.txt")

    with pytest.raises(OutputError, match=r"got 'frames/late\.txt'"):
        dm.morph("sphere", "box", **TINY, out=tmp_path, callback=disturb)
    assert (tmp_path / "frames" / "late.txt").read_text() == "mine: frames/late.txt"
    dm.morph("sphere", "box", **TINY, out=tmp_path, resume=True, force=True)
    assert not (tmp_path / "frames" / "late.txt").exists()


def test_resume_refuses_foreign_files_and_can_be_forced(tmp_path, capsys) -> None:
    def stop(progress: dm.Progress) -> None:
        raise KeyboardInterrupt

    assert run_morph("sphere", "box", **TINY, out=tmp_path, callback=stop).stopped == "interrupted"
    fill(tmp_path, "frames/mine.txt", "loss.png")
    command = ["morph", "sphere", "box", *FLAGS, "--set", "frame_motion=30", "--out", str(tmp_path), "--resume"]
    assert main(command) == 2
    assert "got 'loss.png'" in capsys.readouterr().err
    assert main([*command, "--no-pictures"]) == 2
    assert "got 'frames/mine.txt'" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert MorphResult.load(tmp_path).stopped == "windows"
    assert not (tmp_path / "frames" / "mine.txt").exists()


def test_foreign_files_are_refused_from_python(result, tmp_path) -> None:
    loaded = MorphResult.load(result)
    calls = {
        "result.npz": lambda **force: loaded.save(tmp_path / "save", **force),
        "loss.png": lambda **force: view.save_pictures(loaded, tmp_path / "pictures", size=16, gif_frames=2, **force),
        "morph.gif": lambda **force: view.save_film([np.zeros((8, 8, 3), np.uint8)], tmp_path / "film", **force),
        "npz/a": lambda **force: view.export_frames(
            loaded, tmp_path / "export", "npz", frames=loaded.frames[:1], **force
        ),
        "a/b": lambda **force: export.write_ply_sequence(tmp_path / "ply", [loaded.x], **force),
    }
    for (name, call), folder in zip(calls.items(), ("save", "pictures", "film", "export", "ply"), strict=True):
        fill(tmp_path / folder, name)
        with pytest.raises(OutputError, match=f"{IN_THE_WAY}, got '{name}'"):
            call()
        assert (tmp_path / folder / name).read_text() == f"mine: {name}"
        call(force=True)
        call()
        assert not (tmp_path / folder / name).exists() or (tmp_path / folder / name).read_bytes()[:4] != b"mine"


def test_a_finished_result_is_replaced_on_request_only(copy, capsys) -> None:
    before = tree(copy)
    command = ["morph", "sphere", "box", *FLAGS, "--no-pictures", "--out", str(copy)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "found that of a finished morph in" in error and "(--out)" in error and "(--overwrite)" in error
    assert tree(copy) == before
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ("a/mesh.obj", "b/mesh.stl", "a-mesh-to-b-mesh"),
        ("b/mesh.stl", "a/mesh.obj", "b-mesh-to-a-mesh"),
        ("a/mesh.obj", "a/mesh.ply", "mesh.obj-to-mesh.ply"),
        ("mesh.obj", "a/mesh.obj", "mesh-to-a-mesh"),
        ("x/a/mesh.obj", "y/a/mesh.obj", "x-a-mesh-to-y-a-mesh"),
        ("sphere", "sphere", "sphere-to-sphere"),
        ("./-x.obj", "..y.obj", "x-to-y"),
        ("n" * 250 + ".obj", "box", "n" * 100 + "-to-box"),
        ("\udcff.obj", "形\udcff.obj", "shape-to-形"),
        ("$$.obj", "a b.obj", "$$-to-a b"),
    ],
)
def test_default_folders(tmp_path, monkeypatch, source, target, name) -> None:
    from diffmpm.cli.morph import _default_folder

    monkeypatch.chdir(tmp_path)
    assert _default_folder([source, target]) == name


@links
def test_links_in_the_folder_are_not_followed(result, tmp_path, capsys) -> None:
    """The targets of links at the lock, stage, folders and files stay unchanged, also with force."""
    outside = tmp_path / "outside"
    fill(outside, "precious.txt", "frames/frame_0000.npz", ".diffmpm.0123abcd.tmp/a")
    before = tree(outside)
    command = ["morph", "sphere", "box", *FLAGS, "--no-pictures", "--out"]
    for number, (name, goal) in enumerate(
        [
            ("frames", "../outside/frames"),
            ("checkpoint", "../outside"),
            ("result.npz", "../outside/precious.txt"),
            ("diffmpm.json", "../outside/precious.txt"),
            ("metrics.json", "../outside/nothing"),
        ]
    ):
        out = tmp_path / f"out{number}"
        out.mkdir()
        (out / name).symlink_to(goal)
        assert main([*command, str(out)]) == 2
        assert repr(name) in capsys.readouterr().err
        assert main([*command, str(out), "--force"]) == 0
        assert not (out / name).is_symlink()
        assert tree(outside) == before
    for name in (".diffmpm.0123abcd.tmp", ".01234567.old", ".01234567.tmp"):
        out = tmp_path / f"out-{name}"
        out.mkdir()
        (out / name).symlink_to("../outside")
        assert main([*command, str(out)]) == 0
        assert tree(outside) == before


@links
@pytest.mark.parametrize("case", ["symlink", "hardlink", "pipe", "folder", "text"])
def test_foreign_lock_files_are_refused(tmp_path, case) -> None:
    precious, out = tmp_path / "precious.txt", tmp_path / "out"
    precious.write_text("12345")
    out.mkdir()
    place = out / ".diffmpm.lock"
    make = {
        "symlink": lambda: place.symlink_to(precious),
        "hardlink": lambda: os.link(precious, place),
        "pipe": lambda: os.mkfifo(place),
        "folder": place.mkdir,
        "text": lambda: place.write_text("mine"),
    }
    make[case]()
    with pytest.raises(
        OutputError, match=r"expected .diffmpm.lock in .* to be a lock of diffmpm, got a link or another"
    ):
        dm.morph("sphere", "box", **TINY, out=out, force=True)
    assert os.path.lexists(place)
    assert precious.read_text() == "12345"
    assert not export.is_locked(out)


@links
def test_only_an_explicit_output_folder_may_be_a_link(copy, tmp_path, capsys) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    dm.morph("sphere", "box", **TINY, out=tmp_path / "link")
    assert len(MorphResult.load(tmp_path / "real").x) == 64
    for command, name in ((["render", "--size", "16"], "render"), (["export", "--format", "splat"], "export")):
        (copy / name).symlink_to(tmp_path / "real")
        assert main([command[0], str(copy), *command[1:], *FEW]) == 2
        assert "expected a folder, got the link" in capsys.readouterr().err
        assert main([command[0], str(copy), *command[1:], *FEW, "--out", str(copy / name)]) == 0


@links
def test_forged_manifests_do_not_escape_the_folder(copy, tmp_path) -> None:
    """The names in a forged manifest must stay in the folder and must not pass through a link."""
    fill(tmp_path, "docs/tax.txt")
    tax = (tmp_path / "docs" / "tax.txt").lstat()
    entry = export.Entry("result", tax.st_size, tax.st_mtime_ns, "")
    for name in ("../docs/tax.txt", str(tmp_path / "docs" / "tax.txt"), "frames/../../docs/tax.txt", "", "."):
        (copy / "diffmpm.json").write_bytes(export.Manifest(copy, {name: entry}, stale=(name,)).encode())
        manifest = export.read_manifest(copy)
        assert manifest is not None and not manifest.intact
    shutil.rmtree(copy / "frames")
    (copy / "frames").symlink_to("../docs")
    stage = ".diffmpm.0123abcd.tmp"
    (copy / stage / "frames").mkdir(parents=True)
    (copy / stage / "frames" / "new").write_text("new")
    files = {"frames/new": entry, "frames/tax.txt": entry}
    for manifest in (
        export.Manifest(copy, files, stage, ("frames/tax.txt",)),
        export.Manifest(copy, {"frames/tax.txt": entry}, stage, ("frames/tax.txt",)),
        export.Manifest(copy, {}, stage, ("frames/tax.txt",)),
    ):
        (copy / "diffmpm.json").write_bytes(manifest.encode())
        try:
            loaded = MorphResult.load(copy)
        except (CheckpointError, dm.ConfigError):
            loaded = None
        assert loaded is None
        try:
            with export.lock_folder(copy):
                pass
        except OutputError as error:
            assert "moving them out of the staging folder failed" in str(error)
        assert tree(tmp_path / "docs") == {"tax.txt": b"mine: docs/tax.txt"}


def test_every_flipped_bit_of_a_result_is_refused(copy, fuzz) -> None:
    """Flip bits in many bytes of each file, and in all bytes of short ones."""
    rng = np.random.default_rng(0)
    for path in [path for path in sorted(copy.rglob("*")) if path.is_file() and path.parent.name != "checkpoint"]:
        content = path.read_bytes()
        few = min(len(content), 60 * fuzz)
        for at in sorted(rng.choice(len(content), few, replace=False).tolist()):
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            path.unlink()
            path.write_bytes(changed)
            with pytest.raises(CheckpointError, match=f"but '.*{path.name}' is damaged"):
                MorphResult.load(copy)
        for wrong in (b"", content + b"\0", content[:-1]):
            path.write_bytes(wrong)
            with pytest.raises(CheckpointError, match=f"but '.*{path.name}' is damaged"):
                MorphResult.load(copy)
        path.write_bytes(content)
    assert MorphResult.load(copy).stopped == "windows"


def test_every_flipped_bit_of_a_checkpoint_is_refused(copy, fuzz) -> None:
    rng = np.random.default_rng(0)
    for path in (copy / "checkpoint" / "state.bin", copy / "checkpoint" / "frame_0000.npz", copy / "diffmpm.json"):
        content = path.read_bytes()
        for at in rng.integers(0, len(content), 20 * fuzz).tolist():
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            path.unlink()
            path.write_bytes(changed)
            with pytest.raises(CheckpointError, match=f"but '.*{path.name}' is damaged"):
                dm.morph("sphere", "box", **TINY, out=copy, resume=True)
        path.write_bytes(content)
    assert dm.morph("sphere", "box", **TINY, out=copy, resume=True).stopped == "windows"


def test_missing_swapped_and_foreign_frames_are_refused(copy, tmp_path) -> None:
    other = dm.morph("torus", "box", **{**TINY, "particles": 32}, out=tmp_path / "other")
    first, last = sorted((copy / "frames").iterdir())[:: max(1, len(list((copy / "frames").iterdir())) - 1)][:2]
    contents = first.read_bytes(), last.read_bytes()
    changes = {
        "missing": lambda: first.unlink(),
        "swapped": lambda: (first.write_bytes(contents[1]), last.write_bytes(contents[0])),
        "foreign": lambda: shutil.copy(tmp_path / "other" / "frames" / "frame_0000.npz", first),
    }
    for change in changes.values():
        for path, content in zip((first, last), contents, strict=True):
            path.unlink(missing_ok=True)  # the checkpoint shares the file
            path.write_bytes(content)
        assert len(MorphResult.load(copy).frames) == 2
        change()
        with pytest.raises(CheckpointError, match=r"frame_000\d.npz' is damaged"):
            MorphResult.load(copy)
    assert len(other.x) == 32
    first.write_bytes(contents[0])
    last.write_bytes(contents[1])
    fill(copy, "frames/frame_0009.npz")  # not in the manifest, so it is not read
    assert len(MorphResult.load(copy).frames) == 2


def test_copies_for_other_programs_may_be_missing(copy) -> None:
    shutil.rmtree(copy / "ply")
    (copy / "result.ply").unlink()
    assert MorphResult.load(copy).stopped == "windows"


def test_results_of_earlier_versions_are_read_with_a_warning(copy) -> None:
    (copy / "diffmpm.json").unlink()
    with pytest.warns(DiffMPMWarning, match="is read without digests, as it has no diffmpm.json"):
        loaded = MorphResult.load(copy)
    assert len(loaded.frames) == 2
    with pytest.raises(OutputError, match=r"got 'checkpoint/frame_0000\.npz', .* and 6 more"):
        dm.morph("sphere", "box", **TINY, out=copy, resume=False)


def test_the_manifest_lists_all_files_and_their_writers(copy) -> None:
    view.save_pictures(MorphResult.load(copy), copy, size=16, gif_frames=2)
    data = json.loads((copy / "diffmpm.json").read_bytes())
    assert set(data["files"]) == set(tree(copy)) - {"diffmpm.json"}
    assert {row["by"] for row in data["files"].values()} == {"result", "checkpoint", "pictures"}
    for name, row in data["files"].items():
        assert (row["size"], row["sha256"]) == ((copy / name).stat().st_size, export.manifest.digest(copy / name))


def test_an_export_beside_a_result_does_not_touch_its_files(copy) -> None:
    """Both the result and an export have a folder ply; the command writes into the folder of --out itself."""
    before, result = tree(copy), MorphResult.load(copy)
    config = view.RenderConfig(samples=200)
    with pytest.raises(OutputError, match=r"got 'ply/frame_0000\.ply', 'ply/frame_0001\.ply'"):
        view.export_frames(result, copy, "ply", config=config)
    assert tree(copy) == before
    assert main(["export", str(copy), "--format", "ply", "--out", str(copy), *FEW]) == 0
    after = tree(copy)
    assert {name: after[name] for name in before if name != "diffmpm.json"} == {
        name: content for name, content in before.items() if name != "diffmpm.json"
    }
    assert set(after) - set(before) == {"morph_0000.ply", "morph_0001.ply"}
    view.export_frames(result, copy, "ply", config=config, force=True)
    assert (copy / "ply" / "morph_0000.ply").exists() and not (copy / "ply" / "frame_0000.ply").exists()
    assert len(MorphResult.load(copy).frames) == 2
