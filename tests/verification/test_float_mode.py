# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Results do not depend on the floating-point mode set by another library, and the mode is restored."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, hashlib, sys
import numpy as np
import diffmpm as dm

mode, threads = int(sys.argv[1], 16), int(sys.argv[2])
libm = ctypes.CDLL("libm.so.6")
state = ctypes.create_string_buffer(64)  # fenv_t of x86-64: MXCSR is its last word

def mxcsr(new=None):
    libm.fegetenv(state)
    old = int.from_bytes(state[28:32], "little")
    if new is not None:
        state[28:32] = new.to_bytes(4, "little")
        libm.fesetenv(state)
    return old

dm.set_num_threads(threads)
rng = np.random.default_rng(0)
body = dm.sample("box", particles=3000)
sim = dm.Simulation(body, dm.SimConfig(dx=0.15, dt=1e-3, gravity=(0, 0, -9.81)))
sim.rollout(2)  # starts the threads before the mode is set
control = rng.normal(size=(5, body.count, 3, 3)).astype(np.float32) * np.float32(1e-3)
adj = np.full((body.count, 3), 1e-30, np.float32)  # its products are denormal
X = rng.normal(size=(1000, 3)).astype(np.float32)
covars = np.tile(np.float32(0.01) * np.eye(3, dtype=np.float32), (1000, 1, 1))
camera = dm.Camera.look_at((0, -8, 2), (0, 0, 0), width=160, height=120)
opacities = np.full(1000, 0.8, np.float32)
colors, tiny = np.abs(X), np.full((120, 160, 3), 1e-30, np.float32)
binding = dm.surface.bind(body.x, body.F, samples=500)
binding.evaluate(body.x, body.F)  # converts the arrays of the binding
before = mxcsr()
mxcsr(before & 0x3F | 0x1F80 | mode)
roll = sim.rollout(15, control, control_stride=3)
g = roll.vjp(adj_x=adj, wrt="all")
image = dm.rasterize(X, covars=covars, opacities=opacities, colors=colors, cameras=camera)
gi = image.vjp(adj_color=tiny, wrt="all")
gs = binding.evaluate(body.x, body.F)
assert mxcsr() & 0xFFC0 == 0x1F80 | mode, hex(mxcsr())
mxcsr(before)
digest = hashlib.sha256()
for a in (roll.x, roll.F, g.control, g.x, g.mu, image.color, image.depth, gi.means, gi.colors, gs.means, gs.covars):
    digest.update(np.ascontiguousarray(a).tobytes())
print(digest.hexdigest())
"""
# Flush-to-zero with denormals-are-zero, then rounding down, up and to zero.
MODES = ("0", "8040", "2000", "4000", "6000")


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="sets the mode of x86-64 through glibc"
)
def test_results_do_not_depend_on_the_mode() -> None:
    digests = set()
    for mode in MODES:
        for threads in "12":
            command = [sys.executable, "-c", SCRIPT, mode, threads]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            digests.add(done.stdout)
    assert len(digests) == 1
