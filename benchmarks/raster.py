# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Time and memory of the rasteriser, forward and forward + backward, for a closed body that covers 40 % of the image.

--device cuda measures times on a CUDA device by CUDA events: native, through PyTorch, gsplat if it is installed, and
individual kernels. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np

SCENES = ((50_000, 640, 480), (200_000, 1280, 720))
DEVICE_SCENES = ((50_000, 640, 480), (111_000, 1920, 1080), (200_000, 1280, 720), (1_000_000, 1920, 1080))
COVERAGE = 0.4


def body(count: int, dtype: str, spread: float) -> dict[str, np.ndarray]:
    """Return flat Gaussians on the surface of a lumpy, wide ball with two ears, about 2 m in size.

    `spread` is their standard deviation along the surface in units of their spacing; the thickness is a fifth of it.
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
    """Return a camera in front of the body, which covers 40 % of the image."""
    focal = 1.2 * height
    for _ in range(4):
        camera = dm.Camera.look_at((0.6, -4.5, 0.8), (0, 0, 0.08), width=width, height=height, fx=focal)
        covered = float((draw(gaussians, camera).alpha > 0.5).mean())
        focal *= np.sqrt(COVERAGE / covered)
    return camera


def draw(gaussians: dict[str, np.ndarray], camera: dm.Camera) -> dm.render.Raster:
    """Rasterize."""
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
    """Print one line per number of threads."""
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
    """Return the GFLOP/s of float32 matrix products, near the peak of the machine.

    Runs in a separate process, because the BLAS reads its number of threads when it is loaded.
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


def device_milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median time of `run` on the device, including host waits, after a warm-up."""
    import torch

    for _ in range(5):
        run()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(np.median(times))


def kernel_times(run: Callable[[], object], repeats: int = 10) -> dict[str, float]:
    """Return the microseconds per call of each kernel and copy of `run`."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        times[event.key] += event.self_device_time_total / repeats
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def device_runs(
    gaussians: dict[str, np.ndarray], camera: dm.Camera, alone: bool
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return forward and forward + backward on a device by name: native, PyTorch and gsplat."""
    import diffmpm.torch as dmt
    import torch

    on_device: dict[str, Any] = {name: dm.to_device(a) for name, a in gaussians.items() if name != "backgrounds"}
    on_device["backgrounds"] = dm.to_device(gaussians["backgrounds"][None])
    rng = np.random.default_rng(1)
    shape = (1, camera.height, camera.width)
    cotangents = [rng.standard_normal((*shape, 3)).astype(np.float32), rng.standard_normal(shape).astype(np.float32)]
    adj_color, adj_alpha = (dm.to_device(a) for a in cotangents)

    def native() -> dm.render.Raster:
        arrays = dict(on_device)
        return dm.rasterize(arrays.pop("means"), cameras=[camera], **arrays)

    def native_vjp() -> object:
        return native().vjp(adj_color=adj_color, adj_alpha=adj_alpha)

    runs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {"native": (native, native_vjp)}
    if alone:
        return runs
    tensors = {name: torch.from_numpy(a).cuda() for name, a in gaussians.items()}
    background = tensors.pop("backgrounds")[None]
    leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    poses = torch.from_numpy(camera.viewmat.astype(np.float32))[None].cuda()
    lenses = torch.from_numpy(camera.K.astype(np.float32))[None].cuda()
    adjoints = [torch.from_numpy(cotangents[0]).cuda(), torch.from_numpy(cotangents[1])[..., None].cuda()]

    def pair(draw: Callable[[], Any]) -> tuple[Callable[[], object], Callable[[], object]]:
        def forward() -> object:
            with torch.no_grad():
                return draw()

        def both() -> object:
            return torch.autograd.grad(list(draw()[:2]), list(leaves.values()), adjoints)

        return forward, both

    size = camera.width, camera.height
    runs["PyTorch"] = pair(
        lambda: dmt.rasterize(**leaves, viewmats=poses, Ks=lenses, width=size[0], height=size[1],
                              backgrounds=background)
    )  # fmt: skip
    try:
        import gsplat
    except ImportError:
        return runs
    runs["gsplat"] = pair(
        lambda: gsplat.rasterization(
            leaves["means"], None, None, leaves["opacities"], leaves["colors"], poses, lenses, *size,
            covars=leaves["covars"], backgrounds=background, packed=False,
        )
    )  # fmt: skip
    return runs


def measure_on_device(count: int, width: int, height: int, args: argparse.Namespace) -> None:
    """Print the times of a scene on the device, its differences from the CPU, and kernel times."""
    import torch

    gaussians = body(count, "float32", args.spread)
    camera = front_camera(gaussians, width, height)
    runs = device_runs(gaussians, camera, args.native)
    expected = draw(gaussians, camera)
    image: Any = runs["native"][0]()
    gap = np.abs(image.color.numpy()[0] - expected.color)
    print(
        f"\n{count} Gaussians at {width} x {height}: {int(expected.meta.tile_entries[0])} tile entries; largest "
        f"difference from the CPU {gap.max():.1e}, above 1e-3 in {int((gap.max(-1) > 1e-3).sum())} pixels"
    )
    again: Any = runs["native"][0]()
    assert np.array_equal(again.color.numpy(), image.color.numpy()), "two runs differ"
    for name, (forward, both) in runs.items():
        times = [device_milliseconds(run, args.repeats) for run in (forward, both)]
        print(f"  {name:8} forward {times[0]:7.3f} ms, forward + backward {times[1]:7.3f} ms", flush=True)
    if args.kernels:
        for name in ("native", "gsplat"):
            if name in runs:
                print(f"  kernels of {name} [us]:")
                for kernel, time_us in kernel_times(runs[name][1]).items():
                    print(f"    {time_us:9.1f}  {kernel[:150]}")
    torch.cuda.empty_cache()


def main_on_device(args: argparse.Namespace) -> None:
    """Print the times of the four scenes on a CUDA device."""
    import torch
    from diffmpm import _core

    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {_core.cuda_status()}")
    _core.set_stream(torch.cuda.current_stream().cuda_stream)
    for scene in DEVICE_SCENES:
        measure_on_device(*scene, args)


def main() -> None:
    """Print times of the two scenes, peak memory, and the speed of matrix products."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--spread", type=float, default=0.8, help="size of a Gaussian in units of the spacing")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--native", action="store_true", help="on a device, without PyTorch operators and gsplat")
    parser.add_argument("--kernels", action="store_true", help="on a device, with kernel times")
    args = parser.parse_args()
    if args.device == "cuda":
        return main_on_device(args)
    print(f"instruction set {dm._core.instruction_set()}; matrix products (fused multiply-adds):", end=" ")
    print(", ".join(f"{multiply_rate(n):.0f} GFLOP/s on {n}" for n in args.threads), "threads")
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for scene in SCENES:
        measure(*scene, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\npeak memory {peak / 1024:.0f} MB, of which {start / 1024:.0f} MB before the first scene (Python, NumPy)")


if __name__ == "__main__":
    main()
