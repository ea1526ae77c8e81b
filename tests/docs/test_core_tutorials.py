# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The steps of the tutorials that change the core, applied to a copy of the sources, compile and pass their tests."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from manual import DOCS, ROOT, apply_edits

CORE_TUTORIALS = ("add_material", "add_boundary", "add_loss")
CPP_TESTS = {
    "add_material": ("mpm/test_material.cpp", "mpm/test_p2g.cpp"),
    "add_boundary": ("mpm/test_grid_update.cpp",),
    "add_loss": ("losses/test_grid_mass.cpp",),
}
"""C++ tests of the code that a tutorial adds."""


@pytest.fixture(scope="module")
def copy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with the steps of one tutorial applied."""
    name = getattr(request, "param", "add_material")
    root = tmp_path_factory.mktemp(name)
    for part in ("cpp", "tests", "python"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"))
    apply_edits(DOCS / "tutorials" / f"{name}.md", root)
    (root / "name").write_text(name)
    return root


def compiler() -> str:
    for name in (os.environ.get("CXX", ""), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler (g++ or clang++)")


def test_material_is_in_all_lists(copy: Path) -> None:
    config = runpy.run_path(
        str(copy / "python" / "diffmpm" / "config.py"), {"__package__": "diffmpm"}, "diffmpm.config"
    )
    assert config["MATERIALS"] == ("fixed_corotated", "neo_hookean", "log_neo_hookean")
    assert runpy.run_path(str(copy / "tests" / "scenes.py"))["MATERIALS"] == config["MATERIALS"]
    params = (copy / "cpp" / "include" / "diffmpm" / "mpm" / "params.hpp").read_text("utf-8")
    assert 'kMaterialNames[] = {"fixed_corotated", "neo_hookean", "log_neo_hookean"}' in params


@pytest.mark.parametrize("copy", CORE_TUTORIALS, indirect=True)
def test_steps_compile_and_pass_their_tests(copy: Path, tmp_path: Path) -> None:
    """The C++ tests of the tutorial pass with the modified headers."""
    if not Path("/usr/include/doctest/doctest.h").exists():
        pytest.skip("doctest is not installed (Debian: doctest-dev)")
    tests, program = copy / "tests" / "cpp", tmp_path / "program"
    sources = [tests / "main.cpp", *(tests / test for test in CPP_TESTS[(copy / "name").read_text()])]
    command = [
        compiler(),
        "-std=c++20",
        "-O0",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{tests}",
        f"-I{copy / 'cpp/include'}",
    ]
    built = subprocess.run([*command, *sources, "-o", program], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "0 failed" in result.stdout


@pytest.mark.parametrize("copy", ["add_boundary"], indirect=True)
def test_boundary_is_in_all_lists(copy: Path) -> None:
    config = runpy.run_path(
        str(copy / "python" / "diffmpm" / "config.py"), {"__package__": "diffmpm"}, "diffmpm.config"
    )
    scenes = runpy.run_path(str(copy / "tests" / "scenes.py"))
    assert scenes["BOUNDARIES"] == config["BOUNDARIES"]
    assert ("none", *scenes["MODES"]) == config["BOUNDARIES"]


def test_reference_stress_matches_the_energy(copy: Path, mirror: ModuleType, rng: np.random.Generator) -> None:
    """The stress that the tutorial adds to the reference implementation, against differences of the energy."""
    import torch

    added = runpy.run_path(str(copy / "tests" / "mirror.py"))["kirchhoff_stress"]
    F, step = np.eye(3) + 0.2 * rng.standard_normal((3, 3)), 1e-6
    lam, mu = 1.7, 0.9

    def energy(F: np.ndarray) -> float:
        J = np.linalg.det(F)
        return float(0.5 * mu * ((F * F).sum() - 3.0 - 2.0 * np.log(J)) + 0.5 * lam * (J - 1.0) ** 2)

    P = np.zeros((3, 3))
    for entry in np.ndindex(3, 3):
        change = np.zeros((3, 3))
        change[entry] = step
        P[entry] = (energy(F + change) - energy(F - change)) / (2 * step)
    inputs = (torch.tensor(value, dtype=torch.float64) for value in (F[None], [lam], [mu]))
    np.testing.assert_allclose(added(*inputs, "log_neo_hookean")[0].numpy(), P @ F.T, rtol=1e-7, atol=1e-8)
