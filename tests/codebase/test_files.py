# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""License headers, the version number, changelog fragments and CMake commands."""

from __future__ import annotations

import re
from pathlib import Path

import diffmpm

ROOT = Path(__file__).parents[2]
COMMENTS = {".cpp": "//", ".hpp": "//", ".cu": "//", ".cuh": "//", ".js": "//", ".py": "#", ".cmake": "#"}
FOLDERS = ("cpp", "python", "tests", "tools", "cmake", "benchmarks", "examples", "integrations", "docs")


def sources() -> list[Path]:
    """Return the source files of the repository."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [ROOT / "CMakeLists.txt", *(p for p in paths if p.suffix in COMMENTS or p.name == "CMakeLists.txt")]


def test_license_headers() -> None:
    wrong = []
    for path in sources():
        mark = COMMENTS.get(path.suffix, "#")
        header = rf"(#!.*\n)?{mark} SPDX-FileCopyrightText: \d{{4}} .+\n{mark} SPDX-License-Identifier: MIT\n"
        if not re.match(header, path.read_text("utf-8")):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


def test_version_is_defined_once() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert version[1] not in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert diffmpm.__version__ == version[1]
    minor = version[1].rpartition(".")[0]
    for name in ("examples/cpp/CMakeLists.txt", "docs/install.md"):
        required = re.findall(r"find_package\(diffmpm ([\d.]+) ", (ROOT / name).read_text(encoding="utf-8"))
        assert required == [minor], f"{name}: expected the minor version of pyproject.toml, {minor}"


def test_changelog_fragments_have_a_known_type() -> None:
    types = re.findall(r'\{ directory = "(\w+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folder = ROOT / "docs" / "changelog.d"
    fragments = {path.name for path in folder.iterdir()} - {"README.md", "template.md.jinja"}
    for name in fragments:
        assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(types)})\.md", name), name
        assert (folder / name).read_text(encoding="utf-8").strip(), f"{name} is empty"


def test_no_global_cmake_commands() -> None:
    banned = re.compile(
        r"^\s*(file\s*\(\s*GLOB|include_directories|add_definitions|add_compile_options|link_libraries)"
    )
    for path in sources():
        if path.name == "CMakeLists.txt" or path.suffix == ".cmake":
            for n, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                assert not banned.match(line), f"{path.relative_to(ROOT)}:{n}: {line.strip()}"
