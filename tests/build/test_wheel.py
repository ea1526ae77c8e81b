# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The contents, requirements and linked libraries of the wheel."""

from __future__ import annotations

import email
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import diffmpm
import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = {"numpy", "scipy", "pillow", "matplotlib", "tqdm", "nanobind-backend", "tomli"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel DIFFMPM_WHEEL if it is set; otherwise build one."""
    if existing := os.environ.get("DIFFMPM_WHEEL"):
        return zipfile.ZipFile(existing)
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed; it is needed to build a wheel")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(ROOT)]
    if all(importlib.util.find_spec(name) for name in ("scikit_build_core", "nanobind", "nanobind_backend")):
        command += ["--no-build-isolation", f"-Cbuild-dir={out / 'build'}"]
    environment = os.environ | {"DIFFMPM_WITH_TORCH": "OFF", "DIFFMPM_WITH_CUDA": "OFF"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode and "No matching distribution" in result.stderr:
        pytest.skip("the build requirements cannot be downloaded here")
    assert result.returncode == 0, result.stderr
    return zipfile.ZipFile(next(out.glob("diffmpm-*.whl")))


@pytest.mark.slow
def test_wheel_contains_the_package(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (ROOT / "python" / "diffmpm").rglob("*.py"):
        assert f"diffmpm/{path.relative_to(ROOT / 'python' / 'diffmpm').as_posix()}" in names
    assert {"diffmpm/_build_info.py", "diffmpm/_core.pyi", "diffmpm/py.typed"} <= names
    assert any(re.fullmatch(r"diffmpm/_core(\.abi3)?\.(so|pyd)", name) for name in names)


@pytest.mark.slow
def test_wheel_contains_nothing_else(wheel: zipfile.ZipFile) -> None:
    info = f"diffmpm-{diffmpm.__version__}.dist-info/"
    for name in wheel.namelist():
        assert name.startswith(("diffmpm/", info)), name
        assert not name.endswith((".cpp", ".hpp", ".cu", ".o", ".a", ".pyc", ".txt.in")), name


@pytest.mark.slow
def test_wheel_supports_python_3_10_and_newer(wheel: zipfile.ZipFile) -> None:
    tags = wheel.read(f"diffmpm-{diffmpm.__version__}.dist-info/WHEEL").decode()
    assert "Tag: cp310-abi3-" in tags


@pytest.mark.slow
def test_wheel_requires_no_development_tools(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"diffmpm-{diffmpm.__version__}.dist-info/METADATA").decode()
    required = email.message_from_string(text).get_all("Requires-Dist") or []
    names = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in required if "extra ==" not in line}
    assert names == RUNTIME


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_module_does_not_link_torch() -> None:
    readelf = shutil.which("readelf") or shutil.which("ldd")
    if readelf is None:
        pytest.skip("neither readelf nor ldd is installed")
    command = [readelf, "-d"] if readelf.endswith("readelf") else [readelf]
    text = subprocess.run([*command, str(diffmpm._core.__file__)], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in text
    assert not re.search(r"torch|libc10|cudart|libpython", text)
    assert "RPATH" not in text and "RUNPATH" not in text
