# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""These tests need a CUDA device, or a build that emulates one on the CPU (DIFFMPM_EMULATE_CUDA)."""

from __future__ import annotations

import os

import pytest
from diffmpm import _core
from emulated import Emulation, emulation

os.environ.setdefault("DIFFMPM_EMULATED_DEVICES", "2")


@pytest.fixture(autouse=True)
def device() -> str:
    """Device to compare with the CPU."""
    if _core.cuda_device_count() == 0:
        pytest.skip(f"CUDA: {_core.cuda_status()}")
    return "cuda"


@pytest.fixture
def emulated() -> Emulation:
    """Access to emulated devices: their log of work, and failures on demand."""
    devices = emulation()
    if devices is None:
        pytest.skip("a real device has no log of its work, and cannot be made to fail")
    return devices


@pytest.fixture
def second_device() -> str:
    """A device that is not the current one."""
    if _core.cuda_device_count() < 2:
        pytest.skip("this machine has one device")
    return "cuda:1"
