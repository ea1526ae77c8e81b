# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The table of benchmarks/device_report.py: isolated sections, and figures compared with targets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from diffmpm import _core

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "device_report.py"
OUTPUT = """copy 3009 GB/s, read and written
quadratic, 512 particles: 1838.3 million particle-steps/s forward, 621.7 forward + backward
kernel, one by one            time [us]        MB      GB/s   of copy   GFLOP/s
"""


def report(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(SCRIPT), "--small", "--json", str(folder / "report.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads((folder / "report.json").read_text("utf-8"))


def test_image_losses_run_on_the_device(tmp_path: Path) -> None:
    status, sections = report(tmp_path, "--only", "device,losses")
    assert status == 0
    assert list(sections) == ["device", "losses"]
    assert len(sections["losses"]) == 11
    assert all(row["value"] > 0.0 for row in sections["losses"])


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a script of the shell")
def test_failures_are_rows(tmp_path: Path) -> None:
    program = tmp_path / "benchmark"
    program.write_text(f"#!/bin/sh\ncat <<END\n{OUTPUT}END\n")
    program.chmod(0o755)
    status, sections = report(tmp_path, "--only", "step", "--benchmark", str(program))
    assert status == 0
    assert [row["value"] for row in sections["step"]] == [1838.3, 621.7]
    program.write_text("#!/bin/sh\necho no device >&2\nexit 1\n")
    status, sections = report(tmp_path, "--only", "step,device", "--benchmark", str(program))
    assert status == 1
    assert [row["failure"] for row in sections["step"]] == ["no device"]
    assert sections["device"][1]["value"] == _core.cuda_device_count()
    program.write_text("#!/bin/sh\nsleep 60\n")
    status, sections = report(tmp_path, "--only", "step", "--benchmark", str(program), "--limit", "5")
    assert status == 1
    assert sections["step"][0]["failure"].startswith("stopped after 5 s")
