# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Speed of the simulation in particle-steps per second, forward and forward + backward, for a cube of particles."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import diffmpm as dm
import numpy as np


def workload(count: int, nodes: int, basis: str, dtype: str) -> tuple[dm.Simulation, np.ndarray, dm.losses.LogMass]:
    """Return a jittered cube with 8 particles per cell in the middle of a grid, its control, and a loss."""
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
    """Run without storing the trajectory."""
    sim.rollout(steps, control, control_stride=steps, differentiable=False)


def forward_backward(sim: dm.Simulation, control: np.ndarray, steps: int, loss: dm.losses.LogMass) -> None:
    """Run, evaluate the loss at the final state, and compute its gradient with respect to the control."""
    roll = sim.rollout(steps, control, control_stride=steps, memory_budget=1 << 40)
    roll.vjp(**loss.evaluate(roll).adj, wrt=("control",))


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of `run` after a warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def copy_bandwidth() -> float:
    """Return the copy bandwidth of one thread in bytes per second, read and written."""
    a = np.ones(1 << 26, np.float32)
    b = np.empty_like(a)
    return 2 * a.nbytes / median_seconds(lambda: np.copyto(b, a), 5)


def bytes_per_particle(backward: bool, values: int = 24) -> int:
    """Return the bytes that a step moves per particle in float32 if all passes stream from memory.

    Forward: particles-to-grid reads the state and 4 properties; grid-to-particles reads x and F and writes the state.
    Backward: the adjoint of grid-to-particles reads x, F, v', C' and the adjoint and writes x, C, F of it; the other
    adjoint reads state, properties and adjoint and writes the adjoint and 4 property adjoints. The grid is in cache.
    """
    forward = (values + 4) + (12 + values)
    adjoint = (24 + values + 21) + (values + 4 + 21 + values + 8)
    return 4 * (forward + adjoint * backward)


def compare(args: argparse.Namespace) -> None:
    """Print the speed of the same workload in other installed packages."""
    import peers

    count, steps = 32_768, 16
    print("\npeers at 32,768 particles, 16 steps            forward  forward+backward   [10^6 particle-steps / s]")
    rate = count * steps / 1e6
    for basis in args.bases:
        sim, control, loss = workload(count, 64, basis, "float32")
        runs = []
        for package in (peers.WarpStep, peers.TaichiStep):
            if package.name == "Taichi" and not args.slow:
                continue
            try:
                peer = package(sim, control, loss.target, steps)
            except ImportError:
                print(f"{basis:10s} {package.name}: not installed")
                continue
            runs.append((package.name, peer.forward, peer.forward_backward))
        for threads in args.threads:
            dm.set_num_threads(threads)
            ours = (f"diffmpm, {threads} threads", lambda: forward(sim, control, steps),  # noqa: B023
                    lambda: forward_backward(sim, control, steps, loss))  # noqa: B023  # fmt: skip
            runs_now = [ours, *runs] if threads == args.threads[-1] else [ours]
            for name, one, two in runs_now:
                first, second = median_seconds(one, args.repeats), median_seconds(two, args.repeats)
                print(f"{basis:10s} {name:30s} {rate / first:12.2f} {rate / second:17.2f}", flush=True)


def main() -> None:
    """Print one line per configuration, in million particle-steps per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[32_768, 262_144])
    parser.add_argument("--bases", nargs="+", default=["quadratic", "cubic"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="also run NVIDIA Warp, if installed")
    parser.add_argument("--slow", action="store_true", help="with --peers: also Taichi, which compiles for minutes")
    args = parser.parse_args()
    bandwidth = copy_bandwidth()
    limits = [bandwidth / bytes_per_particle(backward) / 1e6 for backward in (False, True)]
    print(f"copy bandwidth {bandwidth / 1e9:.1f} GB/s on one thread, which limits a thread to", end=" ")
    print(f"{limits[0]:.0f} forward and {limits[1]:.0f} forward+backward")
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
                    rates = f"{rate / one:9.2f} {rate / two:17.2f}"
                    print(f"{basis:10s} {count:9d} {steps:5d} {threads:7d} {rates}", flush=True)
    if args.peers:
        compare(args)


if __name__ == "__main__":
    main()
