# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Make the picture of the README: python docs/images/make.py [SOURCE TARGET]."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from pathlib import Path

import diffmpm as dm
import numpy as np
from diffmpm.morphing import MorphResult
from PIL import Image

SIZE = 230
FRAMES = 6


def spread(result: MorphResult, count: int) -> list[np.ndarray]:
    """Return positions of frames that are evenly spaced in the distance that the body has moved."""
    x = [frame.x for frame in result.frames]
    moved = np.cumsum([0.0, *(float(np.linalg.norm(b - a, axis=1).mean()) for a, b in pairwise(x))])
    return [x[int(np.argmin(abs(moved - at)))] for at in np.linspace(0.0, moved[-1], count)]


def main() -> None:
    source, target = sys.argv[1:3] if len(sys.argv) > 2 else ("sphere", "torus")
    result = dm.morph(source, target)
    frames = spread(result, FRAMES)
    camera = dm.view.orbit(np.concatenate(frames), azimuth=62.0, elevation=32.0)
    colors = dm.view.material_colors(result.source_x)
    floor = float(min(x[:, 2].min() for x in frames)) - 0.05
    images = [dm.view.render_particles(x, camera, size=SIZE, colors=colors, floor=floor) for x in frames]
    sheet = Image.fromarray(dm.view.contact_sheet(images, columns=FRAMES, gap=0))
    stream = io.BytesIO()
    sheet.quantize(colors=250).save(stream, format="PNG", optimize=True)
    path = dm.export.write_bytes(Path(__file__).with_name(f"{source}-to-{target}.png"), stream.getvalue())
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, {result.metrics}")


if __name__ == "__main__":
    main()
