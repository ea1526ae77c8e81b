# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Effect of image guidance: pairs of morphs with and without it, evaluated on independent target samples.

    python benchmarks/guidance.py SOURCE TARGET [--particles 20000] [--seeds 3] [--default-losses]

A morph fits the target sample used in its losses best, so results are evaluated (docs/method.md, section 7) on the same
independent samples, and the metrics are means over them. The last line has the mean difference over the seeds and its
standard error.
"""

from __future__ import annotations

import argparse
import time

import diffmpm as dm
import numpy as np

PLAIN = {"density_weight": 0.0, "fine_weight": 0.0, "distance_weight": 0.0}
"""The log mass loss as the only physics loss."""

SAMPLES = 4
"""Number of independent target samples."""

FIRST_SEED = 1000
"""Seed of the first sample, different from those of the morphs."""

MEASURES = ("silhouette_iou", "chamfer", "surface_gap")


def metrics(result: dm.MorphResult, target: str, particles: int) -> np.ndarray:
    """Return the metrics of a result, means over the samples."""
    samples = [dm.sample(target, particles=particles, seed=FIRST_SEED + n).x for n in range(SAMPLES)]
    rows = [dm.metrics.evaluate(result.x, sample) for sample in samples]
    return np.array([[row[name] for name in MEASURES] for row in rows]).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--particles", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1, help="pairs of morphs, each with its own samples")
    parser.add_argument("--default-losses", action="store_true", help="use all mass losses, not only the log mass loss")
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
            pair.append(metrics(result, options.target, options.particles))
            iou, chamfer, gap = pair[-1]
            print(f"{seed:4d} {'no' if render is None else 'yes':>6} {iou:8.4f} {chamfer:9.4f} {gap:7.4f} {spent:6.0f}")
        gains.append(pair[1] - pair[0])
    mean = np.mean(gains, axis=0)
    error = np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.full(len(mean), np.nan)
    gained = (f"{name} {m:+.4f} +- {e:.4f}" for name, m, e in zip(MEASURES, mean, error, strict=True))
    print("gain:", ", ".join(gained))


if __name__ == "__main__":
    main()
