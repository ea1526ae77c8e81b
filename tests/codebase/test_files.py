# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Every source file: its header, and nothing that belongs to one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLASHES = {".cpp", ".hpp", ".cu", ".cuh", ".js"}
SUFFIXES = {".py", ".cmake", *SLASHES}
FOLDERS = ("cpp", "python", "tests", "cmake", "benchmarks", "examples", "docs")


def sources() -> list[Path]:
    found = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES or path.name == "CMakeLists.txt"
    ]
    return sorted([ROOT / "CMakeLists.txt", *found])


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_spdx_header(path: Path) -> None:
    mark = "//" if path.suffix in SLASHES else "#"
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0].startswith("#!"):
        lines = lines[1:]
    assert re.fullmatch(rf"{mark} SPDX-FileCopyrightText: \d{{4}} .+", lines[0])
    assert lines[1] == f"{mark} SPDX-License-Identifier: MIT"


def test_version_stands_in_pyproject_alone() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert version[1] not in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    import diffmpm

    assert diffmpm.__version__ == version[1]
    minor = version[1].rpartition(".")[0]
    for name in ("examples/cpp/CMakeLists.txt", "docs/install.md"):
        asked = re.findall(r"find_package\(diffmpm ([\d.]+) ", (ROOT / name).read_text(encoding="utf-8"))
        assert asked == [minor], f"{name}: expected the minor version of pyproject.toml, {minor}"


def test_changelog_fragments_have_a_kind_that_a_release_collects() -> None:
    kinds = re.findall(r'\{ directory = "(\w+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folder = ROOT / "docs" / "changelog.d"
    fragments = {path.name for path in folder.iterdir()} - {"README.md", "template.md.jinja"}
    for name in fragments:
        assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(kinds)})\.md", name), name
        assert (folder / name).read_text(encoding="utf-8").strip(), f"{name} is empty"


def test_no_global_cmake_commands() -> None:
    banned = re.compile(
        r"^\s*(file\s*\(\s*GLOB|include_directories|add_definitions|add_compile_options|link_libraries)"
    )
    for path in sources():
        if path.name == "CMakeLists.txt" or path.suffix == ".cmake":
            for n, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                assert not banned.match(line), f"{path.relative_to(ROOT)}:{n}: {line.strip()}"
