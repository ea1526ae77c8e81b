# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Overhead of the PyTorch operator over the native call, in time and memory, and the speed of plain PyTorch and JAX.

Native call and operator alternate, so that load on the machine affects both. Exits with an error above the limits.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import diffmpm as dm
import diffmpm.torch as dmt
import numpy as np
import torch
from plain import JaxStep, TorchStep
from step import workload

MAX_OVERHEAD = 0.05
"""Largest overhead of forward and backward at 32,768 particles, relative to the native call."""
MAX_SECONDS = 100e-6
"""Largest overhead of forward and backward at 200 particles."""
MIN_SPEEDUP = 15.0
"""Smallest speedup over plain PyTorch and JAX."""


def pair(
    sim: dm.Simulation, control: np.ndarray, loss: dm.losses.LogMass, steps: int
) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    """Return the same forward and backward, native and through PyTorch."""
    inputs = dmt.tensors(sim.particles)
    target = torch.from_numpy(loss.target)
    leaf = torch.from_numpy(control).requires_grad_()
    budget = 1 << 40

    def native() -> np.ndarray:
        roll = sim.rollout(steps, control, control_stride=steps, memory_budget=budget)
        return roll.vjp(**loss.evaluate(roll).adj, wrt=("control",)).control

    def operator() -> np.ndarray:
        leaf.grad = None
        out = dmt.rollout(
            sim.config, steps, control=leaf, control_stride=steps, grid_mass=True, memory_budget=budget, **inputs
        )
        dmt.log_mass(out.grid_mass, target).backward()
        return leaf.grad.numpy()

    return native, operator


def alternate(calls: list[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Return the seconds of each call; calls alternate."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for call, list_ in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            list_.append(time.perf_counter() - start)
    return seconds


def peak(operator: bool, basis: str) -> float:
    """Return the peak memory [MB] of a separate process that runs 64 steps forward and backward twice."""
    code = f"""
import resource, sys
sys.path.insert(0, {sys.path[0]!r})
from operators import pair, workload
sim, control, loss = workload(32_768, 64, {basis!r}, "float32")
call = pair(sim, control, loss, 64)[{int(operator)}]
call(); call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout) / 1024


def small(repeats: int) -> float:
    """Print and return the overhead of the operator in seconds at 200 particles on one thread."""
    sim, control, _ = workload(216, 16, "quadratic", "float32")
    inputs, leaf = dmt.tensors(sim.particles), torch.from_numpy(control).requires_grad_()
    adj_x = np.ones((sim.particles.count, 3), np.float32)
    cotangent = torch.from_numpy(adj_x)
    options = {"control_stride": 4, "memory_budget": 1 << 40}

    def native() -> np.ndarray:
        roll = sim.rollout(4, control, **options)
        return roll.vjp(adj_x=adj_x, wrt=("control",)).control

    def operator() -> np.ndarray:
        leaf.grad = None
        dmt.rollout(sim.config, 4, control=leaf, **options, **inputs).x.backward(cotangent)
        return leaf.grad.numpy()

    assert np.array_equal(native(), operator())
    dm.set_num_threads(1)
    one, two = (min(seconds) for seconds in alternate([native, operator], repeats))  # minimum, to exclude other load
    dm.set_num_threads(None)
    print(f"216 particles, 4 steps, forward and backward: native {one * 1e6:.0f} us, operator {two * 1e6:.0f} us, "
          f"adds {(two - one) * 1e6:.0f} us (at most {MAX_SECONDS * 1e6:.0f})")  # fmt: skip
    return two - one


def main() -> None:
    """Print the measurements and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--bases", nargs="+", default=["quadratic", "cubic"])
    parser.add_argument("--no-peers", action="store_true", help="without plain PyTorch and JAX")
    parser.add_argument("--no-limits", action="store_true", help="do not check limits, for a busy machine")
    args = parser.parse_args()
    failures = []
    print(f"native operators: {dmt.NATIVE}, {dm.get_num_threads()} threads")
    if small(500) > MAX_SECONDS:
        failures.append("overhead of a small call")
    count, steps = 32_768, 16
    rate = count * steps / 1e6
    # Measured first, because a process inherits the peak of its parent.
    memory = {basis: (peak(False, basis), peak(True, basis)) for basis in args.bases}
    for basis in args.bases:
        sim, control, loss = workload(count, 64, basis, "float32")
        native, operator = pair(sim, control, loss, steps)
        assert np.array_equal(native(), operator())
        one, two = alternate([native, operator], args.repeats)
        # The median of the ratios of neighbouring runs is robust to changing load.
        overhead = median(b / a for a, b in zip(one, two, strict=True)) - 1.0
        both = memory[basis]
        rates = f"native {rate / median(one):6.2f}, operator {rate / median(two):6.2f} million particle-steps/s"
        print(f"{basis:10s} {rates} forward+backward: adds {100 * overhead:+.1f} %", end="; ")
        print(f"peak memory over 64 steps {both[0]:.0f} and {both[1]:.0f} MB")
        if overhead > MAX_OVERHEAD:
            failures.append(f"overhead at {count} particles, {basis}")
        if both[1] > 1.05 * both[0]:
            failures.append(f"memory, {basis}")
        if args.no_peers:
            continue
        for package in (TorchStep, JaxStep):
            peer = package(sim, control, loss.target, steps)
            error = np.linalg.norm(peer.gradient() - native()[0]) / np.linalg.norm(native())
            forward, backward = (median(s) for s in alternate([peer.forward, peer.forward_backward], 3))
            factor = backward / median(two)
            rates = f"{rate / forward:6.2f} forward, {rate / backward:6.2f} forward+backward"
            print(f"{basis:10s} plain {package.name:8s} {rates}: DiffMPM is {factor:.0f} times faster", end="; ")
            print(f"gradients differ by {error:.1e}")
            if factor < MIN_SPEEDUP:
                failures.append(f"plain {package.name}, {basis}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if failures and not args.no_limits:
        raise SystemExit("over the limit: " + "; ".join(failures))


if __name__ == "__main__":
    main()
