# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Scripts that run in Blender, in a process of their own: it has its own OpenMP and never unloads."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(scope="session")
def run_in_blender(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that runs a script of `scripts` with bpy and returns the JSON that it writes."""
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("bpy is not installed; '.ci/run blender' installs it")

    def run(script: str, *arguments: object) -> Any:
        folder = tmp_path_factory.mktemp("blender")
        out = folder / "out.json"
        environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")}
        command = [sys.executable, str(SCRIPTS / script), str(out), *map(str, arguments)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert process.returncode == 0, process.stdout + process.stderr
        return json.loads(out.read_text("utf-8"))

    return run
