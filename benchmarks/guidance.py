# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What guidance by images gains: pairs of morphs with and without it, judged on samples that neither has seen.

    python benchmarks/guidance.py SOURCE TARGET [--particles 20000] [--seeds 3] [--default-losses]

A morph is fitted to one sample of its target, so that it scores best against that very sample. Here every result is
judged (docs/method.md, section 7) against the same few other samples, and what is printed are means over them; the last
line has the mean difference over the seeds and its standard error.
"""

from __future__ import annotations

import argparse
import time

import diffmpm as dm
import numpy as np

PLAIN = {"density_weight": 0.0, "fine_weight": 0.0, "distance_weight": 0.0}
"""The logarithm of the grid mass as the only physics loss."""

JUDGES = 4
"""Samples that each result is judged against."""

FIRST_JUDGE = 1000
"""Seed of the first of them, far from those of the morphs."""

MEASURES = ("silhouette_iou", "chamfer", "surface_gap")


def judged(result: dm.MorphResult, target: str, particles: int) -> np.ndarray:
    """Return the measures of a result, means over the judges."""
    samples = [dm.sample(target, particles=particles, seed=FIRST_JUDGE + n).x for n in range(JUDGES)]
    rows = [dm.metrics.evaluate(result.x, sample) for sample in samples]
    return np.array([[row[name] for name in MEASURES] for row in rows]).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--particles", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1, help="pairs of morphs, each with samples of its own")
    parser.add_argument("--default-losses", action="store_true", help="all mass losses, not only the logarithm")
    options = parser.parse_args()
    gains = []
    print(f"{'seed':>4} {'guided':>6} {'IoU':>8} {'chamfer':>9} {'gap':>7} {'CPU s':>6}")
    for seed in range(options.seeds):
        pair = []
        for render in (None, dm.RenderGuidance()):
            losses = {} if options.default_losses else PLAIN
            began = time.process_time()
            result = dm.morph(
                options.source,
                options.target,
                particles=options.particles,
                render=render,
                seed=100 * seed,
                **losses,
            )
            spent = time.process_time() - began
            pair.append(judged(result, options.target, options.particles))
            iou, chamfer, gap = pair[-1]
            print(f"{seed:4d} {'no' if render is None else 'yes':>6} {iou:8.4f} {chamfer:9.4f} {gap:7.4f} {spent:6.0f}")
        gains.append(pair[1] - pair[0])
    mean = np.mean(gains, axis=0)
    error = np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.full(len(mean), np.nan)
    gained = (f"{name} {m:+.4f} +- {e:.4f}" for name, m, e in zip(MEASURES, mean, error, strict=True))
    print("gain:", ", ".join(gained))


if __name__ == "__main__":
    main()
