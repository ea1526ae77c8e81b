# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Performance report for a CUDA device: time step, rasteriser, morphs, memory, losses, synchronisation and tests.

    python benchmarks/device_report.py --meshes isosphere.obj bunny.obj --json report.json

Needs a build with the CUDA backend, and uses PyTorch if it is installed. The programs `diffmpm_cuda_benchmark` and
`diffmpm_cuda_probe` are searched for in build folders by default. Each section runs in a separate process with a time
limit. Failures are rows of the table, and the exit status is 1 if a value misses its target. `--small` runs the same
code with few particles, for builds that emulate the device on the CPU.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HAS_TORCH = importlib.util.find_spec("torch") is not None

STEP_RUNS = ((50, 64, 8), (32, 64, 8), (16, 64, 8), (18, 64, 171))
"""Arguments of the benchmark program: cells along an edge, steps, particles per cell."""
STEP_TARGETS: dict[tuple[str, int], tuple[float | None, float | None]] = {
    ("quadratic", 1_000_000): (4500, 1500),
    ("cubic", 1_000_000): (3500, 1200),
    ("quadratic", 32_768): (900, 350),
}
"""Million particle-steps per second, forward and forward + backward."""

SCENES = (
    (50_000, 640, 480, 0.59, 1.14),
    (111_000, 1920, 1080, 0.59, 1.54),
    (200_000, 1280, 720, 0.92, 2.00),
    (1_000_000, 1920, 1080, 1.65, 5.41),
)
"""Gaussians, image size, and the milliseconds of gsplat 1.5.3 on an H100, forward and forward + backward."""
TORCH_OVERHEAD = 0.15
"""Largest overhead of a call through PyTorch in milliseconds."""

MORPHS = {20_000: (3.0, 0.96), 40_000: (4.0, 0.97), 300_000: (12.0, 0.97)}
"""Particles: seconds from import to written images, and silhouette IoU."""
OUTSIDE = 3.0
"""Largest time of the largest morph outside its windows in seconds."""

MEMORY = (4_000_000, 16_000_000)
STEPS = 64
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")

Row = dict[str, Any]


def row(what: str, value: object, unit: str = "", *, most: float | None = None, least: float | None = None) -> Row:
    """Return a row of the table with the largest or smallest value that passes."""
    return {"what": what, "value": value, "unit": unit, "most": most, "least": least}


def failed(what: str, reason: object) -> Row:
    """Return the row of a failed measurement."""
    return {"what": what, "value": None, "failure": " ".join(str(reason).split())[-300:]}


def passes(r: Row) -> bool | None:
    """Return whether a row meets its target, or None without a target."""
    if "failure" in r:
        return False
    if r["most"] is not None:
        return bool(r["value"] <= r["most"])
    return None if r["least"] is None else bool(r["value"] >= r["least"])


def device(args: argparse.Namespace) -> Iterator[Row]:
    """Report the device and versions."""
    import diffmpm as dm

    yield row("CUDA", dm._core.cuda_status())
    yield row("devices", dm._core.cuda_device_count(), least=1)
    yield row("DiffMPM", dm.__version__)
    if HAS_TORCH:
        import torch

        yield row("PyTorch", torch.__version__)


def step(args: argparse.Namespace) -> Iterator[Row]:
    """Measure million particle-steps per second, and the time of each kernel."""
    program = program_path(args.benchmark, "diffmpm_cuda_benchmark")
    full_speed: dict[str, tuple[float, float]] = {}
    for cells, steps, per_cell in [(4, 2, 8)] if args.small else STEP_RUNS:
        count = round(cells * per_cell ** (1 / 3)) ** 3  # a lattice, as in the program
        done = run([str(program), str(cells), str(steps), str(per_cell)])
        if done.returncode or f" {count} particles" not in done.stdout:
            yield failed(f"{count} particles, {per_cell} per cell", done.stderr or f"unexpected output: {done.stdout}")
            continue
        basis = ""
        for line in done.stdout.splitlines():
            if speeds := re.match(r"(\w+), \d+ particles: ([\d.]+) .* forward, ([\d.]+)", line):
                basis = speeds[1]
                least = STEP_TARGETS.get((basis, count), (None, None))
                rates = float(speeds[2]), float(speeds[3])
                if per_cell == 171 and basis in full_speed:
                    least = 0.5 * full_speed[basis][0], 0.5 * full_speed[basis][1]
                elif count == 1_000_000:
                    full_speed[basis] = rates
                for n, way in enumerate(("forward", "f+b")):
                    yield row(
                        f"{basis}, {count} particles, {per_cell} per cell, {way}", rates[n], "M/s", least=least[n]
                    )
            elif (count, per_cell) == (1_000_000, 8) and (
                kernel := re.match(r"(\w[\w ,]+?)  +([\d.]+) .*?([\d.]+)%", line)
            ):
                yield row(f"{basis}, {kernel[1]}", float(kernel[2]), f"us, {kernel[3]} % of copy bandwidth")


