# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""How well a morph went, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORDS = ("good", "fair", "look again")
"""Verdicts, best first."""
STRAY = 0.01
"""Fraction of stray particles above which a result needs another look."""
COMPRESSED = 0.5
"""Smallest determinant of F below which the material is badly compressed; above the limit `MorphConfig.det_F_min`."""
DEFICITS = (0.005, 0.015)
"""Largest deficits of the silhouette IoU from that of a second sample that are good and fair."""
SPARSE = 0.7
"""Silhouette IoU of a second sample below which there are too few particles to show the shape of the target."""
MANY_WINDOWS = 80
"""Windows of a morph that goes on longer, which closes more of a large deficit than twice the particles."""
MEANINGS = {
    "silhouette_iou": "overlap of the silhouettes of body and target, mean of 24 views; 1 is best",
    "chamfer": "distance to the nearest target point plus that to the nearest particle, means [unit of the target]",
    "surface_gap": "fraction of the target's surface without a particle within 1.5 spacings",
    "off_target": "fraction of particles farther than 2 spacings from the target",
    "stray": "fraction of particles far from their neighbours",
    "floaters": "fraction of the drawn surface that is farther than 4 spacings from every particle",
    "hole_fraction": "fraction of the silhouettes that is hole",
    "det_F_min": "smallest volume of a particle, relative to rest",
    "com_drift": "motion of the centre of mass [spacings]",
    "settled": "silhouette IoU after 200 time steps without control",
}
"""Meaning of the measures of a result."""


@dataclass(frozen=True)
class Finding:
    """Something that a user should know about a result."""

    level: int
    """Index of `WORDS`."""
    reason: str
    """What is wrong."""
    remedy: str = ""
    """Arguments of `diffmpm morph` that may help."""


@dataclass(frozen=True)
class Verdict:
    """How well a morph went."""

    word: str
    """One of `WORDS`."""
    findings: tuple[Finding, ...]
    """Reasons, the most important first."""

    def __str__(self) -> str:
        return f"{self.word}: {'; '.join(item.reason for item in self.findings) or 'the body fills its target'}"


def verdict(summary: Mapping[str, Any]) -> Verdict:
    """Return how well a morph went.

    Args:
        summary: Content of metrics.json, as `MorphResult.summary` returns it.
    """
    findings = sorted(_findings(summary), key=lambda item: -item.level)
    return Verdict(WORDS[max((item.level for item in findings), default=0)], tuple(findings))


def _findings(summary: Mapping[str, Any]) -> list[Finding]:
    findings: list[Finding] = []
    particles, windows = int(summary.get("particles", 0)), int(summary.get("windows", 0))
    stopped, body = summary.get("stopped", "converged"), summary["silhouette_iou"]
    ceiling = summary.get("ceiling", {}).get("silhouette_iou")
    deficit = 0.0 if ceiling is None else ceiling - body
    if stopped == "failed":
        findings.append(Finding(2, "the last window could not be simulated"))
    if stopped == "stuck":
        findings.append(Finding(1, "no further step lowered the loss"))
    missing = deficit > DEFICITS[1]
    more = f"--windows {max(MANY_WINDOWS if missing else 0, 2 * windows)}"
    if stopped == "windows":
        findings.append(Finding(1, f"it had not converged after {windows} windows", more))
    if stopped in ("callback", "interrupted"):
        findings.append(Finding(1, "it was stopped before it converged"))
    if summary["stray"] > STRAY:
        findings.append(Finding(2, f"{_percent(summary['stray'])} of the particles stray"))
    if deficit > DEFICITS[0]:
        limits = f"silhouette IoU {body:.3f}, {body + deficit:.3f} for a second sample of the target"
        if missing:
            longer = "" if stopped in ("stuck", "failed") else f"--set tolerance=0.02 {more}"
            findings.append(Finding(2, f"parts are missing ({limits})", longer))
        else:
            findings.append(Finding(1, f"thin parts may be incomplete ({limits})", f"--particles {2 * particles}"))
    if ceiling is not None and ceiling < SPARSE:
        text = f"{particles} particles are too few to show the shape (silhouette IoU of a second sample {ceiling:.2f})"
        findings.append(Finding(1, text, f"--particles {10 * particles}"))
    if summary["det_F_min"] < COMPRESSED:
        text = f"some material is compressed to {_percent(max(summary['det_F_min'], 0.0))} of its volume"
        findings.append(Finding(1, f"{text} (det F)", "--set compression_weight=100000"))
    return findings


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.2g} %"
