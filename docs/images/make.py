# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Create the images of the documentation.

python docs/images/make.py [SOURCE TARGET [RESULT] | flow | guided | looks RESULT | page RESULT]
"""

from __future__ import annotations

import io
import runpy
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.morphing import Frame, MorphResult
from PIL import Image

SIZE = 230
FRAMES = 6
VIEWS = {
    "isosphere-to-bunny": (-120.0, 14.0),
    "block-to-ring": (62.0, 34.0),
}  # azimuth and elevation, if different from the default


def spread(result: MorphResult, count: int) -> list[Frame]:
    """Return frames that are evenly spaced in the distance travelled by the body."""
    x = [frame.x for frame in result.frames]
    moved = np.cumsum([0.0, *(float(np.linalg.norm(b - a, axis=1).mean()) for a, b in pairwise(x))])
    return [result.frames[int(np.argmin(abs(moved - at)))] for at in np.linspace(0.0, moved[-1], count)]


def gradient_flow() -> None:
    """Draw the inputs and outputs of a rollout and the flow of gradients."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure = Figure(figsize=(8.4, 2.6), dpi=130)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 8.4), ylim=(0, 2.6))
    ax.axis("off")
    boxes = {
        (0.15, 1.85): (
            "controls  dFc (L, N, 3, 3)\nstate  x, v, C, F, Fp\nlam, mu, mass, volume\ngravity, drag",
            "#e8eef7",
        ),
        (2.95, 1.5): ("rollout\nT steps of MLS-MPM\nin the native core", "#f7e6d4"),
        (5.0, 1.25): ("states  x, v, C, F, G\nmass on the grid\nof any layer", "#e8eef7"),
        (7.05, 1.2): ("your loss\nin PyTorch", "#e3f1e1"),
    }
    edges = []
    for (x, width), (text, color) in boxes.items():
        y, height = 0.6, 1.4
        box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.03", fc=color, ec="#555555", lw=0.8)
        ax.add_patch(box)
        ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8.5)
        edges.append((x - 0.03, x + width + 0.03))
    for (_, right), (left, _) in pairwise(edges):
        ahead = {"arrowstyle": "-|>", "mutation_scale": 11, "lw": 1.2}
        ax.add_patch(FancyArrowPatch((right, 1.55), (left, 1.55), color="#333333", **ahead))
        ax.add_patch(FancyArrowPatch((left, 1.05), (right, 1.05), color="#b5402a", **ahead))
    ax.text(4.2, 2.3, "forward: one call", ha="center", fontsize=9, color="#333333")
    ax.text(4.2, 0.25, "backward: the exact adjoint of every step, one call", ha="center", fontsize=9, color="#b5402a")
    figure.savefig(Path(__file__).with_name("gradient-flow.png"))


def guided() -> None:
    """Render a target and its morphs by mass alone, with images, and from eight silhouettes."""
    path = Path(__file__).parents[2] / "examples" / "render_guided.py"
    example = runpy.run_path(str(path))
    options = {"particles": 8000, "windows": 60}
    results = [
        dm.morph("box", "heart", **options, **example["MASS_ALONE"]),
        dm.morph("box", "heart", render=dm.RenderGuidance(), **options, **example["MASS_ALONE"]),
        dm.morph("box", example["photographs"]("heart", 96), **options),
    ]
    config = dm.view.RenderConfig(size=SIZE, color="clay", supersample=3, azimuth=90.0, elevation=12.0)
    target = results[0].target_x
    camera = dm.view.orbit(target, size=SIZE, azimuth=config.azimuth, elevation=config.elevation)
    images = [dm.view.render_body(x, camera, config=config) for x in (target, *(result.x for result in results))]
    save(images, "guided.png")


def looks(folder: str) -> None:
    """Render the final frame of a morph with four sets of options."""
    result = MorphResult.load(folder)
    base = dm.view.RenderConfig(size=SIZE, supersample=3)
    configs = (
        base,
        base.replace(color="clay", azimuth=120.0, elevation=30.0),
        base.replace(color="#3c78b4", background="#20242c", shadow=False),
        base.replace(color="grey", specular=1.0, elevation=60.0),
    )
    last = result.frames[-1:]
    save([next(iter(dm.view.render_frames(result, config, frames=last))) for config in configs], "looks.png")


def save(images: list[np.ndarray], name: str) -> None:
    """Write images in a row."""
    sheet = Image.fromarray(dm.view.contact_sheet(images, columns=len(images), gap=0))
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", optimize=True)
    path = dm.export.write_bytes(Path(__file__).with_name(name), stream.getvalue())
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def web_page(folder: Path) -> None:
    """Take screenshots of the web page of a morph, midway and at the end, in a headless browser."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from browser import browser

    result = MorphResult.load(folder)
    config = dm.view.RenderConfig(samples=30_000)
    frames = [result.frames[len(result.frames) // 3], result.frames[-1]]
    with tempfile.TemporaryDirectory() as name, browser(Path(name) / "profile") as page:
        path = dm.view.export_frames(result, name, "html", config=config, frames=frames) / "morph.html"
        shots = []
        for state in ("frame=0", "frame=1&look=particles"):
            page.open(f"{path.as_uri()}#azimuth=62&elevation=28&{state}", 460, 380)
            page.wait("player.drawing.frames.length === 2")
            page.settle()
            shots.append(page.screenshot())
    save(shots, "web-page.png")


def main() -> None:
    if sys.argv[1:] == ["flow"]:
        return gradient_flow()
    if sys.argv[1:] == ["guided"]:
        return guided()
    if sys.argv[1:2] == ["looks"]:
        return looks(sys.argv[2])
    if sys.argv[1:2] == ["page"]:
        return web_page(Path(sys.argv[2]))
    source, target = sys.argv[1:3] if len(sys.argv) > 2 else ("sphere", "torus")
    name = f"{Path(source).stem}-to-{Path(target).stem}"
    saved = Path(sys.argv[3]) if len(sys.argv) > 3 else None  # the folder of an existing morph
    result = MorphResult.load(saved) if saved else dm.morph(source, target)
    azimuth, elevation = VIEWS.get(name, (62.0, 28.0))
    config = dm.view.RenderConfig(size=SIZE, azimuth=azimuth, elevation=elevation, supersample=3)
    # Track all frames, as in a film, and show some of them.
    shown = {id(frame) for frame in spread(result, FRAMES)}
    film = zip(result.frames, dm.view.render_frames(result, config), strict=True)
    images = [image for frame, image in film if id(frame) in shown]
    save(images, f"{name}.png")
    print(result.metrics)


if __name__ == "__main__":
    main()
