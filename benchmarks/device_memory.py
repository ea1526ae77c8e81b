# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Memory of a device that rollouts take: bytes a particle forward and backward, and what happens where it is full.

    python benchmarks/device_memory.py --particles 16000000 --steps 16 --budget 8

A cube of particles, 8 a cell, float32, is run forward without a trajectory, and forward and backward with one inside of
a budget of GiB. Then as much is asked for as no device has.
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
    """Return a cube of about so many particles, 8 a cell, and its options."""
    edge = round(particles ** (1 / 3) / PER_CELL / 4) * 4 or 4  # cells; whole blocks of 4
    axis = (np.arange(PER_CELL * edge, dtype=np.float32) + np.float32(0.5)) / np.float32(PER_CELL)
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + np.float32(4.0)
    config = dm.SimConfig(dx=1.0, dt=1e-3, origin=(0.0, 0.0, 0.0), dims=(edge + 9,) * 3, basis=basis)
    v = np.zeros_like(x)
    v[:, 0] = 0.1 * np.sin(x[:, 1])
    return dm.Particles.create(x, v=v, mass=0.125, volume=0.125, lam=1e3, mu=1e3), config


def measured(call: Callable[[], Any], device: int) -> tuple[Any, float, int, int]:
    """Return a result, the seconds it took, and bytes beyond those before: in use at most, and in use then."""
    gc.collect()
    wait(device)
    before = _core.memory_use(device, reset_peak=True)[2]
    start = time.perf_counter()
    result = call()
    wait(device)
    seconds, after = time.perf_counter() - start, _core.memory_use(device)
    return result, seconds, after[3] - before, after[2] - before


def wait(device: int) -> None:
    """Wait for what was put on the stream, and so for what it gives back."""
    dm.to_device(np.zeros(1), device=f"cuda:{device}").numpy()


def measure(particles: int, steps: int, budget: int, basis: str, device: str) -> dict[str, float]:
    """Print and return bytes a particle."""
    host, config = body_of(particles, basis)
    n, found = host.count, {}
    number = int(dm.to_device(np.zeros(1), device=device).device[5:])
    body, _, _, size = measured(lambda: host.to(device), number)
    found["inputs"] = size / n
    simulation = dm.Simulation(body, config)
    print(f"{n:,} particles, {basis}, float32, {steps} steps, budget {budget / 2**30:.1f} GiB, {body.device}")
    print(f"  inputs (x, v, C, F and constants)        {found['inputs']:7.1f} B a particle")

    def show(name: str, call: Callable[[], Any]) -> Any:
        result, seconds, peak, kept = measured(call, number)
        found[name], found[f"{name}, kept"] = peak / n, kept / n
        rate = n * steps / seconds / 1e6
        print(f"  {name:<40} {peak / n:7.1f} at most, {kept / n:7.1f} after it; {seconds:6.2f} s, {rate:,.0f} M/s")
        return result

    roll = show("forward, no trajectory", lambda: simulation.rollout(steps, differentiable=False))
    assert np.isfinite(roll.x[:1000].numpy()).all()
    roll = None
    roll = show("forward", lambda: simulation.rollout(steps, memory_budget=budget))
    print(f"  {roll.stored_layers} of {steps + 1} layers kept")
    adj = roll.x * (1.0 / n)
    gradient = show("backward by x", lambda: roll.vjp(adj_x=adj, wrt=("x", "v")))
    assert np.isfinite(gradient.v[:1000].numpy()).all()
    gradient = None
    if "emulated" in _core.cuda_status():
        return found  # whose memory has no end
    try:
        simulation.rollout(1 << 20, memory_budget=1 << 60)
    except MemoryError as error:
        print(f"  too much: MemoryError: {error}")
    else:
        raise AssertionError("a trajectory of a million layers was kept")
    again = show("backward by x, after that", lambda: roll.vjp(adj_x=adj, wrt=("x",)))
    assert np.isfinite(again.x[:1000].numpy()).all()
    return found


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
