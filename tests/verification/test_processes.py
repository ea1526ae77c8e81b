# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Behaviour that only another process or another thread can show: instruction sets, shared rollouts, Ctrl-C."""

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
    r = dm.morph("sphere", "box", particles=400, cells=6, steps=3, windows=8, tolerance=0, optimizer=optimizer)
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
    """Every set that this machine has, against the lowest; other orders of fused operations, nothing else."""
    results = {}
    for name in ("base", "avx2", "avx512"):
        path = tmp_path / f"{name}.npz"
        done = execute(RESULTS, str(path), DIFFMPM_ISA=name)
        assert done.returncode == 0, done.stderr
        with np.load(path) as stored:
            results[name] = {key: stored[key] for key in stored.files}
    for name in ("avx2", "avx512"):
        for key, value in results["base"].items():
            # 6 steps and back: measured 1e-13 and 5e-5 over random scenes, times 10 and 4
            assert_same_vector(results[name][key], value, 1e-12 if "float64" in key else 2e-4, f"{name}: {key}")


def test_morphs_do_not_depend_on_the_threads_of_the_blas() -> None:
    """NumPy's BLAS splits long sums over its threads."""
    alone, both = (execute(MORPH, OPENBLAS_NUM_THREADS=n, MKL_NUM_THREADS=n, OMP_NUM_THREADS=n) for n in "12")
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout == both.stdout


def test_rollout_shared_by_threads() -> None:
    """Python threads that use one rollout at once get the right results (in a process of their own: it may crash)."""
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
