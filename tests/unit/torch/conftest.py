# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Test scenes as tensors; these tests need PyTorch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scenes


@pytest.fixture
def torch() -> ModuleType:
    """PyTorch; the test is skipped without it."""
    module: ModuleType = pytest.importorskip("torch", reason="PyTorch is not installed")
    return module


@pytest.fixture
def dmt(torch: ModuleType) -> ModuleType:
    """`diffmpm.torch`; needs PyTorch."""
    import diffmpm.torch

    return diffmpm.torch


def scene_inputs(scene: Any, torch: Any, dtype: Any = np.float64, grad: bool = True) -> dict[str, Any]:
    """Return every input of a scene as a leaf tensor, by the argument names of `rollout`."""
    return {
        name: torch.tensor(np.asarray(value, dtype=dtype), requires_grad=grad)
        for name, value in scene.inputs.items()
        if name != "G"
    }


def run(dmt: Any, scene: Any, inputs: dict[str, Any], **options: Any) -> Any:
    """Run a scene with tensors."""
    options = {"control_stride": scene.control_stride, "motion_gradient": True, **options}
    return dmt.rollout(scenes.configuration(scene), scene.steps, **inputs, **options)
