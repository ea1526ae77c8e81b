# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.morphing.verdict import verdict

GOOD = {
    "silhouette_iou": 0.96,
    "ceiling": {"silhouette_iou": 0.962},
    "stray": 0.0,
    "floaters": 0.0,
    "det_F_min": 0.8,
    "stopped": "converged",
    "particles": 1000,
    "windows": 20,
}


@pytest.mark.parametrize(
    ("changes", "word", "reason", "remedy"),
    [
        ({"silhouette_iou": 0.95}, "fair", "thin parts may be incomplete", "--particles 2000"),
        ({"silhouette_iou": 0.90}, "look again", "parts are missing", "--set tolerance=0.02 --windows 80"),
        ({"stray": 0.02}, "look again", "2 % of the particles stray", ""),
        ({"silhouette_iou": 0.235, "ceiling": {"silhouette_iou": 0.234}}, "fair", "too few", "--particles 10000"),
        ({"det_F_min": 0.45}, "fair", "compressed to 45 % of its volume", "--set compression_weight=100000"),
        ({"det_F_min": -0.5}, "fair", "compressed to 0 % of its volume", "--set compression_weight=100000"),
        ({"stopped": "windows"}, "fair", "not converged after 20 windows", "--windows 40"),
        ({"stopped": "failed"}, "look again", "could not be simulated", ""),
        ({"stopped": "stuck"}, "fair", "no further step lowered the loss", ""),
        ({"stopped": "callback"}, "fair", "stopped before it converged", ""),
    ],
)
def test_each_finding_has_reason_and_remedy(changes, word, reason, remedy):
    outcome = verdict({**GOOD, **changes})
    assert outcome.word == word and len(outcome.findings) == 1
    assert reason in outcome.findings[0].reason and outcome.findings[0].remedy == remedy
    assert str(outcome).startswith(f"{word}: {outcome.findings[0].reason}")


def test_good_result_and_missing_measures():
    assert str(verdict(GOOD)) == "good: the body fills its target"
    older = {name: GOOD[name] for name in ("silhouette_iou", "stray", "det_F_min")}
    assert verdict(older).word == "good"


def test_worst_finding_comes_first():
    outcome = verdict({**GOOD, "stopped": "windows", "stray": 0.5, "det_F_min": 0.1})
    assert outcome.word == "look again"
    assert [item.level for item in outcome.findings] == [2, 1, 1]


SOFT = {"windows": 6, "det_F_min": 0.0, "compression_weight": 0.0, "volume_carried": False, "mu": 100.0, "lam": 100.0}


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"windows": 1}, ["parts are missing", "it had not converged"]),
        ({"windows": 3, "callback": lambda progress: False}, ["it was stopped"]),
        ({"windows": 3, "time_step": 0.5}, ["no further step lowered the loss"]),
        (SOFT, ["some material is compressed"]),
    ],
)
def test_morphs_lead_to_the_findings(options, reasons):
    result = dm.morph("sphere", "ring", particles=200, progress=False, **options)
    words = str(verdict(result.summary()))
    assert all(reason in words for reason in reasons)


def test_the_remedy_of_compression_helps():
    result = dm.morph("sphere", "ring", particles=200, progress=False, **{**SOFT, "compression_weight": 100_000.0})
    assert "compressed" not in str(verdict(result.summary()))


def test_scattered_particles_are_found():
    target = dm.sample("sphere", particles=500).x
    scattered = target.copy()
    scattered[:15] *= np.linspace(5, 40, 15)[:, None]
    measures = dm.metrics.evaluate(scattered, target, F=np.broadcast_to(np.eye(3), (500, 3, 3)))
    assert "particles stray" in str(verdict(measures))
