# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Time and memory of surfaces: binding, evaluation, adjoint, and the update to a new frame."""

from __future__ import annotations

import argparse
import resource

import diffmpm as dm
import numpy as np
from step import median_seconds


def peak_megabytes() -> float:
    """Return the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int, samples: int, mesh: str, dtype: str, repeats: int) -> str:
    """Return one line with the seconds of each part and the additional memory."""
    body = dm.sample(mesh, particles=count, dtype=dtype)
    before = peak_megabytes()
    binding = dm.surface.bind(body.x, body.F, samples=samples)
    g = binding.evaluate(body.x, body.F)
    adj = np.ones_like(g.means), np.ones_like(g.covars), np.ones_like(g.normals)
    seconds = [
        median_seconds(run, repeats)
        for run in (
            lambda: dm.gaussians(body.x, body.F, samples=samples),
            lambda: binding.evaluate(body.x, body.F),
            lambda: g.vjp(*adj),
            lambda: binding.update(body.x, body.F),
        )
    ]
    return " ".join(f"{s:10.3f}" for s in seconds) + f" {peak_megabytes() - before:10.0f}"


def main() -> None:
    """Print one line per number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--mesh", default="sphere", help="built-in shape or mesh file")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(f"{args.particles} particles, {args.samples} samples, {args.dtype}  [s]")
    print("threads    forward   evaluate   backward     update     MB more")
    for threads in args.threads:
        dm.set_num_threads(threads)
        line = measure(args.particles, args.samples, args.mesh, args.dtype, args.repeats)
        print(f"{threads:7d} {line}", flush=True)


if __name__ == "__main__":
    main()