def raster(args: argparse.Namespace) -> Iterator[Row]:
    """Measure milliseconds of the rasteriser, native and through PyTorch, and of gsplat if it is installed."""
    import torch
    from raster import body, device_runs, front_camera

    for count, width, height, *reported in [(300, 48, 32, None, None)] if args.small else SCENES:
        gaussians = body(count, "float32", 0.8)
        camera = front_camera(gaussians, width, height)
        runs = device_runs(gaussians, camera, not torch.cuda.is_available())
        times = {name: [milliseconds(run) for run in pair] for name, pair in runs.items()}
        for n, way in enumerate(("forward", "f+b")):
            gsplat = times["gsplat"][n] if "gsplat" in times else reported[n]
            limits = {"native": gsplat, "PyTorch": times["native"][n] + TORCH_OVERHEAD}
            for name, values in times.items():
                what = f"{count} Gaussians, {width}x{height}, {name} {way}"
                yield row(what, values[n], "ms", most=limits.get(name))


def morph(args: argparse.Namespace) -> Iterator[Row]:
    """Measure whole morphs with the command line, from import to written images."""
    meshes = args.meshes or ("sphere", "torus")
    few = ("windows=2", "steps=4", "released_steps=2", "iterations=2")
    options = [*(word for value in few for word in ("--set", value)), "--size", "32"] if args.small else []
    missing = [name for name in ("matplotlib", "PIL") if importlib.util.find_spec(name) is None]
    if missing:
        options.append("--no-pictures")
        yield failed("images", f"{missing[0]} is not installed")
    for count, (seconds, iou) in ({400: (None, None)} if args.small else MORPHS).items():
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "diffmpm", "morph", *meshes, "--particles", str(count), "--device", "cuda",
                       "--quiet", "--out", out, *options]  # fmt: skip
            began = time.perf_counter()
            done = run(command)
            total = time.perf_counter() - began
            if done.returncode:
                yield failed(f"{count} particles", done.stderr or f"exit status {done.returncode}")
            if not (Path(out) / "metrics.json").exists():
                continue
            result = json.loads((Path(out) / "metrics.json").read_text())
        inside = result["seconds"]
        yield row(f"{count} particles, optimisation ({result['windows']} windows)", inside, "s")
        yield row(f"{count} particles, whole call", total, "s", most=seconds)
        yield row(f"{count} particles, outside windows", total - inside, "s",
                  most=OUTSIDE if count == max(MORPHS) else None)  # fmt: skip
        yield row(f"{count} particles, silhouette IoU", result["silhouette_iou"], least=iou if args.meshes else None)
        yield row(f"{count} particles, surface gap", 100 * result["surface_gap"], "%")
        yield row(f"{count} particles, smallest det F", result["det_F_min"])


def memory(args: argparse.Namespace) -> Iterator[Row]:
    """Measure device memory per particle, including the body, until the end of the rollout."""
    fresh = multiprocessing.get_context("spawn")
    for count in (1000,) if args.small else MEMORY:
        for way in ("forward", "f+b"):
            with fresh.Pool(1) as pool:  # separate processes, because the memory pool of the core does not shrink
                taken, total = pool.apply(memory_of_rollout, (count, way == "f+b"))
            size = f"bytes per particle, {taken / 2**30:.1f} of {total / 2**30:.1f} GiB"
            yield row(f"{count} particles, {way}", taken / count, size)


def memory_of_rollout(count: int, backward: bool) -> tuple[int, int]:
    """Return the peak bytes of a rollout, and the total bytes of the device."""
    import diffmpm as dm

    dm.to_device(np.zeros(1, np.float32))  # creates the context, which is not counted
    before = device_memory()
    roll = rollout(dm, count, 16, differentiable=backward)
    if backward:
        roll.vjp(adj_x=roll.x, wrt="v")
    return before[0] - device_memory()[0], before[1]


