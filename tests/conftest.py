# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Fixtures for all tests. Also adds this folder to the import path, for `mirror`, `scenes` and `tolerances`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

# Thousands of tiny rollouts: threads that spin between them would take the cores from other programs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Background jobs of a shell ignore SIGINT, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))

QUICK = """codebase gradient regression unit/export unit/geometry unit/losses unit/metrics unit/mpm unit/optimize
    unit/options unit/render unit/surface""".split()
"""Folders of the tests marked "quick"."""

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.hookimpl(tryfirst=True)  # before -m selects tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of some folders as quick, except slow ones."""
    folders = [Path(__file__).parent / name for name in QUICK]
    for item in items:
        if item.get_closest_marker("slow") is None and any(item.path.is_relative_to(folder) for folder in folders):
            item.add_marker("quick")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed for every test."""
    return np.random.default_rng(20260101)


@pytest.fixture
def mirror() -> ModuleType:
    """The PyTorch reference implementation; skips the test without torch."""
    pytest.importorskip("torch", reason="the reference implementation needs PyTorch")
    import mirror
    import torch

    torch.set_num_threads(1)  # the tensors are tiny

    return mirror


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` with meshes next to the repository; skips the test without it."""
    if not SHARED.is_dir():
        pytest.skip("no folder 'shared' with meshes next to the repository")
    return SHARED
