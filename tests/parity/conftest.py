# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tests of this folder need a CUDA device, or a build that emulates one on the CPU (DIFFMPM_EMULATE_CUDA)."""

from __future__ import annotations

import pytest
from diffmpm import _core


@pytest.fixture(autouse=True)
def device() -> str:
    """The device that is compared with the CPU."""
    if _core.cuda_device_count() == 0:
        pytest.skip(f"CUDA: {_core.cuda_status()}")
    return "cuda"
