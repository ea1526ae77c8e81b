# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A process forked after native work must not hang; it continues on one thread."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, warnings
import numpy as np
import diffmpm as dm

warnings.simplefilter("ignore")
x = np.random.default_rng(0).uniform(4.0, 12.0, (20000, 3))
body = dm.Particles.create(x, mass=1.0, volume=0.025, lam=1e3, mu=1e3)
config = dm.SimConfig(dx=1.0, dt=1e-3, origin=(0.0, 0.0, 0.0), dims=(17, 17, 17), gravity=(0.0, 0.0, -9.8))
work = lambda: dm.Simulation(body, config).rollout(steps=2).x.copy()
dm.set_num_threads(4)
before = work()
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(before, work()) and dm.get_num_threads() == 1 else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(before, work()) and dm.get_num_threads() == 4
sys.exit(os.waitstatus_to_exitcode(status))
"""


TORCH = """
import os, time
import torch
import diffmpm as dm

body = dm.sample("box", particles=20000)
dm.Simulation(body, dm.SimConfig(dx=0.1, dt=1e-3)).rollout(2)
child = os.fork()
if child == 0:
    torch.rand(3_000_000).sum()
    os._exit(0)
end, done = time.monotonic() + 60, 0
while not done and time.monotonic() < end:
    done, status = os.waitpid(child, os.WNOHANG)
    time.sleep(0.05)
if not done:
    os.kill(child, 9)
    os.waitpid(child, 0)
assert done and status == 0
dm.Simulation(body, dm.SimConfig(dx=0.1, dt=1e-3)).rollout(2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PyTorch and the core share libgomp on Linux")
def test_forked_child_works_with_torch() -> None:
    """Threads of the core end before a fork, so that PyTorch does not wait for them."""
    pytest.importorskip("torch")
    result = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_finishes_and_agrees() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
