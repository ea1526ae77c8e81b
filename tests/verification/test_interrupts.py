# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Ctrl-C interrupts every long native call; calls that would take too long or too much memory are refused."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LATEST = 0.5
"""Maximum seconds from Ctrl-C to its exception; polling is every 50 ms."""
COUNT = 100_000


def tetrahedra(count: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 1e-3
    vertices = (np.random.default_rng(0).random((count, 1, 3)) + corners).reshape(-1, 3)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    return vertices, (np.arange(count)[:, None, None] * 4 + faces).reshape(-1, 3).astype(np.int32)


def needles(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a solid between a circle and two distant points, with very long triangles."""
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    i, j = np.arange(count), np.roll(np.arange(count), -1)
    top, bottom = np.full(count, count), np.full(count, count + 1)
    triangles = np.concatenate([np.stack([i, j, top], axis=1), np.stack([j, i, bottom], axis=1)])
    return np.vstack([ring, [[0, 0, 1e6], [0, 0, -1e6]]]), triangles.astype(np.int32)


def long_calls() -> dict[str, Callable[[], object]]:
    import diffmpm as dm
    from diffmpm import _core
    from diffmpm.surface.config import SurfaceConfig, native_params

    rng = np.random.default_rng(0)
    points = rng.random((COUNT, 3))
    eyes = np.tile(np.eye(3), (COUNT, 1, 1))
    vertices, triangles = tetrahedra(20_000)
    tree = _core.PointTree(points)
    params = native_params(SurfaceConfig())
    x = (0.1 * rng.normal(size=(3000, 3))).astype(np.float32)
    covars = np.tile(np.float32(900.0) * np.eye(3, dtype=np.float32), (3000, 1, 1))
    camera = dm.Camera.look_at((0, -8, 2), (0, 0, 0), width=512, height=512)

    def draw() -> Any:
        return dm.rasterize(x, covars=covars, opacities=0.005, colors=np.abs(x), cameras=camera)

    image = draw()
    cotangent = np.ones_like(image.color)
    image.vjp(adj_color=cotangent, wrt="all")  # the first allocation of huge pages is slow
    body = dm.sample("box", particles=30_000)
    simulation = dm.Simulation(body, dm.SimConfig(dx=0.08, dt=1e-4))
    roll = simulation.rollout(4)
    adj_x = np.ones_like(body.x)
    axes = np.tile(np.eye(3)[None, :2], (16, 1, 1))
    marked = (rng.random((160, 160, 160)) < 1e-5).astype(np.uint8)
    pictures = np.zeros((8, 1024, 1024), np.uint8)

    def repeat(call: Callable[[], object]) -> Callable[[], object]:
        """Return a function that repeats a native call until Ctrl-C."""

        def run() -> None:
            end = time.perf_counter() + 20.0
            while time.perf_counter() < end:
                call()

        return run

    calls: dict[str, Callable[[], object]] = {
        "topology": lambda: _core.mesh_topology(vertices, triangles),
        "winding": lambda: _core.winding_number(vertices, triangles, points, False),
        "inside": lambda: _core.points_inside(vertices, triangles, points),
        "sampling": lambda: _core.sample_cells(vertices, triangles, (0.0, 0.0, 0.0), 1 / 100, (100, 100, 100), 1.0, 0),
        "thinning": lambda: _core.thin_evenly(points, COUNT // 2, 0),
        "tree": lambda: _core.PointTree(points),
        "nearest": lambda: tree.nearest(points),
        "neighbours": lambda: tree.neighbour_distance(16),
        "silhouettes": lambda: _core.silhouettes(points, (0.0, 0.0, 0.0), 1.0, axes, 1024),
        "filled": lambda: _core.filled_pixels(pictures),
        "distance": lambda: _core.distance_to_marked(marked),
        "binding": lambda: _core.surface_bind(points, eyes, COUNT, 0, params, None),
        "outer": lambda: _core.surface_outer(points, params),
        "rasterize": draw,
        "rasterize vjp": lambda: image.vjp(adj_color=cotangent, wrt="all"),
        "rollout": lambda: simulation.rollout(200),
        "rollout vjp": lambda: roll.vjp(adj_x=adj_x),
    }
    return {name: repeat(call) for name, call in calls.items()}


def test_every_native_call_is_interrupted_in_time() -> None:
    for name, call in long_calls().items():
        fired: list[float] = []

        def interrupt(fired: list[float] = fired) -> None:
            fired.append(time.perf_counter())
            _thread.interrupt_main()

        timer = threading.Timer(0.05, interrupt)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                call()
            late = time.perf_counter() - fired[0]
        finally:
            timer.cancel()
            timer.join()
        assert late < LATEST, f"{name}: {late:.2f} s late"


def test_long_overlapping_triangles_are_refused() -> None:
    import diffmpm as dm

    with pytest.raises(dm.ConfigError, match=r"mesh: expected inside tests that visit .* very long: remesh"):
        dm.sample(needles(250_000), particles=500)


def test_lists_beyond_the_memory_are_refused() -> None:
    """If Gaussians cover the image, every tile lists all of them."""
    import diffmpm as dm

    edge, count = 4096, 60_000
    x = np.zeros((count, 3), np.float32)
    covars = np.tile(np.float32(900.0) * np.eye(3, dtype=np.float32), (count, 1, 1))
    camera = dm.Camera.look_at((0, -8, 2), (0, 0, 0), width=edge, height=edge)
    free = dm._core.available_memory()
    if free == 0 or count * (edge / 16) ** 2 * 18 < free / 2:
        pytest.skip("the free memory is sufficient or unknown")
    with pytest.raises(dm.ConfigError, match=r"means: expected Gaussians .* (memory|4294967295)"):
        dm.rasterize(x, covars=covars, opacities=0.5, colors=np.ones_like(x), cameras=camera)


@pytest.mark.parametrize("steps", [-1, 2**31, 2**40, 2**61, 2**80, 1.5, "7"])
def test_invalid_number_of_steps(steps: Any) -> None:
    import diffmpm as dm

    simulation = dm.Simulation(dm.sample("box", particles=20), dm.SimConfig(dx=0.2, dt=1e-3))
    with pytest.raises(dm.ConfigError, match=r"^steps: expected an integer"):
        simulation.rollout(steps)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint64, np.float64])
def test_numpy_numbers_are_counts(dtype: Any) -> None:
    import diffmpm as dm

    simulation = dm.Simulation(dm.sample("box", particles=20), dm.SimConfig(dx=0.2, dt=1e-3))
    assert simulation.rollout(dtype(3), memory_budget=dtype(100)).steps == 3


ALLOCATIONS = """
import resource, sys
import numpy as np
import diffmpm as dm
from diffmpm import _core

dm.set_num_threads(2)
rng = np.random.default_rng(0)
axes = np.tile(np.eye(3)[None, :2], (8, 1, 1))
points = rng.random((1000, 3))
marked = np.zeros((8, 2048, 2048), np.uint8)
marked[0, 0, 0] = 1
calls = [lambda: _core.silhouettes(points, (0.0, 0.0, 0.0), 1.0, axes, 8192),
         lambda: _core.filled_pixels(marked),
         lambda: _core.distance_to_marked(marked)]
_core.filled_pixels(marked[:2, :9, :9].copy())  # starts the threads
failed = 0
for extra in range(0, 1 << 28, 1 << 24):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    for call in calls:
        resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))
        try:
            call()
        except MemoryError:
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
assert failed > 10, failed
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")
def test_failed_allocations_on_threads_are_memory_errors() -> None:
    done = subprocess.run([sys.executable, "-c", ALLOCATIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"
