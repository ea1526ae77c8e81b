# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Compare the speed of two installed builds: python benchmarks/compare.py OLD_PYTHON NEW_PYTHON [GROUP ...].

OLD_PYTHON and NEW_PYTHON are the interpreters of two environments with DiffMPM. One process per build prepares each
case, and the two run it alternately, so that load on the machine affects both. The ratio is the median of new / old
over pairs of neighbouring runs; the exit status is 1 if one exceeds --limit. Use an idle machine, or --cpu on a busy
one, which compares processor times.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

Case = tuple[str, Callable[[], object]]


def step() -> Iterator[Case]:
    """Rollouts of 32,768 particles over 16 steps."""
    from step import forward, forward_backward, workload

    for dtype in ("float32", "float64"):
        for basis in ("quadratic", "cubic"):
            args = workload(32_768, 64, basis, dtype)
            yield f"{basis}, {dtype}, forward", lambda args=args: forward(*args[:2], 16)
            yield f"{basis}, {dtype}, forward + backward", lambda args=args: forward_backward(*args[:2], 16, args[2])


def raster() -> Iterator[Case]:
    """Images of 50,000 Gaussians at 640 x 480."""
    import numpy as np
    from raster import body, draw, front_camera

    for dtype in ("float32", "float64"):
        gaussians = body(50_000, dtype, 0.8)
        camera = front_camera(gaussians, 640, 480)
        adj_color = np.random.default_rng(1).standard_normal((480, 640, 3)).astype(dtype)
        args = gaussians, camera
        yield f"{dtype}, forward", lambda args=args: draw(*args)
        yield f"{dtype}, forward + backward", lambda args=args, adj=adj_color: draw(*args).vjp(adj_color=adj)


def surface() -> Iterator[Case]:
    """Surfaces of 20,000 particles with 50,000 samples."""
    import diffmpm as dm
    import numpy as np

    body = dm.sample("sphere", particles=20_000)
    binding = dm.surface.bind(body.x, body.F, samples=50_000)
    gaussians = binding.evaluate(body.x, body.F)
    adj = np.ones_like(gaussians.means)
    yield "binding", lambda: dm.surface.bind(body.x, body.F, samples=50_000)
    yield "evaluation", lambda: binding.evaluate(body.x, body.F)
    yield "adjoint", lambda: gaussians.vjp(adj)
    yield "update", lambda: binding.update(body.x, body.F)


def operators() -> Iterator[Case]:
    """Forward and backward through the PyTorch operator."""
    from operators import pair, workload

    for basis in ("quadratic", "cubic"):
        yield f"{basis}, forward + backward", pair(*workload(32_768, 64, basis, "float32"), 16)[1]


GROUPS = {function.__name__: function for function in (step, raster, surface, operators)}


class Build:
    """A process that runs the cases of one group with one build."""

    def __init__(self, python: str, group: str, options: list[str]) -> None:
        """Start the process; it reports the names of its cases."""
        command = [python, __file__, "--serve", group, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cases = self.read().split("\t")

    def read(self) -> str:
        """Return the next line of the process."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with status {self.process.wait()}")
        return line.strip()

    def seconds(self, case: int) -> float:
        """Return the time of one run of a case."""
        print(case, file=self.process.stdin, flush=True)
        return float(self.read())


def serve(group: str, threads: int, clock: Callable[[], float]) -> None:
    """Print the names of the cases, then the seconds of each case whose number is read from standard input."""
    import diffmpm as dm

    dm.set_num_threads(threads)
    cases = list(GROUPS[group]())
    for _, run in cases:
        run()
    print("\t".join(name for name, _ in cases), flush=True)
    for line in sys.stdin:
        run = cases[int(line)][1]
        start = clock()
        run()
        print(clock() - start, flush=True)


def compare(pythons: list[str], group: str, options: list[str], repeats: int) -> Iterator[float]:
    """Print one line per case of a group and yield its ratio."""
    builds = [Build(python, group, options) for python in pythons]
    assert builds[0].cases == builds[1].cases
    for case, name in enumerate(builds[0].cases):
        pairs = []
        for repeat in range(repeats):
            order = (0, 1) if repeat % 2 == 0 else (1, 0)
            seconds = {index: builds[index].seconds(case) for index in order}
            pairs.append((seconds[0], seconds[1]))
        ratio = median(new / old for old, new in pairs)
        times = "  ".join(f"{1e3 * median(column):9.2f}" for column in zip(*pairs, strict=True))
        print(f"{group:10s} {name:40s} {times} {ratio:8.3f}", flush=True)
        yield ratio
    for build in builds:
        build.process.communicate()


def main() -> int:
    """Print old and new milliseconds and their ratio for each case; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="OLD_PYTHON NEW_PYTHON [GROUP ...]", help=", ".join(GROUPS))
    parser.add_argument("--repeats", type=int, default=21, help="pairs of runs per case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="compare processor time instead of wall time")
    parser.add_argument("--limit", type=float, default=1.02, help="largest ratio that passes")
    parser.add_argument("--serve", choices=GROUPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.threads, time.process_time if args.cpu else time.perf_counter)
        return 0
    pythons, groups = args.words[:2], args.words[2:] or list(GROUPS)
    if len(pythons) < 2 or not set(groups) <= set(GROUPS):
        parser.error(f"expected two interpreters and groups out of {', '.join(GROUPS)}")
    options = [f"--threads={args.threads}", *(["--cpu"] if args.cpu else [])]
    print(f"{'group':10s} {'case':40s} {'old [ms]':>9s}  {'new [ms]':>9s} {'new/old':>8s}")
    ratios = [ratio for group in groups for ratio in compare(pythons, group, options, args.repeats)]
    print(f"largest ratio {max(ratios):.3f}, limit {args.limit}")
    return int(max(ratios) > args.limit)


if __name__ == "__main__":
    sys.exit(main())
