# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Quality of morphs with the default options: many pairs, particle counts and seeds, beside the ceiling of each target.

    python benchmarks/gallery.py --meshes FOLDER --particles 5000 20000 --seeds 0 1

Morphs the sphere into each built-in shape and each mesh of a folder, and some hard pairs. A row holds the silhouette
IoU of the result, of a second sample of the target ("ceiling") and their difference, the IoU after 200 steps without
control ("settled"), the surface gap in percent above that of the sample, the smallest determinant of F, the percentage
of Gaussians farther than 4 spacings from every particle ("far"), windows, CPU seconds, wall seconds, the reason of the
end and the verdict. Deficits are positive where the result is worse than a sample. No option depends on the pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffmpm as dm
from diffmpm.geometry import shapes
from diffmpm.morphing.verdict import verdict

HARD_PAIRS = (
    ("torus", "bunny"), ("bunny", "teapot"), ("cow", "fandisk"), ("homer", "cheburashka"),
    ("letter_a", "letter_s"), ("letter_x", "letter_o"), ("box", "star"), ("trefoil", "pretzel"),
)  # fmt: skip
"""Pairs that lie far apart or change their topology; names of meshes or built-in shapes."""


def pairs(meshes: Path | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield names and inputs of source and target."""
    files = {} if meshes is None else {path.stem: str(path) for path in sorted(meshes.glob("*.obj"))}
    source = files.pop("isosphere", "sphere")
    for name, path in files.items():
        yield "sphere", name, source, path
    for name in shapes.names():
        if name != "sphere":
            yield "sphere", name, "sphere", name
    for a, b in HARD_PAIRS:
        if all(name in files or name in shapes.names() for name in (a, b)):
            yield a, b, files.get(a, a), files.get(b, b)


def measure(source: str, target: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run one morph and return its row."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = dm.morph(source, target, **options)
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    measures, ceiling = result.metrics, result.metrics["ceiling"]
    return {
        "iou": measures["silhouette_iou"],
        "ceiling": ceiling["silhouette_iou"],
        "deficit": ceiling["silhouette_iou"] - measures["silhouette_iou"],
        "settled": measures["settled"],
        "gap": 100.0 * (measures["surface_gap"] - ceiling["surface_gap"]),
        "det_F": measures["det_F_min"],
        "far": 100.0 * measures["floaters"],
        "windows": len(result.history),
        "stopped": result.stopped,
        "verdict": verdict(result.summary()).word,
        **seconds,
    }


def main() -> int:
    """Print the rows as they come, and their medians and worst values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--meshes", type=Path, metavar="FOLDER", help="folder of .obj files; isosphere.obj is the source"
    )
    parser.add_argument("--particles", type=int, nargs="+", default=[20_000], metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    parser.add_argument("--preset", default="default", help="preset (default: default)")
    parser.add_argument("--device", default="cpu", help="device (default: cpu)")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="only these targets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all rows to this file")
    args = parser.parse_args()
    warnings.simplefilter("ignore", dm.DiffMPMWarning)
    rows: list[dict[str, Any]] = []
    for count in args.particles:
        print(f"{count} particles\n  {'pair':<24} {'IoU':>7} {'ceiling':>7} {'deficit':>8} {'settled':>7} {'gap':>5} "
              f"{'det F':>5} {'far':>5} {'windows':>7} {'CPU s':>6} {'wall':>6}")  # fmt: skip
        for source, target, source_file, target_file in pairs(args.meshes):
            if args.only and target not in args.only:
                continue
            for seed in args.seeds:
                options = {"config": args.preset, "particles": count, "seed": seed, "device": args.device}
                row = measure(source_file, target_file, options)
                rows.append({"pair": f"{source} to {target}", "particles": count, "seed": seed, **row})
                print(f"  {rows[-1]['pair']:<24} {row['iou']:7.4f} {row['ceiling']:7.4f} {row['deficit']:8.4f} "
                      f"{row['settled'] or 0.0:7.4f} {row['gap']:5.1f} {row['det_F']:5.2f} {row['far']:5.2f} "
                      f"{row['windows']:>7} {row['cpu']:6.1f} {row['wall']:6.1f} {row['stopped']}, {row['verdict']}",
                      flush=True)  # fmt: skip
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
        deficits = [row["deficit"] for row in rows if row["particles"] == count]
        if deficits:
            print(f"  deficit: median {statistics.median(deficits):.4f}, worst {max(deficits):.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
