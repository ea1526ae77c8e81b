# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The documents: their Python blocks run, their reference is complete, their links and pages exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import diffmpm as dm
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_blocks() -> list[object]:
    found = [(page, n, text) for page in PAGES for n, text in enumerate(BLOCK.findall(page.read_text("utf-8")), 1)]
    return [pytest.param(text, id=f"{page.stem}-{n}") for page, n, text in found]


@pytest.mark.parametrize("text", python_blocks())
def test_python_blocks_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if re.search(r"^import (torch|diffmpm\.torch)|_torch\(", text, re.MULTILINE):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    code = re.sub(r"\b\d+_000\b", "300", text)  # particle counts
    code = re.sub(r"(dm\.morph\(.*?, particles=300)\)", r"\1, windows=3)", code)
    code = re.sub(r"dx=0\.\d+", "dx=0.5", code).replace("range(25)", "range(1)")
    code = code.replace("save_pictures(result, folder)", "save_pictures(result, folder, size=32)")
    code = re.sub(r'"(\w+)\.obj"', r'"\1.ply"', code)
    monkeypatch.chdir(tmp_path)
    for name, shape in (("sphere", "sphere"), ("bunny", "box")):
        write_mesh(tmp_path / f"{name}.ply", dm.shapes.make(shape))
    exec(compile(code, "block", "exec"), {"__name__": "block"})


def write_mesh(path: Path, mesh: dm.Mesh) -> None:
    trimesh = pytest.importorskip("trimesh")
    trimesh.Trimesh(mesh.vertices * 4.0, mesh.triangles, process=False).export(path)


def test_readme_starts_with_one_installation_and_one_morph() -> None:
    first = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert first is not None
    install, morph = first[1].strip().split("\n")
    assert install == "pip install ."
    words = morph.split()
    assert words[:2] == ["diffmpm", "morph"]
    assert set(words[2:]) <= set(dm.shapes.names())


def test_reference_lists_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    listed = set(re.findall(r"auto(?:class|function|exception|module):: diffmpm\.(\w+)", text))
    assert set(dm.__all__) - listed - {"__version__", "geometry", "surface"} == set()


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text) + re.findall(r"^```\{image\} (\S+)", text, re.M):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_options_in_readme_exist() -> None:
    sources = "".join((ROOT / name).read_text("utf-8") for name in ("CMakeLists.txt", "pyproject.toml"))
    for page in (ROOT / "README.md", ROOT / "docs" / "install.md"):
        for option in re.findall(r"^\| `(DIFFMPM_\w+)`", page.read_text("utf-8"), re.M):
            assert option in sources, f"{page.name}: {option}"


@pytest.mark.slow
def test_manual_builds_without_warnings(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(ROOT / "docs"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
