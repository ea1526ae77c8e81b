# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Create the images of the documentation.

    python docs/images/make.py [NAME...]

Names are hero, strips, colored, loop, scenes, drop, gallery, shapes, looks, page, guided and flow; all of them
without a name. Morphs are stored in build/gallery and used again. Delete that folder to repeat them.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.cli import main as diffmpm
from diffmpm.morphing import Frame, MorphResult
from PIL import Image

IMAGES = Path(__file__).parent
ROOT = IMAGES.parents[1]
STORED = ROOT / "build" / "gallery"
SIZE, FRAMES = 230, 6
"""Size [px] and number of the images of a strip."""
PANELS = ("sphere examples/spot.obj", "letter_a letter_s --particles 5k", "box star --particles 5k")
"""Morphs of the animation at the top of README and manual."""
PANEL = {"size": 250, "count": 48, "quality": 76}
LOOP = {"size": 300, "fps": 20.0, "quality": 90}
SCENES = {"size": 300, "fps": 16.0, "quality": 85}
DROP = {"size": 300, "fps": 16.0, "quality": 85}
THUMBNAIL = {"size": 200, "count": 24, "quality": 55}
MILLISECONDS, HOLD = 60, 1200
"""Duration of an image of an animation, and of its first and last image [ms]."""


def stored(arguments: str) -> MorphResult:
    """Return the result of `diffmpm morph ARGUMENTS`, from build/gallery if it is there."""
    words = shlex.split(arguments)
    name = "-to-".join(Path(word).stem for word in words[:2]) + ("" if "5k" in words else "-20k")
    if not (STORED / name / "metrics.json").exists():
        inputs = [str(ROOT / word) if (ROOT / word).is_file() else word for word in words]
        if diffmpm(["morph", *inputs, "--no-pictures", "--quiet", "--overwrite", "-o", str(STORED / name)]) != 0:
            raise SystemExit(f"failed: diffmpm morph {arguments}")
    return MorphResult.load(STORED / name)


def at(result: MorphResult, places: np.ndarray) -> list[Frame]:
    """Return bodies at fractions of the distance travelled, interpolated between frames."""
    frames = result.frames
    moved = np.cumsum([0.0, *(float(np.linalg.norm(b.x - a.x, axis=1).mean()) for a, b in pairwise(frames))])
    bodies = []
    for index in np.interp(places * moved[-1], moved, np.arange(len(frames))):
        before, part = min(int(index), len(frames) - 2), np.float32(index - min(int(index), len(frames) - 2))
        x = (1 - part) * frames[before].x + part * frames[before + 1].x
        bodies.append(replace(frames[before], x=x))
    return bodies


def film(arguments: str, size: int, count: int) -> list[np.ndarray]:
    """Draw the animation of a morph, which starts and ends slowly."""
    result = stored(arguments)
    eased = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, count))
    config = dm.view.RenderConfig(size=size, supersample=3)
    return list(dm.view.render_frames(result, config, frames=at(result, eased)))


def save_animation(images: list[np.ndarray], name: str, quality: int, fps: float | None = None) -> None:
    """Write images as an endless WebP animation, which holds the first and the last image unless `fps` is given."""
    pages = [Image.fromarray(image) for image in images]
    durations = [HOLD, *[MILLISECONDS] * (len(pages) - 2), HOLD] if fps is None else round(1000 / fps)
    options = {"save_all": True, "duration": durations, "loop": 0, "quality": quality, "method": 6, "kmax": 1}
    stream = io.BytesIO()
    pages[0].save(stream, format="WEBP", append_images=pages[1:], **options)
    write(name, stream.getvalue())


def save(images: list[np.ndarray], name: str) -> None:
    """Write images in a row."""
    stream = io.BytesIO()
    row = Image.fromarray(np.concatenate(images, axis=1))
    row.save(stream, format="PNG", optimize=True)
    write(name, stream.getvalue())


