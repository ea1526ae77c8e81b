# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Every code block in the manual is executed here, or checked by another test."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import diffmpm as dm
import pytest
from diffmpm import _core
from diffmpm.cli import main
from manual import DOCS, PAGES, ROOT, TUTORIALS, Block, blocks, extras, page_name

# Languages of blocks that other tests check; python, output and sh are executed here.
CHECKED_ELSEWHERE = {
    "cpp": "tests/docs/test_core_tutorials.py compiles it",
    "diff": "tests/docs/test_core_tutorials.py applies it",
    "cmake": "tests/build/test_cmake_package.py builds such a project",
}
EXTRAS = {"imageio_ffmpeg": "video", "pxr": "usd"}
"""Extras by the import names of their packages."""
SMALLER = {
    "morph": ["--particles", "150", "--windows", "2", "--no-pictures", "--quiet"],
    "render": ["--size", "24", "--samples", "300", "--every", "50", "--quiet"],
    "export": ["--every", "50", "--quiet"],
}
"""Options that make commands outside the tutorials quick."""


def needs_torch(text: str) -> bool:
    imports = re.search(r"^\s*import (torch|diffmpm\.torch)|_torch\(", text, re.MULTILINE)
    return imports is not None and "except ImportError" not in text


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> str:
    """Run a block and return its output."""
    printed = io.StringIO()
    code = compile("\n" * block.line + block.text, str(page), "exec")
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)
        exec(code, namespace)
    return printed.getvalue()


def assert_printed(shown: str, printed: str, where: str) -> None:
    """Compare output with a page: words exactly, numbers within 5 %, because instruction sets differ."""
    number = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")
    words = ["".join(number.sub("#", text).split()) for text in (shown, printed)]
    assert words[0] == words[1], f"{where}: prints\n{printed}"
    for expected, got in zip(number.findall(shown), number.findall(printed), strict=True):
        assert float(got) == pytest.approx(float(expected), rel=0.05, abs=0.005), f"{where}: prints\n{printed}"


@pytest.mark.parametrize("page", TUTORIALS, ids=page_name)
def test_tutorial_runs_as_it_is_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if any(needs_torch(block.text) for block in blocks(page)):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    namespace: dict[str, object] = {"__name__": "tutorial"}
    printed, shown = "", False
    for block in blocks(page):
        if block.language == "python":
            assert not printed or shown, f"{page.name}: the output of the block before line {block.line} is missing"
            printed, shown = run_python(block, page, namespace), False
        elif block.language == "output":
            assert_printed(block.text, printed, f"{page.name}:{block.line}")
            shown = True
        elif block.language == "sh":
            for line in commands(block):
                check_command(line, [])
    assert not printed or shown, f"{page.name}: the output of the last block is missing"


def shrunk(text: str) -> str:
    """Return a block with smaller sizes, which run quickly."""
    text = re.sub(r"\b\d+_000\b", "300", text)  # particle counts
    text = re.sub(r"(dm\.morph\(.*?, particles=300)(\)|, callback)", r"\1, windows=3\2", text)
    text = re.sub(r"dx=0\.\d+", "dx=0.5", text).replace("range(25)", "range(1)")
    return text.replace("save_pictures(result, folder)", "save_pictures(result, folder, size=32)")


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result for pages that use one without creating it."""
    return dm.morph("sphere", "box", particles=150, windows=2).save(tmp_path_factory.mktemp("results") / "spot")


@pytest.fixture
def two_meshes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the mesh files that the pages use in the current folder."""
    trimesh = pytest.importorskip("trimesh")
    monkeypatch.chdir(tmp_path)
    for name, shape in (("sphere", "sphere"), ("bunny", "box")):
        mesh = dm.shapes.make(shape)
        trimesh.Trimesh(mesh.vertices * 4.0, mesh.triangles, process=False).export(tmp_path / f"{name}.obj")
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "spot.obj", tmp_path / "examples")
    return tmp_path


STANDING_ALONE = [
    pytest.param(page, block, id=f"{page_name(page)}-{block.line}")
    for page in PAGES
    if page not in TUTORIALS
    for block in blocks(page)
    if block.language == "python"
]


