# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Repeated work does not grow the process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

SCRIPT = """
import gc, sys
import numpy as np
import diffmpm as dm

PAGE = __import__("resource").getpagesize()
rng = np.random.default_rng(0)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * PAGE

def morph():
    dm.morph("sphere", "box", particles=64, cell_particles=3, steps=3, windows=1)

def rollout():
    roll = dm.Simulation(BODY, CONFIG).rollout(10, np.zeros((10, 2000, 3, 3), np.float32))
    roll.vjp(adj_x=np.ones((2000, 3), np.float32), wrt="all")

def raster():
    image = dm.rasterize(X, covars=COVARS, opacities=0.8, colors=X, cameras=CAMERA)
    image.vjp(adj_color=image.color, wrt="all")

def surface():
    g = dm.gaussians(BODY.x, BODY.F, samples=2000)
    g.vjp(adj_means=g.means)

def files():
    dm.load_mesh(sys.argv[2] + "/box.ply").volume

def failures():
    for bad in (lambda: dm.gaussians(np.zeros((3000, 3)), np.zeros((3000, 3, 3))),
                lambda: dm.Simulation(BODY, CONFIG).rollout(10, np.full((1, 2000, 3, 3), -9.0, np.float32))):
        try:
            bad()
        except dm.DiffMPMError:
            continue
        raise AssertionError

def torch():
    import torch, diffmpm.torch as dmt
    module = dmt.Rollout(dm.Simulation(BODY, CONFIG), steps=5, learn=("control", "mu"))
    dmt.kinetic(module().v).backward()
    x = torch.from_numpy(X).requires_grad_()
    opacities = torch.full((800,), 0.8)
    dmt.rasterize(x, covars=torch.from_numpy(COVARS), opacities=opacities, colors=x, cameras=CAMERA)[0].sum().backward()

BODY = dm.sample("box", particles=2000)
CONFIG = dm.SimConfig(dx=0.2, dt=1e-3)
X = rng.normal(size=(800, 3)).astype(np.float32)
COVARS = np.tile(np.float32(0.01) * np.eye(3, dtype=np.float32), (800, 1, 1))
CAMERA = dm.Camera.look_at((0, -8, 2), (0, 0, 0), width=96, height=64)

work, rounds = globals()[sys.argv[1]], int(sys.argv[3])
for _ in range(max(5, rounds // 3)):
    work()
before = resident()
for _ in range(rounds):
    work()
print(resident() - before)
"""
SLACK = 2 << 20
"""Bytes: measured up to 0.27 MB, times 8 for other allocators. Fifty lost trajectories would be 80 MB, images 5 MB."""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="this system does not tell the resident memory")
@pytest.mark.parametrize("work", ["morph", "rollout", "raster", "surface", "files", "failures", "torch"])
def test_fifty_rounds_do_not_grow_the_process(work: str, tmp_path) -> None:
    if work == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import diffmpm as dm
    from diffmpm import export

    box = dm.shapes.make("box")
    export.write_mesh(tmp_path / "box.ply", box.vertices, box.triangles)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", SCRIPT, work, str(tmp_path), "50"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    assert grown < SLACK, f"{grown / 1e6:.1f} MB more after 50 rounds"


DROPPED = """
import gc
import diffmpm as dm

PAGE = __import__("resource").getpagesize()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * PAGE
simulation = dm.Simulation(dm.sample("box", particles=3000), dm.SimConfig(dx=0.2, dt=1e-3))
simulation.rollout(3)
start = resident()
rollouts = [simulation.rollout(60) for _ in range(30)]
most = resident()
rollouts.clear()
gc.collect()
print(most - start, resident() - start)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="this system does not tell the resident memory")
def test_dropped_rollouts_release_their_memory() -> None:
    """All memory but 256 MiB, which the core caches, and as much cached by malloc."""
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    most, rest = map(int, done.stdout.split())
    assert most > 700 << 20
    assert rest < 350 << 20, f"{rest / 1e6:.0f} MB of {most / 1e6:.0f} MB"
