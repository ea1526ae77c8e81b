# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Types as a strict checker sees them: the package and programs of users pass, and mistakes are found."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed; pip install -e '.[dev]'")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FRAMEWORKS = all(importlib.util.find_spec(name) for name in ("torch", "jax"))
USERS = ["user.py", "user_frameworks.py"] if FRAMEWORKS else ["user.py"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a strict run over the package and the programs of this folder says, without notes."""
    files = [ROOT / "python" / "diffmpm", *(HERE / name for name in (*USERS, "mistakes.py"))]
    options = ["--config-file", "pyproject.toml", "--cache-dir", tmp_path_factory.mktemp("cache"), "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *map(str, (*options, *files))]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return [line for line in result.stdout.splitlines() if ": note: " not in line]


def test_package_and_programs_of_users_pass(report: list[str]) -> None:
    assert [line for line in report if "mistakes.py" not in line] == []


def test_mistakes_are_found(report: list[str]) -> None:
    errors = {
        (int(n), code) for n, code in re.findall(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]$", "\n".join(report), re.M)
    }
    expected = set()
    for n, line in enumerate((HERE / "mistakes.py").read_text("utf-8").splitlines(), 1):
        codes = re.search(r"# \[(.+)\]$", line)
        expected |= {(n, code) for code in codes[1].split(", ")} if codes else set()
    assert errors == expected


@pytest.mark.parametrize("name", USERS)
def test_the_programs_run(name: str) -> None:
    result = subprocess.run([sys.executable, str(HERE / name)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