def write(name: str, content: bytes) -> None:
    (IMAGES / name).parent.mkdir(exist_ok=True)
    print(f"{dm.export.write_bytes(IMAGES / name, content)}: {len(content) / 1e3:.0f} kB", flush=True)


def hero() -> None:
    """Draw three morphs side by side."""
    films = [film(arguments, PANEL["size"], PANEL["count"]) for arguments in PANELS]
    save_animation(
        [np.concatenate(images, axis=1) for images in zip(*films, strict=True)], "morphs.webp", PANEL["quality"]
    )


def strips() -> None:
    """Draw six images of each of three morphs."""
    config = dm.view.RenderConfig(size=SIZE, supersample=3)
    with tempfile.TemporaryDirectory() as folder:  # the meshes of the tutorial
        page = (ROOT / "docs" / "tutorials" / "morph_two_meshes.md").read_text("utf-8")
        code = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "block.stl" in block)
        for name in ("block.stl", "ring.obj"):
            code = code.replace(name, str(Path(folder) / name))
        exec(code, {})
        for arguments in (
            "sphere torus",
            "sphere examples/spot.obj",
            f"{folder}/block.stl {folder}/ring.obj",
        ):
            result = stored(arguments)
            name = "-to-".join(Path(word).stem for word in arguments.split())
            frames = at(result, np.linspace(0.0, 1.0, FRAMES))
            save(list(dm.view.render_frames(result, config, frames=frames)), f"{name}.png")
            print(result.metrics)


def colored() -> None:
    """Draw six images of the morph of the tutorial about coloured meshes."""
    page, folder = (ROOT / "docs" / "tutorials" / "coloured_morph.md").read_text("utf-8"), STORED / "colored"
    if not (folder / "result" / "metrics.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], {})
            arguments = ["ball.obj", "ring.ply", "--preset", "fast", "--no-pictures", "--quiet", "-o", "result"]
            if diffmpm(["morph", *arguments]) != 0:
                raise SystemExit("failed: diffmpm morph ball.obj ring.ply")
    result = MorphResult.load(folder / "result")
    config = dm.view.RenderConfig(size=SIZE, supersample=3)
    frames = at(result, np.linspace(0.0, 1.0, FRAMES))
    save(list(dm.view.render_frames(result, config, frames=frames)), "ball-to-ring.png")


def loop() -> None:
    """Draw the looped film of three shapes of the tutorial about shots, with more images per second."""
    page = (ROOT / "docs" / "tutorials" / "shot.md").read_text("utf-8")
    folder = STORED / "shot"
    if not (folder / "metrics.json").exists():
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2]:  # the meshes and the shot file
                exec(code, {})
            text = Path("shot.toml").read_text("utf-8").replace('outputs = ["webp"]', "")
            Path("shot.toml").write_text(text, "utf-8")
            if diffmpm(["morph", "--config", "shot.toml", "--no-pictures", "--quiet", "-o", str(folder)]) != 0:
                raise SystemExit("failed: diffmpm morph --config shot.toml")
    result = MorphResult.load(folder)
    assert result.run is not None and result.run.image is not None and result.run.timeline is not None
    config = result.run.image.replace(size=LOOP["size"], supersample=3)
    timeline = result.run.timeline.replace(fps=LOOP["fps"])
    images = list(dm.view.render_frames(result, config, timeline=timeline))
    save_animation(images, "loop.webp", LOOP["quality"], timeline.fps)


