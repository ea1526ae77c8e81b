# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Where the memory of a device is full: an error that says so, and nothing lost."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import raster_scenes
from diffmpm import _core
from emulated import Emulation
from parity.test_devices import PROGRAMS
from scenes import assert_same_bits, host, on, pull_back, run, travelling_scene

SCENE = travelling_scene(np.random.default_rng(0), "quadratic")


def bits(results: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: host(array) for name, array in results.items()}


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, array in expected.items():
        assert_same_bits(got[name], array, name)


def assert_survives(call: Callable[[], dict[str, Any]], emulated: Emulation, kept: int = 0, each: int = 1) -> None:
    """Let one allocation after the other fail, or only each so many: a MemoryError that leaks and changes nothing.

    `kept` bytes more may be in use then: work space that goes from one layer to another.
    """
    expected = bits(call())
    count = emulated.failing(0, call)[1]
    gc.collect()
    used = emulated.used()
    assert count > 0
    for k in range(1, count + 1, each):
        found, _ = emulated.failing(k, call)
        assert found is None, f"allocation {k} of {count} did not matter"
        gc.collect()
        assert emulated.used() <= used + kept, f"allocation {k} of {count}"
        if k % max(1, count // 4) == 0:
            assert_same(bits(call()), expected)
    assert_same(bits(call()), expected)
    gc.collect()
    assert emulated.used() == used


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_allocation_may_fail(program: str, emulated: Emulation) -> None:
    assert_survives(lambda: PROGRAMS[program]("cuda:0"), emulated)


def test_a_rollout_survives_what_is_asked_of_it(emulated: Emulation) -> None:
    roll = run(SCENE, np.float32, "cuda:0", memory_budget=1)

    def ask() -> dict[str, Any]:
        layers = {f"x_{n}": roll.state(n).x for n in (0, SCENE.steps // 2, SCENE.steps)}
        return layers | pull_back(roll, SCENE, np.float32)

    assert_survives(ask, emulated, kept=1 << 14, each=7)


def test_images_survive_what_is_asked_of_them(emulated: Emulation) -> None:
    scene = raster_scenes.make_scene(np.random.default_rng(0), "opaque")
    image = raster_scenes.run(scene, np.float32, "cuda:0")
    assert_survives(lambda: raster_scenes.pull_back(image, scene, np.float32), emulated)


def test_the_message_says_what_was_asked_for_and_what_there_is(emulated: Emulation) -> None:
    free = (1 << 20) + emulated.used()
    with emulated.limited(free):
        x = on("cuda:0", np.zeros((30_000, 3)))
        expected = r"^cuda:0: expected 703.12 KiB of device memory, got 320.\d\d KiB free of 1.\d\d MiB; drop arrays"
        with pytest.raises(MemoryError, match=expected):
            x.copy()
        y = x[:10_000].copy()  # what fits still does
        with pytest.raises(MemoryError, match="got 86"):
            x.copy()
    assert_same_bits(y.numpy(), np.zeros((10_000, 3)))


def test_a_body_that_does_not_fit_stays_where_it_is(emulated: Emulation) -> None:
    body = dm.sample("box", particles=5000)
    with emulated.limited(emulated.used() + 300_000):
        with pytest.raises(MemoryError, match="of device memory"):
            body.to("cuda")
        gc.collect()
        small = dm.sample("box", particles=500).to("cuda")
    assert (body.device, small.device) == ("cpu", "cuda:0")
    with emulated.limited(emulated.used() + (3 << 20)):
        simulation = dm.Simulation(small, dm.SimConfig(dx=0.2, dt=1e-3))
        with pytest.raises(MemoryError, match="of device memory"):
            simulation.rollout(60, memory_budget=1 << 40)
        gc.collect()
        simulation.rollout(60)  # recomputed within a quarter of what there is


def test_the_command_line_says_it(emulated: Emulation, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from diffmpm.cli import main

    arguments = ["morph", "sphere", "box", "--particles", "500", "--device", "cuda", "--out", str(tmp_path / "out")]
    with emulated.limited(emulated.used() + 50_000):
        assert main(arguments) == 1
    assert "diffmpm morph: out of memory: cuda:0: expected" in capsys.readouterr().err


def grown(call: Callable[[], Any]) -> tuple[Any, int, int]:
    """Return a result, and the bytes that were in use at most and are in use with it, beyond those before."""
    gc.collect()
    before = _core.memory_use(0, reset_peak=True)[2]
    result = call()
    _, _, used, peak = _core.memory_use(0)
    return result, peak - before, used - before


@pytest.mark.parametrize("cubic", [False, True])
def test_bytes_of_a_particle(cubic: bool, device: str, emulated: Emulation) -> None:
    """Of the parts of docs/cuda.md; tiles and grid weigh more here, where a body has few blocks.

    On a device benchmarks/device_memory.py measures them: its pool rounds, and gives back in the order of the stream.
    """
    axis = (5.25 if cubic else 4.75) + 0.5 * np.arange(16, dtype=np.float32)  # 8 a cell, in 8 full blocks
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    n, layer = len(x), 24 * 4
    config = dm.SimConfig(
        dx=1.0, dt=1e-3, origin=(0.0, 0.0, 0.0), dims=(20,) * 3, basis="cubic" if cubic else "quadratic"
    )
    body, _, size = grown(lambda: dm.Particles.create(x, mass=0.1, volume=0.1, lam=1e3, mu=1e3).to(device))
    assert size == n * (layer + 16)
    simulation = dm.Simulation(body, config)
    work = 2 * 16 + 4 + 176  # constants twice, order, tiles and grid
    end, peak, kept = grown(lambda: simulation.rollout(12, differentiable=False))
    assert peak <= n * (3 * layer + work)
    assert kept <= n * (2 * layer + work)
    del end
    peaks = []
    for steps in (12, 24):
        roll, forward, kept = grown(lambda steps=steps: simulation.rollout(steps, memory_budget=6 * n * layer))
        assert forward <= n * (7 * layer + work)
        _, backward, _ = grown(lambda roll=roll: roll.vjp(adj_x=roll.x, wrt="x"))
        peaks.append(kept + backward)
        del roll
    assert peaks[1] <= n * (14 * layer + work)
    assert peaks[1] <= 1.1 * peaks[0]