@pytest.mark.parametrize(("page", "block"), STANDING_ALONE)
def test_block_runs_alone(page: Path, block: Block, two_meshes: Path) -> None:
    if needs_torch(block.text):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    if "view.Viewer(" in block.text:
        pytest.importorskip("viser", reason="viser is not installed")
    if '"cuda"' in block.text and _core.cuda_device_count() == 0:
        pytest.skip(f"CUDA: {_core.cuda_status()}")
    run_python(Block("python", shrunk(block.text), block.line), page, {"__name__": "block"})


@pytest.mark.parametrize("page", [page for page in PAGES if page not in TUTORIALS], ids=page_name)
def test_commands_run(page: Path, two_meshes: Path, spot: Path) -> None:
    shutil.copytree(spot, two_meshes / "spot")
    for block in blocks(page):
        if block.language == "sh":
            for line in commands(block):
                check_command(line, SMALLER.get(line.split()[1] if " " in line else "", []))


def test_every_block_has_a_check() -> None:
    for page in PAGES:
        for block in blocks(page):
            directive = block.language.startswith("{")
            known = {"python", "sh", *CHECKED_ELSEWHERE} | ({"output"} if page in TUTORIALS else set())
            assert directive or block.language in known, f"{page.name}:{block.line}: {block.language or 'no language'}"
            if block.language in ("cpp", "diff"):
                assert page == DOCS / "tutorials" / "add_material.md", f"{page.name}:{block.line}: {block.language}"


def commands(block: Block) -> list[str]:
    """Return the commands of a block: one per line, without comments, split at '&&' and joined at '\\'."""
    lines = re.sub(r"\\\n", " ", block.text).splitlines()
    joined = [line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    return [part.strip() for line in joined for part in line.split("&&")]


def check_command(line: str, smaller: list[str]) -> None:
    """Run a command of this package in the current folder, or check the arguments of another command."""
    words = shlex.split(line)
    if words[0] == "diffmpm":
        return run_command(words[1:], smaller)
    checks: dict[str, Callable[[list[str]], None]] = {
        "pip install": check_pip,  # tests/build and .ci/run install the package
        "cmake": check_preset,  # tests/build and the stage cpp of .ci/run configure, build and install
        "ctest": check_preset,
        "python": check_script,  # tests/examples runs the examples; benchmarks and tools run on demand
        ".ci/run": check_stages,
    }
    for start, check in checks.items():
        if f"{line} ".startswith(f"{start} "):
            return check(words)
    # Needed to run this test, or run by tests/docs/test_manual.py (sphinx-build).
    others = ("git clone", "python3 -m venv", ". .venv/bin/activate", "cd ", "pytest", "sphinx-build", "cibuildwheel")
    assert line.startswith(others), f"no check for the command {line!r}"


def run_command(words: list[str], smaller: list[str]) -> None:
    if words[0] == "view" or "--live" in words:
        return  # waits for a browser; see tests/unit/view
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        repeated = words[0] == "morph" and "--resume" not in words  # a page may use one folder several times
        status = main([*words, *smaller, *(["--overwrite"] if repeated else [])])
    if status != 0:  # the message must name an extra that is not installed
        missing = re.search(r"pip install 'diffmpm\[(\w+)\]'", errors.getvalue())
        assert missing is not None, f"diffmpm {shlex.join(words)}: {errors.getvalue()}"
        package = {extra: name for name, extra in EXTRAS.items()}[missing[1]]
        assert importlib.util.find_spec(package) is None, errors.getvalue()


def check_pip(words: list[str]) -> None:
    groups = re.findall(r"\[([\w,-]+)\]", " ".join(words))
    assert {name for group in groups for name in group.split(",")} <= extras(), words


def check_preset(words: list[str]) -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text("utf-8"))
    names = {preset["name"] for key in ("configurePresets", "buildPresets", "testPresets") for preset in presets[key]}
    if "--preset" in words:
        assert words[words.index("--preset") + 1] in names, words


def check_script(words: list[str]) -> None:
    source = (ROOT / words[1]).read_text("utf-8")
    for word in words[2:]:
        if word.startswith("--"):
            assert f'"{word}"' in source, f"{words[1]} has no option {word}"


def check_stages(words: list[str]) -> None:
    for stage in words[1:]:
        assert f"stage_{stage}()" in (ROOT / ".ci" / "run").read_text("utf-8"), f".ci/run has no stage {stage}"
