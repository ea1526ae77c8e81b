# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Test an installed DiffMPM with a rollout and its adjoint, with or without PyTorch; print one line.

`python tools/smoke.py` tests an installation; tools/check_wheel.py runs it in new environments.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Run the test or the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", choices=("without", "torch-first", "torch-last"), default="without")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--save", type=Path, help="write the results to this file")
    parser.add_argument("--compare", type=Path, nargs="+", help="compare result files instead")
    parser.add_argument("--tolerance", type=float, default=0.0)
    args = parser.parse_args()
    if args.compare:
        compare(args.compare, args.tolerance)
        return
    # The import order is under test.
    torch = importlib.import_module("torch") if args.order == "torch-first" else None
    dm = importlib.import_module("diffmpm")
    results = job(dm, np.dtype(args.dtype))
    if args.order == "torch-last":
        torch = importlib.import_module("torch")
    words = [dm._core.instruction_set(), f"|x| {np.abs(results['x']).mean():.6f}"]
    if torch is not None:
        words.append(with_torch(torch, dm, results))
    words.append(one_runtime(Path(dm.__file__).parent, with_pytorch=torch is not None))
    if args.save:
        np.savez(args.save, **results)
    print(", ".join(words))


def job(dm, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Return the final state of 20 steps with random controls, and the gradients of |x|^2."""
    body, config, control = scene(dm, dtype)
    roll = dm.Simulation(body, config).rollout(len(control), control=control)
    grads = roll.vjp(adj_x=2 * roll.x, wrt="all")
    results = {"x": roll.x, "F": roll.F, "control": grads.control, "lam": grads.lam, "x0": grads.x}
    return {name: np.array(value) for name, value in results.items()}


def scene(dm, dtype: np.dtype):
    """Return a box of particles, options and controls."""
    body = dm.sample("box", particles=3000, dtype=dtype)
    config = dm.SimConfig(dx=0.08, dt=1e-3, origin=(-1.0, -1.0, -1.0), dims=(26, 26, 26), drag=0.5)
    control = 0.02 * np.random.default_rng(0).standard_normal((20, body.count, 3, 3)).astype(dtype)
    return body, config, control


def with_torch(torch, dm, results: dict[str, np.ndarray]) -> str:
    """Run the same job through diffmpm.torch, between parallel loops of PyTorch, and compare the results."""
    dmt = importlib.import_module("diffmpm.torch")
    body, config, control = scene(dm, results["x"].dtype)
    torch.sin(torch.ones(1 << 20)).sum()
    leaf = torch.from_numpy(control).requires_grad_()
    states = dmt.rollout(config, len(control), control=leaf, **dmt.tensors(body))
    (states.x**2).sum().backward()
    np.testing.assert_array_equal(states.x.detach().numpy(), results["x"])
    np.testing.assert_array_equal(leaf.grad.numpy(), results["control"])
    torch.sin(torch.ones(1 << 20)).sum()
    return "native operators" if dmt.NATIVE else "operators in Python"


def one_runtime(package: Path, with_pytorch: bool) -> str:
    """Check that exactly one OpenMP runtime is loaded, without PyTorch the one in the package."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return "OpenMP runtime not checked"
    paths = {line.split()[-1] for line in maps.read_text().splitlines() if "libgomp" in line}
    if len(paths) != 1:
        sys.exit(f"expected one libgomp, got {sorted(paths)}")
    owner = Path(paths.pop()).parent
    if not with_pytorch and (package / "libgomp.so.1").exists() and owner != package:
        sys.exit(f"expected the libgomp of {package}, got that of {owner}")
    return f"one libgomp, from {owner.parent.name if owner.name == 'lib' else owner.name}"


def compare(files: list[Path], tolerance: float) -> None:
    """Print the largest relative difference between the arrays of the first file and the others."""
    worst = 0.0
    with np.load(files[0]) as first:
        for path in files[1:]:
            with np.load(path) as other:
                for name in first:
                    difference = np.linalg.norm(first[name] - other[name]) / np.linalg.norm(first[name])
                    worst = max(worst, float(difference))
    if not worst <= tolerance:
        sys.exit(f"results differ by {worst:.1e}, expected at most {tolerance:.1e}")
    print(f"results differ by {worst:.1e} at most")


if __name__ == "__main__":
    main()
