# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Drop an elastic block on a floor; write frames and a contact sheet.

Run: python examples/falling_block.py --help
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import diffmpm as dm
import numpy as np


def main(argv: Sequence[str] | None = None) -> np.ndarray:
    """Run the simulation; return the positions of the frames, shape (K, N, 3)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=6000)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.1, help="simulated time")
    parser.add_argument("--material", default="fixed_corotated", choices=("fixed_corotated", "neo_hookean"))
    parser.add_argument("--size", type=int, default=240, help="image size in pixels")
    parser.add_argument("--out", default="out/falling_block")
    args = parser.parse_args(argv)

    density = 1000.0
    lam, mu = dm.lame_parameters(E=2e5, nu=0.3)
    block = dm.sample("box", particles=args.particles, density=density, lam=lam, mu=mu)
    low = block.x.min(axis=0)
    block = block.replace(x=block.x + np.array([0.0, 0.0, 0.8 - low[2]], np.float32))

    # Eight particles per cell; a time step well below the time that sound takes to cross a cell.
    dx = 2.0 * float(block.volume[0]) ** (1 / 3)
    dt = 0.2 * dx / np.sqrt((lam + 2.0 * mu) / density)
    stride = max(1, round(args.seconds / dt / (args.frames - 1)))
    config = dm.SimConfig(
        dx=dx,
        dt=dt,
        origin=(-3.0, -3.0, -6.0 * dx),
        dims=(round(6.0 / dx), round(6.0 / dx), round(4.0 / dx) + 6),
        material=args.material,
        gravity=(0.0, 0.0, -9.81),
        colliders=(dm.HalfSpace(point=(0.0, 0.0, 0.0), normal=(0.0, 0.0, 1.0), mode="separate"),),
    )
    roll = dm.Simulation(block, config).rollout(stride * (args.frames - 1), differentiable=False)
    frames = roll.frames_x(stride)

    folder = dm.export.check_folder(Path(args.out))
    dm.export.write_npz(folder / "frames.npz", x=frames, time=dt * stride * np.arange(len(frames)))
    camera = dm.view.orbit(frames.reshape(-1, 3), size=args.size, azimuth=30.0, elevation=12.0)
    colors = dm.view.material_colors(block.x)
    look = dm.view.RenderConfig(samples=10_000)
    images = [dm.view.render_body(x, camera, colors=colors, floor=0.0, config=look) for x in frames]
    dm.view.save_png(folder / "contact_sheet.png", dm.view.contact_sheet(images, columns=6))
    print(f"{block.count} particles, {roll.steps} steps of {dt:.2g} s; written to {folder}")
    return frames


if __name__ == "__main__":
    main()
