# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Drop a trained scene of Gaussians on a floor: fill it, simulate its body, and let the Gaussians follow.

Run: python examples/drop_splats.py scene.ply
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.export import Splats


def torus() -> Splats:
    """Return a scene for a first try: a torus with stripes."""
    surface = dm.surface.fit_surface(dm.sample("torus", particles=8_000).x)
    discs = surface.cover(2, sigma=0.6, flatness=0.2)
    angle = np.arctan2(discs["means"][:, 1], discs["means"][:, 0])
    stripes = 0.5 + 0.45 * np.sin(8.0 * angle[:, None] + np.array([0.0, 2.0, 4.0]))
    opacities = np.full(len(angle), 0.95, np.float32)
    return Splats(discs["means"], discs["scales"], discs["quats"], stripes.astype(np.float32), opacities)


def main(argv: Sequence[str] | None = None) -> np.ndarray:
    """Run the simulation; return the images, uint8, shape (K, H, W, 3)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", nargs="?", help=".ply, .splat or .spz file, z up; a striped torus if missing")
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--cells", type=int, default=96, help="grid cells along the longest side of the fill")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", type=int, default=320, help="image size in pixels")
    parser.add_argument("--out", default="out/drop_splats")
    args = parser.parse_args(argv)

    scene = dm.load_splats(args.scene) if args.scene else torus()
    density, (lam, mu) = 1000.0, dm.lame_parameters(E=1e5, nu=0.3)
    body = dm.sample(
        dm.splats.solid(scene, cells=args.cells), particles=args.particles, density=density, lam=lam, mu=mu
    )
    binding = dm.splats.bind(scene, body.x)

    # In units of the body's height, tilted and lifted above the floor z = 0.
    low, high = body.x.min(axis=0), body.x.max(axis=0)
    size = float((high - low).max())
    c, s = np.cos(0.5), np.sin(0.5)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    x = (body.x - 0.5 * (low + high)) @ tilt.T
    x[:, 2] += 0.4 * size - x[:, 2].min()
    body = body.replace(x=x.astype(np.float32), F=np.broadcast_to(tilt, (body.count, 3, 3)).astype(np.float32))

    dx = 2.0 * float(body.volume[0]) ** (1.0 / 3.0)
    dt = 0.2 * dx / np.sqrt((lam + 2.0 * mu) / density)
    seconds = 2.2 * np.sqrt(2.0 * 0.4 * size / 9.81)
    stride = max(1, round(seconds / dt / (args.frames - 1)))
    config = dm.SimConfig(
        dx=dx,
        dt=dt,
        origin=(-size, -size, -6.0 * dx),
        dims=(round(2.0 * size / dx), round(2.0 * size / dx), round(2.0 * size / dx) + 6),
        gravity=(0.0, 0.0, -9.81),
        colliders=(dm.HalfSpace(point=(0.0, 0.0, 0.0), normal=(0.0, 0.0, 1.0), mode="separate"),),
    )
    roll = dm.Simulation(body, config).rollout(stride * (args.frames - 1), differentiable=False)

    camera = dm.view.orbit(roll.frames_x(stride).reshape(-1, 3), size=args.size, azimuth=-60.0, elevation=15.0)
    images = []
    for k in range(args.frames):
        state = roll.state(k * stride)
        splats = binding.evaluate(state.x, state.F)
        image = dm.rasterize(
            splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=splats.colors_from(camera.position),
            cameras=camera,
            backgrounds=[1.0, 1.0, 1.0],
        )
        images.append(np.clip(255.0 * image.color + 0.5, 0.0, 255.0).astype(np.uint8))
    folder = dm.export.check_folder(Path(args.out))
    dm.export.write_gaussian_ply(folder / "last.ply", splats)
    sheet = dm.view.contact_sheet(images[:: max(1, args.frames // 6)], columns=3)
    dm.view.save_png(folder / "contact_sheet.png", sheet)
    dm.view.save_gif(folder / "drop.gif", images)
    print(f"{scene.count} Gaussians on {body.count} particles, {roll.steps} steps; written to {folder}")
    return np.stack(images)


if __name__ == "__main__":
    main()