def scenes() -> None:
    """Draw the morph of two scenes of Gaussians of the tutorial about them."""
    page, folder = (ROOT / "docs" / "tutorials" / "splats.md").read_text("utf-8"), STORED / "scenes"
    if not (folder / "result" / "metrics.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], {})
            if diffmpm(["morph", "torus.ply", "letter.ply", "--no-pictures", "--quiet", "-o", "result"]) != 0:
                raise SystemExit("failed: diffmpm morph torus.ply letter.ply")
    result = MorphResult.load(folder / "result")
    timeline = dm.Timeline(duration=5.0, fps=SCENES["fps"], hold=0.7, ease=0.8)
    config = dm.view.RenderConfig(size=SCENES["size"], supersample=3)
    with contextlib.chdir(folder):  # the scenes are read again
        images = list(dm.view.render_frames(result, config, timeline=timeline))
    save_animation(images, "scenes.webp", SCENES["quality"], timeline.fps)


def drop() -> None:
    """Draw the film of examples/drop_splats.py."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        main = runpy.run_path(str(ROOT / "examples" / "drop_splats.py"))["main"]
        images = main(["--size", str(DROP["size"]), "--out", folder])
    save_animation(list(images), "drop.webp", DROP["quality"], DROP["fps"])


def gallery() -> None:
    """Draw the animations of docs/gallery.md, whose captions are the commands."""
    page = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    figures = re.findall(r"{figure} images/(\S+)\n.*?`diffmpm morph (.*?)`", page, re.DOTALL)
    for name, arguments in figures:
        save_animation(film(arguments, THUMBNAIL["size"], THUMBNAIL["count"]), name, THUMBNAIL["quality"])


def shapes() -> None:
    """Draw the built-in shapes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shapes.png"
        diffmpm(["shapes", "--quiet", "-o", str(path)])
        stream = io.BytesIO()
        Image.open(path).save(stream, format="WEBP", quality=80, method=6)
        write("shapes.webp", stream.getvalue())


def looks() -> None:
    """Draw the final frame of a morph with four sets of options."""
    result = stored(PANELS[0])
    base = dm.view.RenderConfig(size=SIZE, supersample=3)
    configs = (
        base,
        base.replace(color="clay", azimuth=120.0, elevation=30.0),
        base.replace(color="#3c78b4", background="#20242c", shadow=False),
        base.replace(color="grey", specular=1.0, elevation=60.0),
    )
    last = result.frames[-1:]
    save([next(iter(dm.view.render_frames(result, config, frames=last))) for config in configs], "looks.png")


def page() -> None:
    """Take screenshots of the web page of a morph, midway and at the end, in a headless browser."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import browser

    result = stored(PANELS[0])
    config = dm.view.RenderConfig(samples=30_000)
    frames = [result.frames[len(result.frames) // 3], result.frames[-1]]
    with tempfile.TemporaryDirectory() as name, browser(Path(name) / "profile") as tab:
        path = dm.view.export_frames(result, name, "html", config=config, frames=frames) / "morph.html"
        shots = []
        for state in ("frame=0", "frame=1&look=particles"):
            tab.open(f"{path.as_uri()}#azimuth={config.azimuth}&elevation={config.elevation}&{state}", 460, 380)
            tab.wait("player.drawing.frames.length === 2")
            tab.settle()
            shots.append(tab.screenshot())
    save(shots, "web-page.png")


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
    figure.savefig(IMAGES / "gradient-flow.png")


def guided() -> None:
    """Render a target and its morphs by mass alone, with images, and from eight silhouettes."""
    path = ROOT / "examples" / "render_guided.py"
    example = runpy.run_path(str(path))
    options = {"particles": 8000, "windows": 60}
    results = [
        dm.morph("box", "heart", **options, **example["MASS_ALONE"]),
        dm.morph("box", "heart", render=dm.RenderGuidance(), **options, **example["MASS_ALONE"]),
        dm.morph("box", example["photographs"]("heart", 96), **options),
    ]
    config = dm.view.RenderConfig(size=SIZE, color="clay", supersample=3, azimuth=-90.0, elevation=12.0)
    target = results[0].target_x
    camera = dm.view.orbit(target, size=SIZE, azimuth=config.azimuth, elevation=config.elevation, fill=0.74)
    images = [dm.view.render_body(x, camera, config=config) for x in (target, *(result.x for result in results))]
    save(images, "guided.png")


def main() -> None:
    drawn = (hero, strips, colored, loop, scenes, drop, gallery, shapes, looks, page, guided)
    named = {f.__name__: f for f in drawn} | {"flow": gradient_flow}
    for name in sys.argv[1:] or named:
        named[name]()


if __name__ == "__main__":
    main()
