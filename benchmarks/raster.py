# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Time and memory of the rasteriser, forward and forward + backward, on a closed body that covers 40 % of the image."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import diffmpm as dm
import numpy as np

SCENES = ((50_000, 640, 480), (200_000, 1280, 720))
COVERAGE = 0.4


def body(count: int, dtype: str, spread: float) -> dict[str, np.ndarray]:
    """Return flat Gaussians on the whole surface of a lumpy, wide ball with two ears, about 2 m in size.

    `spread` is their standard deviation along the surface in units of their spacing; across it is a fifth.
    """
    rng = np.random.default_rng(0)
    d = rng.standard_normal((count, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    ears = sum(
        np.exp(-12 * ((d - ear / np.linalg.norm(ear)) ** 2).sum(1)) for ear in np.array([[0.4, 0.3, 1], [-0.4, 0.3, 1]])
    )
    radius = 1 + 0.15 * np.sin(3 * d[:, 0] + 1) * np.cos(4 * d[:, 1]) + 0.1 * np.sin(6.5 * d[:, 2]) + 0.3 * ears
    sigma = spread * radius * np.sqrt(4 * np.pi / count)
    covars = sigma[:, None, None] ** 2 * (np.eye(3) - 0.96 * d[:, :, None] * d[:, None, :])
    arrays = {
        "means": d * radius[:, None] * [1.3, 1.0, 1.0], "covars": covars, "opacities": rng.uniform(0.6, 0.95, count),
        "colors": rng.uniform(size=(count, 3)), "backgrounds": np.ones(3),
    }  # fmt: skip
    return {name: a.astype(dtype) for name, a in arrays.items()}


def front_camera(gaussians: dict[str, np.ndarray], width: int, height: int) -> dm.Camera:
    """Return a camera in front of the body with a focal length at which it covers 40 % of the image."""
    focal = 1.2 * height
    for _ in range(4):
        camera = dm.Camera.look_at((0.6, -4.5, 0.8), (0, 0, 0.08), width=width, height=height, fx=focal)
        covered = float((draw(gaussians, camera).alpha > 0.5).mean())
        focal *= np.sqrt(COVERAGE / covered)
    return camera


def draw(gaussians: dict[str, np.ndarray], camera: dm.Camera) -> dm.render.Raster:
    """Rasterise."""
    arrays = dict(gaussians)
    return dm.rasterize(arrays.pop("means"), cameras=camera, **arrays)


def seconds(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return median and best wall time of `run` after a warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), min(times)


def measure(count: int, width: int, height: int, args: argparse.Namespace) -> None:
    """Print one line a number of threads."""
    gaussians = body(count, args.dtype, args.spread)
    camera = front_camera(gaussians, width, height)
    rng = np.random.default_rng(1)
    raster = draw(gaussians, camera)
    adjoints = {
        f"adj_{name}": rng.standard_normal(getattr(raster, name).shape).astype(args.dtype)
        for name in ("color", "alpha", "depth")
    }
    pairs, radii = int(raster.meta.tile_entries[0]), raster.meta.radii
    print(
        f"\n{count} Gaussians at {width} x {height}, {args.dtype}: {(raster.alpha > 0.5).mean():.1%} covered, "
        f"{int(raster.meta.visible[0])} visible, mean diameter {2 * radii[radii > 0].mean():.1f} px, "
        f"{pairs} tile entries"
    )
    single: list[float] = []
    for threads in args.threads:
        dm.set_num_threads(threads)
        one = seconds(lambda: draw(gaussians, camera), args.repeats)
        two = seconds(lambda: draw(gaussians, camera).vjp(**adjoints), args.repeats)
        single = single or [one[1], two[1]]
        speed = f"   {single[0] / one[1]:.2f} and {single[1] / two[1]:.2f} times" if threads != args.threads[0] else ""
        print(
            f"  {threads} threads: forward {1e3 * one[0]:6.1f} ms (best {1e3 * one[1]:6.1f}), "
            f"forward+backward {1e3 * two[0]:6.1f} ms (best {1e3 * two[1]:6.1f}){speed}",
            flush=True,
        )


def multiply_rate(threads: int) -> float:
    """Return 10^9 floating-point operations per second of matrix products in float32, near the peak of the machine.

    In a process of its own, because the number of threads of the linear algebra is chosen when it is loaded.
    """
    program = (
        "import numpy as np, time\n"
        "a = np.ones((1536, 1536), np.float32); a @ a; best = 1e9\n"
        "for _ in range(8):\n"
        "    t = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - t)\n"
        "print(2 * 1536**3 / best / 1e9)"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **{name: str(threads) for name in names}}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print times of the two scenes, peak memory, and what the machine could do meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--spread", type=float, default=0.8, help="size of a Gaussian in units of their spacing")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    print(f"instruction set {dm._core.instruction_set()}; matrix products (fused multiply-adds):", end=" ")
    print(", ".join(f"{multiply_rate(n):.0f} GFLOP/s on {n}" for n in args.threads), "threads")
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for scene in SCENES:
        measure(*scene, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\npeak memory {peak / 1024:.0f} MB, of which {start / 1024:.0f} MB before the first scene (Python, NumPy)")


if __name__ == "__main__":
    main()
