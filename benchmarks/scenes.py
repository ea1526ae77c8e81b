# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Time from two scenes of Gaussians to files of their morph, by phase.

    python benchmarks/scenes.py --gaussians 200000

Each scene is the striped surface of a shape as Gaussians of SH degree 3. They are filled, morphed with the default
options, and written as one .ply file per frame. The last file is compared with the target scene.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.export import Splats, write_gaussian_ply


def striped(shape: str, count: int) -> Splats:
    """Return Gaussians on the surface of a shape, with colours that depend on the view direction."""
    surface = dm.surface.fit_surface(dm.sample(shape, particles=20_000).x)
    discs = surface.cover(int(np.ceil(np.sqrt(count / surface.quad_count))), sigma=0.6, flatness=0.2)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(discs["means"]))[:count])
    means, scales, quats = (discs[name][rows] for name in ("means", "scales", "quats"))
    wave = 0.5 + 0.5 * np.sin(30.0 * means[:, 2:] / np.ptp(means))
    colors = (1.0 - wave) * [0.1, 0.3, 0.5] + wave * [0.9, 0.8, 0.6]
    rest = (0.05 * rng.standard_normal((count, 15, 3))).astype(np.float32)
    return Splats(means, scales, quats, colors.astype(np.float32), np.full(count, 0.95, np.float32), rest)


@contextmanager
def timed(phase: str) -> Iterator[None]:
    """Print the seconds of a phase."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{phase:<28}{time.process_time() - cpu:8.1f} {time.perf_counter() - wall:8.1f}", flush=True)


def main() -> int:
    """Print CPU and wall seconds of each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=int, default=200_000, metavar="M")
    parser.add_argument("--shapes", nargs=2, default=["torus", "sphere"], metavar="SHAPE")
    args = parser.parse_args()
    print(f"{args.gaussians} Gaussians{'CPU [s]':>18} {'wall [s]':>8}")
    with tempfile.TemporaryDirectory() as name:
        scenes = [striped(shape, args.gaussians) for shape in args.shapes]
        paths = [write_gaussian_ply(Path(name) / f"{k}.ply", scene) for k, scene in enumerate(scenes)]
        with timed("all"):
            with timed("fill"):
                dm.splats.solid(dm.load_splats(paths[0]))
            with timed("morph, with two fills"):
                result = dm.morph(paths[0], paths[1], progress=False)
            with timed(f"{len(result.frames)} files"):
                folder = result.export(Path(name) / "film", format="ply")
        last = dm.load_splats(max(folder.glob("*.ply")))
        away = np.abs(last.means - scenes[1].means).max()
        print(f"last file: {last.count} Gaussians, centres at most {away:.1e} from those of the target")
    return 0


if __name__ == "__main__":
    sys.exit(main())
