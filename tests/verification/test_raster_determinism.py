# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Images and gradients are bitwise identical for any number of threads; instruction sets differ by rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from raster_scenes import OUTPUTS, GaussianScene, make_scene, poses, pull_back, relative, run
from scenes import assert_same_bits

DTYPES = (np.float32, np.float64)


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    yield
    dm.set_num_threads(None)


def crowd(rng: np.random.Generator) -> GaussianScene:
    """Return 3,000 Gaussians, many of equal depth, over images of many tiles from two cameras."""
    n, width, height = 3000, 150, 110
    d = rng.standard_normal((n, 3))
    means = d / np.linalg.norm(d, axis=1, keepdims=True) * [0.9, 0.7, 0.8]
    means[: n // 2] = np.round(means[: n // 2], 1)
    viewmats = poses(rng, 2)
    viewmats[0] = np.eye(4)
    viewmats[0, 2, 3] = 3.0
    inputs = {
        "means": means, "quats": rng.standard_normal((n, 4)), "scales": rng.uniform(0.005, 0.06, (n, 3)),
        "opacities": rng.uniform(0.0, 1.2, n), "colors": rng.uniform(size=(n, 3)), "viewmats": viewmats,
        "backgrounds": rng.uniform(size=(2, 3)),
    }  # fmt: skip
    K = np.array([[150.0, 0, 71], [0, 160.0, 52], [0, 0, 1]])
    shapes = {"color": (2, height, width, 3), "alpha": (2, height, width), "depth": (2, height, width)}
    return GaussianScene(inputs, K, {k: rng.standard_normal(s) for k, s in shapes.items()}, width, height)


def results(scene: GaussianScene, dtype: Any) -> dict[str, np.ndarray]:
    raster = run(scene, dtype)
    out = {name: getattr(raster, name).copy() for name in OUTPUTS}
    out |= {name: np.array(getattr(raster.meta, name)) for name in ("means2d", "radii", "depths", "tile_entries")}
    return out | {f"gradient of {name}": g for name, g in pull_back(raster, scene, dtype).items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_thread_count(dtype: Any, rng: np.random.Generator) -> None:
    scene = crowd(rng)
    dm.set_num_threads(1)
    expected = results(scene, dtype)
    for threads in (1, 2, 3, 8):
        dm.set_num_threads(threads)
        for name, value in results(scene, dtype).items():
            assert_same_bits(value, expected[name], f"{name} with {threads} threads")


def test_results_own_their_memory_and_inputs_are_not_modified(rng: np.random.Generator) -> None:
    scene = crowd(rng)
    arrays = [*scene.inputs.values(), *scene.cotangents.values()]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    raster = run(scene)
    color, copy = raster.color, raster.color.copy()
    first = pull_back(raster, scene)
    again = pull_back(raster, scene)
    del raster
    run(make_scene(rng))
    np.testing.assert_array_equal(color, copy)
    for name, gradient in first.items():
        assert_same_bits(again[name], gradient, name)
    for a, before in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, before)


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_raster_determinism import crowd, results
import diffmpm as dm
print(dm._core.instruction_set())
scene = crowd(np.random.default_rng(20260101))
types = (np.float32, np.float64)
np.savez(sys.argv[1], **{f"{d.__name__} {k}": v for d in types for k, v in results(scene, d).items()})
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for isa in ("base", "avx2", "avx512"):
        path = os.pathsep.join([str(tests.parent), str(tests)])
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / f"{isa}.npz"), str(tests.parent)],
            env={**os.environ, "DIFFMPM_ISA": isa, "PYTHONPATH": path}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        with np.load(tmp_path / f"{isa}.npz") as file:
            arrays[done.stdout.strip()] = dict(file)
    if len(arrays) < 2:
        pytest.skip(f"this machine supports only one instruction set: {next(iter(arrays))}")
    base = arrays["base"]
    for name, values in arrays.items():
        for key, expected in base.items():
            single = key.startswith("float32")
            bound = tol.RASTER_SINGLE_PRECISION if single else tol.RASTER_MIRROR
            if "gradient" in key and single:
                bound *= 10  # 3,000 opacities at the clamp, and both sides round
            assert relative(values[key], np.asarray(expected, np.float64)) <= bound, f"{name}: {key}"
