# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The installed type stub matches the compiled module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from diffmpm import _core

STUB = Path(_core.__file__).with_name("_core.pyi")
if not STUB.exists():
    pytest.skip("sanitized and cross-compiled builds have no stub", allow_module_level=True)


def test_stub_is_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("nanobind", reason="nanobind, which generates the stub, is not installed")
    fresh = tmp_path / "_core.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "diffmpm._core", "-o", str(fresh)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert STUB.read_text("utf-8") == fresh.read_text("utf-8")


def test_stub_is_complete() -> None:
    names = set()
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
    assert names == {name for name in vars(_core) if not name.startswith("__")}