def losses(args: argparse.Namespace) -> Iterator[Row]:
    """Measure milliseconds of image losses, value and gradient, for the 24 images of a guided morph."""
    from diffmpm import losses

    random = np.random.default_rng(0)
    shape = (2, 16, 16) if args.small else (24, 96, 96)
    halves = random.normal(size=(100 if args.small else 10_000, 3, 3))
    covars = np.matmul(halves, halves.transpose(0, 2, 1)) + 0.1 * np.eye(3)
    fields = (random.random(shape), random.random(shape), random.random((*shape, 3)), covars)
    on_cpu = losses.Images(*(a.astype(np.float32) for a in fields))
    on_device = on_cpu.to("cuda")
    cases = [losses.SilhouetteL1(), losses.SilhouetteL2(), losses.SilhouetteBCE(), losses.SilhouettePyramid(),
             losses.SilhouetteDistance(), losses.Depth(), losses.Color(), losses.SSIM(), losses.EdgeAlignment(),
             losses.CovarianceSpectrum(), losses.CovarianceSize(size=0.1)]  # fmt: skip
    for loss in cases:
        try:
            cpu = milliseconds(lambda: loss.evaluate(on_cpu, on_cpu), calls=3)  # noqa: B023
            value = milliseconds(lambda: loss.evaluate(on_device, on_device))  # noqa: B023
        except Exception as error:
            yield failed(loss.name, error)
        else:
            yield row(loss.name, value, f"ms; CPU {cpu:.2f}")


def waits(args: argparse.Namespace) -> Iterator[Row]:
    """Count how often the host waits for the device in a rollout, with the PyTorch profiler."""
    import diffmpm as dm
    import diffmpm.torch as dmt
    import torch

    count = 1000 if args.small else 32_768
    where = "cuda" if torch.cuda.is_available() else "cpu"
    start = torch.from_numpy(cube(count)).to(where).requires_grad_()
    config = rollout(dm, count, 0, differentiable=False).config

    def forward(steps: int) -> None:
        rollout(dm, count, steps, differentiable=False)

    def both(steps: int) -> None:
        roll = rollout(dm, count, steps, differentiable=True)
        roll.vjp(adj_x=roll.x, wrt="v")

    def through_torch(steps: int) -> None:
        dmt.rollout(config, steps, x=start, mass=1.0, volume=0.125, lam=577.0, mu=385.0).x.sum().backward()

    activities = [torch.profiler.ProfilerActivity.CPU]
    if where == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    for name, call in (("forward", forward), ("f+b", both), ("PyTorch f+b", through_torch)):
        counts = []
        for steps in (0, STEPS):  # argument checks wait even without steps
            call(steps)
            with torch.profiler.profile(activities=activities) as profile:
                call(steps)
            counts.append(sum(event.name in WAITS for event in profile.events()))
        yield row(
            f"rollout, {name}", (counts[1] - counts[0]) / STEPS, f"per step ({counts[0]} without steps)", most=0.5
        )


def tests(args: argparse.Namespace) -> Iterator[Row]:
    """Run the tests that compare the device with the CPU."""
    began = time.perf_counter()
    select = ["-k", "test_arrays"] if args.small else []
    done = run([sys.executable, "-m", "pytest", "tests/parity", "-q", "-p", "no:cacheprovider", *select], cwd=ROOT)
    count = {name: int(n) for n, name in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout[-400:])}
    yield row("tests/parity, passed", count.get("passed", 0), f"in {time.perf_counter() - began:.0f} s", least=1)
    yield row("tests/parity, failed", count.get("failed", 0) + count.get("error", 0), most=0)
    for name in re.findall(r"^(?:FAILED|ERROR) (.*)", done.stdout, re.M):
        yield failed("tests/parity", name)
    done = run([str(program_path(args.probe, "diffmpm_cuda_probe"))])
    for name in ("passed", "failed"):
        n = re.search(rf"test cases:.*?(\d+) {name}", done.stdout)
        yield row(f"diffmpm_cuda_probe, {name}", int(n[1]) if n else -1, most=0 if name == "failed" else None)
    if done.returncode != 0:
        for name in re.findall(r"^TEST CASE: *(.*)", done.stdout, re.M):
            yield failed("diffmpm_cuda_probe", name)


SECTIONS: dict[str, tuple[Callable[[argparse.Namespace], Iterator[Row]], float]] = {
    "device": (device, 20),
    "step": (step, 45),
    "raster": (raster, 40),
    "morph": (morph, 90),
    "memory": (memory, 40),
    "losses": (losses, 20),
    "waits": (waits, 30),
    "tests": (tests, 60),
}
"""Sections with their time limits in seconds."""


def milliseconds(call: Callable[[], object], calls: int = 10, repeats: int = 5) -> float:
    """Return the median over repeats of the mean time of consecutive calls."""
    times = []
    for n in range(repeats + 1):  # the first warms up
        began = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        if n:
            times.append(1e3 * (time.perf_counter() - began) / calls)
    return statistics.median(times)


def wait() -> None:
    """Wait for the device by computing a number."""
    import diffmpm as dm

    one = dm.to_device(np.ones(1, np.float32))
    dm._core.dot(one, one)


