# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians as compressed .sog files, which the program splat-transform reads and writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ..errors import MissingPackageError, OutputError


def find_transform() -> str:
    """Return the path of splat-transform.

    Raises:
        MissingPackageError: If it is not installed.
    """
    program = shutil.which("splat-transform")
    if program is None:
        raise MissingPackageError(
            "splat-transform: needed for .sog files and not installed; npm install -g @playcanvas/splat-transform"
        )
    return program


def transform(source: Path, target: Path) -> None:
    """Convert a file of Gaussians to the format of another suffix; a GPU is used where there is one.

    Raises:
        MissingPackageError: If splat-transform is not installed.
        OutputError: If it fails.
    """
    command = [find_transform(), "--quiet", "--overwrite"]
    paths = [str(source.resolve()), str(target.resolve())]
    for device in ([], ["--gpu", "cpu"]):
        run = subprocess.run([*command, *device, *paths], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if run.returncode == 0 and target.exists():
            return
    lines = [line.strip() for line in (run.stderr or run.stdout).splitlines() if line.strip()]
    reason = lines[0] if lines else str(run.returncode)
    raise OutputError(f"{target.name}: splat-transform failed ({reason})")
