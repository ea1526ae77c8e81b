# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morph one built-in shape into another and write frames, metrics and images.

This is `diffmpm morph sphere torus` in Python. Run: python examples/morph_builtin.py --help
"""

import argparse
from collections.abc import Sequence

import diffmpm as dm


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="sphere", help="source shape")
    parser.add_argument("target", nargs="?", default="torus", help="target shape")
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--windows", type=int, default=40, help="maximum number of windows")
    parser.add_argument("--size", type=int, default=300, help="image size in pixels")
    parser.add_argument("--out", default="out/morph")
    args = parser.parse_args(argv)

    def report(progress):
        if progress.window % 10 == 0:
            print(f"window {progress.window:3d}   loss {progress.loss:10.4g}")

    result = dm.morph(args.source, args.target, particles=args.particles, windows=args.windows, callback=report)
    folder = result.save(args.out)
    dm.view.save_pictures(result, folder, size=args.size)

    start, end = result.metrics["start"], result.metrics
    print(f"silhouette IoU {start['silhouette_iou']:.3f} -> {end['silhouette_iou']:.3f}")
    print(f"smallest det F {end['det_F_min']:.3f}; {len(result.frames)} frames in {folder}")


if __name__ == "__main__":
    main()