def cube(count: int) -> np.ndarray:
    """Return positions in a cube, 8 particles per cell of 1 m."""
    return np.random.default_rng(0).random((count, 3), np.float32) * np.float32((count / 8) ** (1 / 3))


def rollout(dm: Any, count: int, steps: int, *, differentiable: bool) -> Any:
    """Return the rollout of a cube on the device."""
    body = dm.Particles.create(dm.to_device(cube(count)), mass=1.0, volume=0.125, lam=577.0, mu=385.0)
    return dm.Simulation(body, dm.SimConfig(dx=1.0, dt=2e-3)).rollout(steps, differentiable=differentiable)


def device_memory() -> tuple[int, int]:
    """Return free and total bytes of the current device."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    status = ctypes.CDLL("libcuda.so.1").cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    if status:
        raise RuntimeError(f"cuMemGetInfo: error {status}")
    return free.value, total.value


def program_path(path: str | None, name: str) -> Path:
    """Return the path of a compiled program, by default the newest in the build folders."""
    if path:
        return Path(path).resolve()
    paths = sorted(ROOT.glob(f"build/**/{name}"), key=lambda p: p.stat().st_mtime)
    if not paths:
        raise FileNotFoundError(f"{name}: not found in build folders; build its CMake target, or pass the path")
    return paths[-1]


def run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program and return its result."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def section_process(name: str, args: argparse.Namespace) -> None:
    """Run a section in this process and print each row as JSON immediately."""
    try:
        for one in SECTIONS[name][0](args):
            print("ROW" + json.dumps(one), flush=True)
    except Exception as error:
        print("ROW" + json.dumps(failed(name, f"{type(error).__name__}: {error}")), flush=True)


def section_rows(name: str, seconds: float) -> list[Row]:
    """Run a section in a separate process and return its rows."""
    with tempfile.TemporaryFile("w+") as out:
        command = [sys.executable, __file__, *sys.argv[1:], "--section", name]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        reason = None
        try:
            if process.wait(seconds):
                reason = f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"stopped after {seconds:.0f} s"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        text = out.read()
    rows = [json.loads(line[3:]) for line in text.splitlines() if line.startswith("ROW")]
    return rows if reason is None else [*rows, failed(name, f"{reason}: {text[-200:] if not rows else ''}")]


def table_line(r: Row) -> str:
    """Return a row as a line of text."""
    value = "failed" if "failure" in r else f"{r['value']:.4g}" if isinstance(r["value"], float) else str(r["value"])
    bounds = [f"{sign} {r[key]:g}" for sign, key in (("<=", "most"), (">=", "least")) if r.get(key) is not None]
    mark = {True: "pass", False: "MISS", None: ""}[passes(r)]
    text = f"{r['what']:<54} {value:>12} {r.get('unit', '')}"
    return f"  {text:<92} {''.join(bounds):>10} {mark} {r.get('failure', '')}".rstrip()


def main() -> int:
    """Print the table; return 1 if a value misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"sections, separated by commas: {', '.join(SECTIONS)}")
    parser.add_argument(
        "--meshes", nargs=2, metavar=("SOURCE", "TARGET"), help="meshes of the morphs (default sphere, torus)"
    )
    parser.add_argument("--benchmark", metavar="PROGRAM", help="diffmpm_cuda_benchmark")
    parser.add_argument("--probe", metavar="PROGRAM", help="diffmpm_cuda_probe")
    parser.add_argument("--limit", type=float, default=150.0, help="total time limit in seconds (default 150)")
    parser.add_argument("--json", metavar="FILE", help="also write all rows to this file")
    parser.add_argument("--small", action="store_true", help="few particles and pixels, to test the script")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.section:
        section_process(args.section, args)
        return 0
    names = args.only.split(",") if args.only else list(SECTIONS)
    unknown = sorted(set(names) - set(SECTIONS))
    if unknown:
        parser.error(f"--only: expected sections from {', '.join(SECTIONS)}, got {unknown[0]}")
    began = time.perf_counter()
    report: dict[str, list[Row]] = {}
    for name in names:
        at = time.perf_counter()
        left = args.limit - (at - began)
        report[name] = section_rows(name, min(SECTIONS[name][1], left)) if left > 1 else [failed(name, "no time left")]
        print(f"{name} ({time.perf_counter() - at:.1f} s)", *map(table_line, report[name]), sep="\n", flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(report, indent=1))
    marks = [passes(r) for rows in report.values() for r in rows]
    print(f"{time.perf_counter() - began:.0f} s; {marks.count(True)} pass, {marks.count(False)} miss or failed")
    return int(False in marks)


if __name__ == "__main__":
    sys.exit(main())
