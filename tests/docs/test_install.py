# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The installation page lists every build option, environment variable, extra and preset."""

from __future__ import annotations

import json
import re
from pathlib import Path

from manual import DOCS, ROOT, extras

TEXT = (DOCS / "install.md").read_text("utf-8")
SOURCES = {".py", ".cpp", ".hpp", ".cu", ".cuh", ".cmake", ".toml", ".txt", ".in"}


def sources(*folders: str) -> dict[Path, str]:
    files = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES]
    return {path: path.read_text("utf-8") for path in files}


def rows() -> set[str]:
    """Return the names in the first column of the tables and in the definition lists."""
    return set(re.findall(r"`([A-Z]+_[A-Z_]+)`", "\n".join(re.findall(r"^(?:\| )?`[A-Z].*$", TEXT, re.MULTILINE))))


def test_build_options_are_documented() -> None:
    cmake = "".join(text for path, text in sources("cmake", "cpp").items() if path.suffix != ".py")
    options = set(re.findall(r"(?:option|diffmpm_tristate)\(\s*(DIFFMPM_\w+)", cmake))
    options |= set(re.findall(r"set\((DIFFMPM_\w+) [^)]*\bCACHE (?:STRING|PATH|BOOL)", cmake))
    options |= env_of_pyproject()
    assert len(options) >= 9
    assert options <= rows(), options - rows()


def env_of_pyproject() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return {name for pair in re.findall(r'env = "(\w+)"|if\.env\.(\w+)', text) for name in pair if name}


def test_environment_variables_are_documented() -> None:
    read = set()
    for text in sources("python", "cpp", "cmake", "tests", "tools", "benchmarks", "examples").values():
        read |= set(
            re.findall(r"""(?:environ(?:\.get)?[\[(]|getenv\(|setdefault\(|ENV\{)\s*["']?([A-Z][A-Z_]+)""", text)
        )
        read |= set(re.findall(r'"([A-Z]+_[A-Z_]+)" (?:not )?in os\.environ', text))
    # Variables of other programs.
    read -= {"PATH", "CMAKE_BUILD_PARALLEL_LEVEL", "PYENV_ROOT", "PYTHONPATH", "CXX", "CUDA_PATH", "CUDAARCHS"}
    assert {"DIFFMPM_ISA", "DIFFMPM_TORCH_OPERATORS", "GOMP_SPINCOUNT"} <= read
    assert read <= rows(), read - rows()


def test_documented_names_exist() -> None:
    everything = "".join(sources("python", "cpp", "cmake", "tests", "tools").values())
    for page in (ROOT / "README.md", DOCS / "install.md"):
        for name in re.findall(r"`(DIFFMPM_\w+)[`=]", page.read_text("utf-8")):
            assert re.search(rf"\b{name}\b", everything), f"{page.name}: {name}"


def test_extras_are_documented() -> None:
    assert len(extras()) >= 8
    for extra in extras():
        assert re.search(rf"^\| `{extra}` \|", TEXT, re.MULTILINE), extra


def test_presets_are_documented() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text("utf-8"))["configurePresets"]
    for preset in presets:
        if not preset.get("hidden"):
            assert re.search(rf"^\| `{preset['name']}` \|", TEXT, re.MULTILINE), preset["name"]
