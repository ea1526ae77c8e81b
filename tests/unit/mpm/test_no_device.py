# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Without a CUDA device whatever asks for one is refused, and says why."""

from __future__ import annotations

import re
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.cli import main
from diffmpm.errors import ConfigError, DeviceError


@pytest.fixture(autouse=True)
def reason() -> str:
    if _core.cuda_device_count() > 0:
        pytest.skip("there is a device: see tests/parity")
    return re.escape(_core.cuda_status())


def test_arrays_and_particles_are_refused(reason: str) -> None:
    refused = rf"device: expected a usable CUDA device, got none \({reason}\)"
    for call in (lambda: dm.to_device(np.ones(3)), lambda: dm.sample("box", particles=100).to("cuda")):
        with pytest.raises(DeviceError, match=refused):
            call()


def test_a_morph_is_refused_before_it_begins(reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match=rf"device: expected a usable CUDA device, got none \({reason}\); pass cpu"):
        dm.morph("sphere", "no-such-mesh", device="cuda")
    assert main(["morph", "sphere", "box", "--device", "cuda", "--out", str(tmp_path / "out")]) == 2
    assert re.search(f"diffmpm morph: device: .*{reason}", capsys.readouterr().err)
    with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N or auto, got 'gpu'"):
        dm.MorphConfig(device="gpu")  # type: ignore[arg-type]


def test_auto_is_the_cpu() -> None:
    result = dm.morph("sphere", "box", particles=100, windows=1, steps=2, device="auto")
    assert result.history[0]["device"] == "cpu"
