# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Build options: values, fallbacks and errors. Configures the C++ core in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CMAKE = shutil.which("cmake")


def configure(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Configure the core; return the status and the output on one line."""
    if CMAKE is None:
        pytest.skip("cmake is not installed; it is needed to configure a build")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DIFFMPM_", "Torch_"))}
    # AUTO would run the CUDA compiler in every test.
    clean |= {"PYTHONPATH": "", "NO_COLOR": "1", "DIFFMPM_WITH_CUDA": "OFF"} | environment
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    result = subprocess.run(
        [CMAKE, *generator, "-S", str(ROOT), "-B", str(folder / "build"), "-DDIFFMPM_BUILD_TESTS=OFF", *options],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
    )
    return result.returncode, " ".join((result.stdout + result.stderr).split())


@pytest.fixture
def fake_torch(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with the files of torch that the build looks for."""
    package = tmp_path / "site" / "torch"
    header = package / "include" / "torch" / "headeronly" / "version.h"
    config = package / "share" / "cmake" / "Torch" / "TorchConfig.cmake"
    for path in (header, config):
        path.parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    numbers = zip(("MAJOR", "MINOR", "PATCH"), (2, 13, 0), strict=True)
    header.write_text("".join(f"#define TORCH_VERSION_{name} {value}\n" for name, value in numbers))
    config.write_text('set(TORCH_INCLUDE_DIRS "${CMAKE_CURRENT_LIST_DIR}/../../../include")\n')
    return package.parent


@pytest.mark.parametrize("name", ["DIFFMPM_WITH_TORCH", "DIFFMPM_WITH_CUDA"])
@pytest.mark.parametrize("value", ["maybe", "2"])
@pytest.mark.parametrize("how", ["option", "environment"])
def test_other_values_are_errors_that_name_the_option(tmp_path: Path, name: str, value: str, how: str) -> None:
    if how == "option":
        status, text = configure(tmp_path, f"-D{name}={value}")
    else:
        status, text = configure(tmp_path, **{name: value})
    assert status != 0
    assert f"{name}: expected AUTO, ON or OFF (or 1/0), got '{value}'" in text


@pytest.mark.parametrize("value", ["0", "OFF", "off", "False"])
def test_off(tmp_path: Path, fake_torch: Path, value: str) -> None:
    status, text = configure(tmp_path, DIFFMPM_WITH_TORCH=value, PYTHONPATH=str(fake_torch))
    assert status == 0, text
    assert "PyTorch support OFF (turned off by DIFFMPM_WITH_TORCH) [DIFFMPM_WITH_TORCH=OFF]" in text


@pytest.mark.parametrize("value", ["1", "ON", "AUTO", "auto", ""])
def test_torch_of_the_interpreter_is_found(tmp_path: Path, fake_torch: Path, value: str) -> None:
    status, text = configure(tmp_path, DIFFMPM_WITH_TORCH=value, PYTHONPATH=str(fake_torch))
    assert status == 0, text
    assert "PyTorch support ON (built with PyTorch 2.13.0)" in text


@pytest.mark.parametrize("variable", ["DIFFMPM_TORCH_ROOT", "CMAKE_PREFIX_PATH", "Torch_DIR"])
def test_torch_of_a_named_folder_is_found(tmp_path: Path, fake_torch: Path, variable: str) -> None:
    folder = fake_torch / "torch" / ("share/cmake/Torch" if variable == "Torch_DIR" else "")
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=ON", f"-D{variable}={folder}")
    assert status == 0, text
    assert "PyTorch support ON (built with PyTorch 2.13.0)" in text


def test_torch_config_that_requires_cuda_does_not_stop_the_build(tmp_path: Path, fake_torch: Path) -> None:
    config = fake_torch / "torch" / "share" / "cmake" / "Torch" / "TorchConfig.cmake"
    config.write_text('message(FATAL_ERROR "Your installed Caffe2 version uses CUDA")\n')
    status, text = configure(tmp_path, PYTHONPATH=str(fake_torch))
    assert status == 0, text
    assert "PyTorch support ON (built with PyTorch 2.13.0)" in text
    assert "Caffe2" not in text


def test_auto_falls_back_with_one_line(tmp_path: Path) -> None:
    status, text = configure(tmp_path, f"-DDIFFMPM_TORCH_ROOT={tmp_path}")
    assert status == 0, text
    assert text.count("-- PyTorch support OFF:") == 1
    assert "holds no share/cmake/Torch/TorchConfig.cmake; install torch >= 2.4, or set DIFFMPM_TORCH_ROOT" in text


def test_on_fails_without_torch(tmp_path: Path) -> None:
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=ON", f"-DDIFFMPM_TORCH_ROOT={tmp_path}")
    assert status != 0
    assert "DIFFMPM_WITH_TORCH=ON, but" in text
    assert "or use DIFFMPM_WITH_TORCH=AUTO" in text


def test_torch_that_is_too_old_is_refused(tmp_path: Path, fake_torch: Path) -> None:
    header = fake_torch / "torch" / "include" / "torch" / "headeronly" / "version.h"
    header.write_text(header.read_text().replace("MINOR 13", "MINOR 1"))
    status, text = configure(tmp_path, PYTHONPATH=str(fake_torch))
    assert status == 0, text
    assert "PyTorch support OFF (PyTorch 2.1.0 is older than 2.4)" in text


def fake_nvcc(folder: Path, complaint: str) -> str:
    """Return the path of a CUDA compiler that always fails."""
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_cuda_auto_builds_without_a_compiler_that_does_not_work(tmp_path: Path) -> None:
    complaint = "host_config.h:157:2: error: #error -- unsupported GNU version! gcc versions later than 12"
    compiler = fake_nvcc(tmp_path, complaint)
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=OFF", DIFFMPM_WITH_CUDA="AUTO", CUDACXX=compiler)
    assert status == 0, text
    assert f"-- CUDA backend OFF: the CUDA compiler does not work: {complaint}" in text
    assert f"CUDA backend OFF (the CUDA compiler does not work: {complaint}) [DIFFMPM_WITH_CUDA=AUTO]" in text
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=OFF", DIFFMPM_WITH_CUDA="ON", CUDACXX=compiler)
    assert status != 0
    assert f"DIFFMPM_WITH_CUDA=ON, but the CUDA compiler does not work: {complaint}" in text
    assert "or use DIFFMPM_WITH_CUDA=AUTO" in text


@pytest.mark.parametrize("value", ["AUTO", "ON"])
def test_cuda_without_a_compiler(tmp_path: Path, value: str) -> None:
    missing = str(tmp_path / "none")
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=OFF", DIFFMPM_WITH_CUDA=value, CUDACXX=missing)
    assert (status == 0) == (value == "AUTO"), text
    assert ("-- CUDA backend OFF:" in text) == (value == "AUTO")
    assert ("DIFFMPM_WITH_CUDA=ON, but" in text) == (value == "ON")
    assert "CUDACXX" in text


def test_environment_changes_are_followed_and_options_win(tmp_path: Path, fake_torch: Path) -> None:
    for value, mode in (("0", "OFF"), ("ON", "ON"), ("AUTO", "AUTO")):
        status, text = configure(tmp_path, DIFFMPM_WITH_TORCH=value, PYTHONPATH=str(fake_torch))
        assert status == 0, text
        assert f"[DIFFMPM_WITH_TORCH={mode}]" in text
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=OFF", DIFFMPM_WITH_TORCH="ON")
    assert status == 0, text
    assert "[DIFFMPM_WITH_TORCH=OFF]" in text


def test_summary_ends_the_configure_step(tmp_path: Path) -> None:
    status, text = configure(tmp_path, "-DDIFFMPM_WITH_TORCH=OFF")
    assert status == 0, text
    for row in ("compiler", "instruction sets base", "OpenMP", "CUDA backend", "PyTorch support", "Python module"):
        assert f"-- {row}" in text
