# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The installed CMake package: its files, and a project that uses it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import diffmpm
import pytest

ROOT = Path(__file__).parents[2]
CMAKE = shutil.which("cmake")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CMAKE is None, reason="cmake is not installed; it is needed to build the C++ core"),
]


def cmake(*arguments: str | Path) -> str:
    """Run cmake and return its output; fail if cmake fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIFFMPM_")}
    command = [str(CMAKE), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def configure(source: Path, build: Path, *options: str) -> None:
    """Configure a project, with Ninja if it is installed."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    cmake(*generator, "-S", source, "-B", build, *options)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return DIFFMPM_PREFIX if it is set; otherwise build and install the core."""
    if installed := os.environ.get("DIFFMPM_PREFIX"):
        return Path(installed)
    folder = tmp_path_factory.mktemp("package")
    # Without optimisation, for speed.
    options = ("-DCMAKE_BUILD_TYPE=Debug", "-DDIFFMPM_BUILD_TESTS=OFF")
    options += ("-DDIFFMPM_WITH_TORCH=OFF", "-DDIFFMPM_WITH_CUDA=OFF")
    configure(ROOT, folder / "build", *options)
    cmake("--build", folder / "build", "--parallel", os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "2"))
    cmake("--install", folder / "build", "--prefix", folder / "prefix")
    shutil.rmtree(folder / "build")
    return folder / "prefix"


def test_every_public_header_is_installed(prefix: Path) -> None:
    headers = {path.relative_to(ROOT / "cpp" / "include") for path in (ROOT / "cpp" / "include").rglob("*.hpp")}
    assert {path.relative_to(prefix / "include") for path in (prefix / "include").rglob("*.hpp")} == headers


def test_installed_files_contain_no_source_path(prefix: Path) -> None:
    files = list(prefix.rglob("*.cmake"))
    assert {"diffmpm-config.cmake", "diffmpm-config-version.cmake", "diffmpm-targets.cmake"} <= {p.name for p in files}
    for path in files:
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name


def test_version_matches_the_python_package(prefix: Path) -> None:
    text = next(prefix.rglob("diffmpm-config-version.cmake")).read_text(encoding="utf-8")
    version = re.search(r'set\(PACKAGE_VERSION "(.+)"\)', text)
    assert version is not None
    assert re.match(r"\d+\.\d+\.\d+", diffmpm.__version__)[0] == version[1]  # CMake versions have no suffix such as rc1


def test_example_links_the_core_and_runs(prefix: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved here"  # the package must be relocatable
    shutil.copytree(prefix, moved)
    configure(ROOT / "examples" / "cpp", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}")
    cmake("--build", tmp_path / "build")
    environment = os.environ | {"GOMP_SPINCOUNT": "10000"}
    program = shutil.which("throw_block", path=f"{tmp_path / 'build'}{os.pathsep}{tmp_path / 'build' / 'Release'}")
    assert program is not None
    result = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the gradient is exact and the goal is reached" in result.stdout


@pytest.mark.parametrize("version", ["0.99", "9"])
def test_another_version_is_refused(prefix: Path, tmp_path: Path, version: str) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(asks LANGUAGES CXX)\n"
        f'find_package(diffmpm {version} CONFIG)\nmessage(STATUS "found=${{diffmpm_FOUND}}")\n'
    )
    text = cmake("-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert "found=0" in text
