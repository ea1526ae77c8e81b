# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Provenance of a result: program, command, machine, date and inputs."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import _build_info
from .._files import read_file
from ..geometry import Mesh, MeshLike, load_mesh, shapes


def provenance(path: Sequence[MeshLike]) -> dict[str, Any]:
    """Return version, command line, platform, date, and the SHA-256 digests of the shapes, as JSON types.

    The digest of a file is that of its content. The digest of arrays is that of vertices and triangles. Built-in shapes
    are part of the version and have no digest.
    """
    return {
        "version": _build_info.VERSION,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else "",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sha256": {
            "source": digest_of(path[0]),
            **({"via": [digest_of(shape) for shape in path[1:-1]]} if path[1:-1] else {}),
            "target": digest_of(path[-1]),
        },
    }


def digest_of(shape: MeshLike) -> str | None:
    """Return the SHA-256 digest of a shape, None for built-in shapes."""
    if isinstance(shape, str) and shape in shapes.names():
        return None
    digest = hashlib.sha256()
    if isinstance(shape, str | os.PathLike):
        try:
            digest.update(read_file(shape))
        except (OSError, ValueError):
            load_mesh(shape)  # raises the error of the argument
    else:
        mesh = shape if isinstance(shape, Mesh) else load_mesh(shape)
        for array in (mesh.vertices, mesh.triangles):
            digest.update(array.tobytes())
    return digest.hexdigest()
