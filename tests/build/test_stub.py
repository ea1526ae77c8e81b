# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The type stub of the compiled module: what lies beside the module is what the module says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from diffmpm import _core

STUB = Path(_core.__file__).with_name("_core.pyi")
if not STUB.exists():
    pytest.skip("this build made no stub (a sanitized or a cross-compiled one)", allow_module_level=True)


def test_stub_is_that_of_the_module(tmp_path: Path) -> None:
    pytest.importorskip("nanobind", reason="nanobind, which writes the stub, is not installed")
    fresh = tmp_path / "_core.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "diffmpm._core", "-o", str(fresh)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert STUB.read_text("utf-8") == fresh.read_text("utf-8")


def test_stub_names_everything() -> None:
    named = set()
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            named.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            named.add(ast.unparse(node.target))
    assert named == {name for name in vars(_core) if not name.startswith("__")}
