# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Compare a morph by mass alone with the same morph guided by images, and with one from eight silhouettes alone.

Uses only the log mass loss, because the default objective has terms with a similar effect to images.
Run: python examples/render_guided.py --help
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.render import Camera
from PIL import Image

MASS_ALONE = {"density_weight": 0.0, "fine_weight": 0.0, "distance_weight": 0.0}


def photographs(target: str, size: int) -> dm.TargetViews:
    """Return silhouettes of a shape from two circles of four cameras."""
    body = dm.sample(target, particles=20_000)
    middle = body.x.mean(axis=0, dtype=float)
    radius = float(np.linalg.norm(body.x - middle, axis=1).max())
    spacing = float(np.mean(body.volume)) ** (1.0 / 3.0)
    ring = {"radius": 4.5 * radius, "count": 4, "width": size, "height": size}
    cameras = Camera.orbit(middle, elevations=-10.0, **ring) + Camera.orbit(middle, elevations=35.0, start=45.0, **ring)
    balls = np.tile((0.5 * spacing) ** 2 * np.eye(3, dtype=body.x.dtype), (body.count, 1, 1))
    images = dm.rasterize(body.x, covars=balls, opacities=0.9, colors=body.x, cameras=cameras)
    return dm.TargetViews(cameras, images.alpha > 0.5)


def picture(result, camera: Camera) -> Image.Image:
    """Render the surface normals of a result."""
    gaussians = dm.gaussians(
        result.x, np.broadcast_to(np.eye(3, dtype=np.float32), result.F.shape).copy(), samples=20_000
    )
    colors = 0.5 + 0.5 * gaussians.normals
    image = dm.rasterize(gaussians.means, covars=gaussians.covars, opacities=0.9, colors=colors, cameras=camera)
    return Image.fromarray(np.clip(255.0 * image.color, 0.0, 255.0).astype(np.uint8))


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="sphere", help="source shape")
    parser.add_argument("target", nargs="?", default="torus", help="target shape")
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--windows", type=int, default=60, help="maximum number of windows")
    parser.add_argument("--size", type=int, default=96, help="size of the compared images in pixels")
    parser.add_argument("--out", default="out/render-guided")
    args = parser.parse_args(argv)

    options = {"particles": args.particles, "windows": args.windows}
    guide = dm.RenderGuidance(size=args.size)
    views = photographs(args.target, max(64, args.size))
    results = {
        "mass alone": dm.morph(args.source, args.target, **options, **MASS_ALONE),
        "with images": dm.morph(args.source, args.target, render=guide, **options, **MASS_ALONE),
        "silhouettes alone": dm.morph(args.source, views, **options),
    }
    sample = results["mass alone"].target_x
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {}
    for name, result in results.items():
        values = metrics[name] = dm.metrics.evaluate(result.x, sample, F=result.F)
        print(f"{name:18s} silhouette IoU {values['silhouette_iou']:.4f}   chamfer {values['chamfer']:.4f}", end="")
        guidance = result.history[-1].get("guidance")
        print(f"   images {100 * guidance['fraction']:.0f} %" if guidance else "")
        picture(result, views.cameras[4].resized(400, 400)).save(folder / f"{name.replace(' ', '-')}.png")
    return metrics


if __name__ == "__main__":
    main()
