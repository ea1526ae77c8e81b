# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Differentiable MPM: morph one solid shape into another by exact elastodynamics."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

# Idle threads of libgomp spin for milliseconds, which makes a step up to ten times slower on a busy machine. A short
# spin costs an idle machine nothing. libgomp reads the variable when it is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

try:
    from . import _core as _core
    from ._build_info import VERSION as __version__
except ImportError as error:  # pragma: no cover - needs a broken installation
    raise ImportError(
        f"diffmpm: its compiled module could not be loaded ({error}); install the package with 'pip install .', "
        "and do not import it from the source folder"
    ) from error

# Public names by module, "" for submodules, as the stub lists them for type checkers.
with open(os.path.join(os.path.dirname(__file__), "__init__.pyi"), encoding="utf-8") as _stub:
    _LAZY = {name: module for module, name in re.findall(r"^from \.(\w*) import (\w+) as \2$", _stub.read(), re.M)}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that 'import diffmpm' costs no more than the compiled module."""
    if name not in _LAZY:
        from ._deprecated import renamed_names

        return renamed_names(__name__, Views="TargetViews")(name, stacklevel=4)
    module = importlib.import_module(f".{_LAZY[name] or name}", __name__)
    value = globals()[name] = getattr(module, name) if _LAZY[name] else module
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
