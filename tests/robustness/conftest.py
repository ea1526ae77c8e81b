# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Number of examples: few and deterministic by default; DIFFMPM_FUZZ=100 multiplies it by 100."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

FUZZ = max(1, int(os.environ.get("DIFFMPM_FUZZ", "1")))


@pytest.fixture
def fuzz() -> int:
    """Factor of the number of examples."""
    return FUZZ


settings.register_profile(
    "diffmpm",
    max_examples=25 * FUZZ,
    derandomize=FUZZ == 1,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.load_profile("diffmpm")
