# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Behaviour across processes and threads: instruction sets, shared rollouts, Ctrl-C, OpenMP settings."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from scenes import BASES, assert_same_vector, make_scene, run

TESTS = Path(__file__).parents[1]

RESULTS = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from scenes import BASES, DTYPES, MATERIALS, STATE, make_scene, pull_back, run

out = {}
for basis in BASES:
    for material in MATERIALS:
        for dtype in DTYPES:
            scene = make_scene(np.random.default_rng(7), basis, material, "separate", "all", steps=6, per_clump=37)
            roll = run(scene, dtype)
            prefix = f"{basis} {material} {np.dtype(dtype).name} "
            out |= {prefix + name: getattr(roll, name) for name in STATE}
            out |= {prefix + "gradient of " + name: g for name, g in pull_back(roll, scene, dtype).items()}
np.savez(sys.argv[2], **out)
"""

MORPH = """
import hashlib
import diffmpm as dm

for optimizer in ("adam", "lbfgs"):
    r = dm.morph("sphere", "box", particles=400, cell_particles=3, steps=3, windows=8, tolerance=0, optimizer=optimizer)
    print(hashlib.sha256(r.x.tobytes()).hexdigest(), [row["terms"] for row in r.history])
"""

SHARED = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
sys.path.insert(0, sys.argv[1])
from scenes import pull_back, run, travelling_scene

scene = travelling_scene(np.random.default_rng(7), "cubic")
roll = run(scene, memory_budget=20_000)
expected = pull_back(roll, scene)
states = [roll.state(n).F for n in range(scene.steps + 1)]

def work(k):
    if k % 2:
        grads = pull_back(roll, scene)
        return all(np.array_equal(grads[name], expected[name]) for name in expected)
    n = k % (scene.steps + 1)
    return np.array_equal(roll.state(n).F, states[n])

with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(work, range(200)))
sys.exit(0 if all(results) else 3)
"""


def execute(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(TESTS), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_instruction_sets_agree(tmp_path: Path) -> None:
    """Compare each available instruction set with the baseline; they differ only by the order of fused operations."""
    results = {}
    for name in ("base", "avx2", "avx512"):
        path = tmp_path / f"{name}.npz"
        done = execute(RESULTS, str(path), DIFFMPM_ISA=name)
        assert done.returncode == 0, done.stderr
        with np.load(path) as stored:
            results[name] = {key: stored[key] for key in stored.files}
    for name in ("avx2", "avx512"):
        for key, value in results["base"].items():
            # 6 steps and their adjoint: measured 1e-13 and 5e-5 over random scenes, times 10 and 4
            assert_same_vector(results[name][key], value, 1e-12 if "float64" in key else 2e-4, f"{name}: {key}")


def test_morphs_do_not_depend_on_blas_threads() -> None:
    """The BLAS of NumPy splits long sums over its threads."""
    alone, both = (execute(MORPH, OPENBLAS_NUM_THREADS=n, MKL_NUM_THREADS=n, OMP_NUM_THREADS=n) for n in "12")
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout == both.stdout


def test_rollout_shared_by_threads() -> None:
    """Python threads can use one rollout at once; runs in a separate process because it may crash."""
    done = execute(SHARED)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"


@pytest.mark.parametrize("basis", BASES)
def test_interrupt(basis: str, rng: np.random.Generator) -> None:
    """Ctrl-C ends a rollout of 1e7 steps, and the simulation works afterwards."""
    scene = make_scene(rng, basis, "neo_hookean", "sticky", steps=4)
    still = scene.with_inputs(
        v=np.zeros_like(scene.inputs["v"]),
        C=np.zeros_like(scene.inputs["C"]),
        F=scene.inputs["G"],
        Fp=scene.inputs["G"],
        gravity=np.zeros(3),
        control=np.zeros((1, scene.count, 3, 3)),
    )
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(still, steps=10_000_000, differentiable=False)
    finally:
        timer.cancel()
        timer.join()
    assert np.isfinite(run(scene).x).all()


DAEMON = """
import threading, time
import diffmpm as dm

def morph():
    while True:
        dm.morph("sphere", "torus", particles=2000, windows=1)

for _ in range(2):
    threading.Thread(target=morph, daemon=True).start()
time.sleep(1)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_interpreter_exits_with_daemon_threads(attempt: int) -> None:
    """A daemon thread in native code must not abort the process at interpreter exit."""
    done = execute(DAEMON)
    assert (done.returncode, done.stderr) == (0, "")


ONE_ROLLOUT = """
import hashlib
import diffmpm as dm

body = dm.sample("box", particles=20000)
roll = dm.Simulation(body, dm.SimConfig(dx=0.1, dt=1e-3)).rollout(3)
roll.vjp(adj_x=roll.x)
print(dm.get_num_threads(), hashlib.sha256(roll.x.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "99999"), ("OMP_STACKSIZE", "16k"), ("OMP_STACKSIZE", "16384B")]
)
def test_odd_settings_of_openmp(name: str, value: str) -> None:
    """Settings that exhaust threads or stack must not crash the process."""
    expected = execute(ONE_ROLLOUT, OMP_NUM_THREADS="2").stdout.split()[1]
    done = execute(ONE_ROLLOUT, **{name: value})
    assert done.returncode == 0, done.stderr
    threads, digest = done.stdout.split()
    assert digest == expected
    assert int(threads) <= max(64, 4 * (os.cpu_count() or 1))


INDICES = """
import sys, threading
import numpy as np
import diffmpm as dm
from diffmpm import _core

body = dm.sample("box", particles=5000)
binding = dm.surface.bind(body.x, body.F, samples=20000)
parents = binding.parents.copy()
rest = (binding.offsets, binding.supports, binding.axes, binding.normals)
native = _core.BoundSurface64(parents, *rest, 5000, -1)
x, F = body.x.astype(np.float64), body.F.astype(np.float64)
adj = np.ones((20000, 3))
box = dm.shapes.make("sphere")
triangles = box.triangles.astype(np.int32).copy()
good, good_triangles = parents.copy(), triangles.copy()
stop = False

def write():
    while not stop:
        parents[:] = 2**30
        triangles[:] = -(2**30)
        parents[:] = good
        triangles[:] = good_triangles

writer = threading.Thread(target=write)
writer.start()
points = np.random.default_rng(0).random((2000, 3))
calls = (
    lambda: native.evaluate(x, F, 0.5),
    lambda: native.vjp(x, F, 0.5, adj, None, None, None),
    lambda: _core.points_inside(box.vertices, triangles, points),
    lambda: _core.mesh_topology(box.vertices, triangles),
)
for n in range(200):
    try:
        calls[n % 4]()
    except dm.ConfigError:
        pass
stop = True
writer.join()
"""


def test_indices_changed_by_another_thread() -> None:
    """Indices are validated and used in a copy, so a call either fails or is safe."""
    done = execute(INDICES)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"
