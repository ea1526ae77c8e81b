# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Time of a whole morph on a device, and how near it ends to the CPU's.

    python benchmarks/cuda_morph.py sphere bunny.obj [--particles 300000] [--limit 60] [--compare]

It exits with 1 where the morph takes longer than the limit. With --compare the CPU computes the same morph, which takes
minutes at 300,000 particles. Steps and kernels by themselves: the CMake target diffmpm_cuda_benchmark.
"""

from __future__ import annotations

import argparse
import sys

import diffmpm as dm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--particles", type=int, default=300_000)
    parser.add_argument("--windows", type=int, default=120)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that the morph may take")
    parser.add_argument("--compare", action="store_true", help="run it on the CPU too")
    args = parser.parse_args()
    # The mass loss alone, as it is published.
    losses = {"density_weight": 0.0, "fine_weight": 0.0, "distance_weight": 0.0}
    seconds = {}
    for device in ("cuda", "cpu") if args.compare else ("cuda",):
        result = dm.morph(
            args.source, args.target, particles=args.particles, windows=args.windows, device=device, **losses
        )
        seconds[device], loss = result.seconds, result.history[-1]["loss"]
        print(
            f"{device}: {result.seconds:.1f} s for {len(result.history)} windows of {args.particles} particles, "
            f"loss {result.history[0]['loss_start']:.4g} -> {loss:.6g}",
            flush=True,
        )
    return int(seconds["cuda"] > args.limit)


if __name__ == "__main__":
    sys.exit(main())
