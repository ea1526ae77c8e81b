# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Overhead of `diffmpm morph --live`: the same morph with and without a viewer, alternately, with a connected client.

    python benchmarks/live.py [--pairs 10] [--particles 20000] [--windows 100] [--look gaussians]

Prints ratios of wall time and the additional processor time of the callback and the viewer threads. Processor time is
reliable on a busy machine too if the morph has one thread (OMP_NUM_THREADS=1). The client receives all messages of a
page but draws nothing, as a browser draws on the GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import diffmpm as dm

CLIENT = """
import sys, viser
from websockets.sync.client import connect
protocols = ["viser-v" + viser.__version__]
with connect(sys.argv[1], subprotocols=protocols, max_size=None, proxy=None) as connection:
    print("connected", flush=True)
    for message in connection:
        pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--particles", type=int, default=20_000)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--look", choices=("gaussians", "particles"), default="particles")
    args = parser.parse_args()
    ratios, overheads = [], []
    for pair in range(args.pairs):
        order = (False, True) if pair % 2 == 0 else (True, False)
        seconds = {live: run(args, live) for live in order}
        ratios.append(seconds[True][0] / seconds[False][0])
        overheads.append(seconds[True][1])
        print(f"without {seconds[False][0]:.2f} s, live {seconds[True][0]:.2f} s, ratio {ratios[-1]:.3f}; "
              f"processor {100 * overheads[-1]:.1f} % more", flush=True)  # fmt: skip
    print(f"{args.look}, {args.particles} particles, median of {args.pairs}: ratio {statistics.median(ratios):.3f}, "
          f"processor {100 * statistics.median(overheads):.1f} % more")  # fmt: skip


def run(args: argparse.Namespace, live: bool) -> tuple[float, float]:
    """Return the seconds of one morph, without viewer startup, and the relative processor time of the viewer."""
    called = 0.0

    def callback(progress: object) -> bool:
        nonlocal called
        began = time.thread_time()
        viewer(progress)
        called += time.thread_time() - began
        return True

    with contextlib.ExitStack() as stack:
        viewer = stack.enter_context(connected(args.look)) if live else bool
        began = time.perf_counter(), time.process_time(), time.thread_time()
        dm.morph("sphere", "torus", callback=callback, particles=args.particles, windows=args.windows, tolerance=0.0)
        seconds = time.perf_counter() - began[0]
        everything, main = time.process_time() - began[1], time.thread_time() - began[2]
        return seconds, (everything - main + called) / (main - called)


@contextlib.contextmanager
def connected(look: str) -> Iterator[dm.view.Viewer]:
    """Yield a viewer with a client that receives all messages."""
    with dm.view.Viewer(port=0, look=look) as viewer:
        command = [sys.executable, "-c", CLIENT, viewer.url.replace("http", "ws")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            client.stdout.readline()
            yield viewer
            client.terminate()


if __name__ == "__main__":
    main()
