# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Fixtures of all tests; also puts this folder on the import path, for `mirror`, `scenes` and `tolerances`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

# Thousands of tiny rollouts: threads that spin between them would fight for the cores with whatever else runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell that starts the tests in its background tells them to ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator, the same for every test."""
    return np.random.default_rng(20260101)


@pytest.fixture
def mirror() -> ModuleType:
    """The PyTorch mirror; the test is skipped without torch."""
    pytest.importorskip("torch", reason="the mirror is written in PyTorch, which is not installed")
    import mirror
    import torch

    torch.set_num_threads(1)  # tiny tensors: more threads only get in the way of the core

    return mirror


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of meshes beside the repository; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("no folder of meshes beside the repository")
    return SHARED
