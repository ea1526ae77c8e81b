# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Device memory of rollouts in bytes per particle, forward and backward, and the error when it is exhausted.

    python benchmarks/device_memory.py --particles 16000000 --steps 16 --budget 8

Runs a cube with 8 particles per cell in float32 forward without a trajectory, and forward and backward with one within
a budget in GiB. Then requests more memory than any device has.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np
from diffmpm import _core

PER_CELL = 2  # along an axis


def body_of(particles: int, basis: str) -> tuple[dm.Particles, dm.SimConfig]:
    """Return a cube of about this many particles, 8 per cell, and its options."""
    edge = round(particles ** (1 / 3) / PER_CELL / 4) * 4 or 4  # cells; whole blocks of 4
    axis = (np.arange(PER_CELL * edge, dtype=np.float32) + np.float32(0.5)) / np.float32(PER_CELL)
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + np.float32(4.0)
    config = dm.SimConfig(dx=1.0, dt=1e-3, origin=(0.0, 0.0, 0.0), dims=(edge + 9,) * 3, basis=basis)
    v = np.zeros_like(x)
    v[:, 0] = 0.1 * np.sin(x[:, 1])
    return dm.Particles.create(x, v=v, mass=0.125, volume=0.125, lam=1e3, mu=1e3), config


def measured(call: Callable[[], Any], device: int) -> tuple[Any, float, int, int]:
    """Return the result of a call, its seconds, and the additional bytes in use: at the peak and afterwards."""
    gc.collect()
    wait(device)
    before = _core.memory_use(device, reset_peak=True)[2]
    start = time.perf_counter()
    result = call()
    wait(device)
    seconds, after = time.perf_counter() - start, _core.memory_use(device)
    return result, seconds, after[3] - before, after[2] - before


def wait(device: int) -> None:
    """Wait for the stream, which also frees its memory."""
    dm.to_device(np.zeros(1), device=f"cuda:{device}").numpy()


def measure(particles: int, steps: int, budget: int, basis: str, device: str) -> dict[str, float]:
    """Print and return bytes per particle."""
    host, config = body_of(particles, basis)
    n, sizes = host.count, {}
    number = int(dm.to_device(np.zeros(1), device=device).device[5:])
    body, _, _, size = measured(lambda: host.to(device), number)
    sizes["inputs"] = size / n
    simulation = dm.Simulation(body, config)
    print(f"{n:,} particles, {basis}, float32, {steps} steps, budget {budget / 2**30:.1f} GiB, {body.device}")
    print(f"  inputs (x, v, C, F and properties)       {sizes['inputs']:7.1f} B per particle")

    def show(name: str, call: Callable[[], Any]) -> Any:
        result, seconds, peak, retained = measured(call, number)
        sizes[name], sizes[f"{name}, retained"] = peak / n, retained / n
        rate = n * steps / seconds / 1e6
        print(f"  {name:<40} peak {peak / n:7.1f}, then {retained / n:7.1f}; {seconds:6.2f} s, {rate:,.0f} M/s")
        return result

    roll = show("forward, no trajectory", lambda: simulation.rollout(steps, differentiable=False))
    assert np.isfinite(roll.x[:1000].numpy()).all()
    roll = None
    roll = show("forward", lambda: simulation.rollout(steps, memory_budget=budget))
    print(f"  {roll.stored_layers} of {steps + 1} states stored")
    adj = roll.x * (1.0 / n)
    gradient = show("backward by x", lambda: roll.vjp(adj_x=adj, wrt=("x", "v")))
    assert np.isfinite(gradient.v[:1000].numpy()).all()
    gradient = None
    if "emulated" in _core.cuda_status():
        return sizes  # emulated memory is unlimited
    try:
        simulation.rollout(1 << 20, memory_budget=1 << 60)
    except MemoryError as error:
        print(f"  beyond the device: MemoryError: {error}")
    else:
        raise AssertionError("a trajectory of a million states was stored")
    again = show("backward by x, again", lambda: roll.vjp(adj_x=adj, wrt=("x",)))
    assert np.isfinite(again.x[:1000].numpy()).all()
    return sizes


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--budget", type=float, default=8.0, help="GiB for the trajectory")
    parser.add_argument("--basis", default="quadratic", choices=("quadratic", "cubic"))
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    measure(args.particles, args.steps, int(args.budget * 2**30), args.basis, args.device)


if __name__ == "__main__":
    main()
