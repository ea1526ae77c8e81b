# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particle-steps per second of the simulation, forward and forward + backward, on a cube of particles."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import diffmpm as dm


def workload(count: int, nodes: int, basis: str, dtype: str) -> tuple[dm.Simulation, np.ndarray, dm.losses.LogMass]:
    """Return a jittered cube of 8 particles a cell in the middle of a grid, its control, and a loss."""
    rng = np.random.default_rng(0)
    edge = round((count / 8) ** (1 / 3))
    points = np.stack(np.meshgrid(*[np.arange(2 * edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    low = (nodes - edge) / 2
    x = (low + 0.5 * (points + rng.uniform(0.1, 0.9, points.shape))).astype(dtype)
    lam, mu = dm.lame_parameters(1000.0, 0.3)
    body = dm.Particles.create(
        x,
        v=0.5 * rng.standard_normal((count, 3)).astype(dtype),
        C=0.1 * rng.standard_normal((count, 3, 3)).astype(dtype),
        F=(np.eye(3) + 0.03 * rng.standard_normal((count, 3, 3))).astype(dtype),
        mass=1.0, volume=0.125, lam=lam, mu=mu,
    )  # fmt: skip
    config = dm.SimConfig(
        dx=1.0, dt=2e-3, origin=(0.0, 0.0, 0.0), dims=(nodes, nodes, nodes), basis=basis, drag=0.5,
        gravity=(0.0, -9.8, 0.0), boundary="separate", boundary_nodes=3,
    )  # fmt: skip
    control = 0.02 * rng.standard_normal((1, count, 3, 3)).astype(dtype)
    target = dm.grid_mass(x + np.array([1.0, 0.5, 0.0], dtype), body.mass, config)
    return dm.Simulation(body, config), control, dm.losses.LogMass(target)


def forward(sim: dm.Simulation, control: np.ndarray, steps: int) -> None:
    """Run without keeping the trajectory."""
    sim.rollout(steps, control, control_stride=steps, differentiable=False)


def forward_backward(sim: dm.Simulation, control: np.ndarray, steps: int, loss: dm.losses.LogMass) -> None:
    """Run, evaluate the loss at the end and take its gradient with respect to the control."""
    roll = sim.rollout(steps, control, control_stride=steps, memory_budget=1 << 40)
    roll.vjp(**loss.evaluate(roll).adj, wrt=("control",))


def median_seconds(run: Callable[[], None], repeats: int) -> float:
    """Return the median wall time of `run` after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print one line a configuration, in million particle-steps per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[32_768, 262_144])
    parser.add_argument("--bases", nargs="+", default=["quadratic", "cubic"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print("basis      particles steps threads   forward  forward+backward   [10^6 particle-steps / s]")
    for basis in args.bases:
        for count in args.counts:
            sim, control, loss = workload(count, 64 if count <= 32_768 else 128, basis, args.dtype)
            for steps in args.steps:
                for threads in args.threads:
                    dm.set_num_threads(threads)
                    one = median_seconds(lambda: forward(sim, control, steps), args.repeats)  # noqa: B023
                    two = median_seconds(lambda: forward_backward(sim, control, steps, loss), args.repeats)  # noqa: B023
                    rate = count * steps / 1e6
                    print(f"{basis:10s} {count:9d} {steps:5d} {threads:7d} {rate / one:9.2f} {rate / two:17.2f}", flush=True)


if __name__ == "__main__":
    main()
