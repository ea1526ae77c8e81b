# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import math

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
        ({"stray": 0.02}, "look again", "2 % of the particles stray", "--particles 2000"),
        ({"floaters": 0.003}, "look again", "0.3 % of the drawn surface floats away", "--particles 2000"),
        ({"det_F_min": 0.2}, "fair", "compressed to 20 % of its volume", "--set compression_weight=10000"),
        ({"det_F_min": -0.5}, "fair", "compressed to 0 % of its volume", "--set compression_weight=10000"),
        ({"stopped": "windows"}, "fair", "not converged after 20 windows", "--windows 40"),
        ({"stopped": "failed"}, "look again", "could not be simulated", "--set step=0.025"),
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
    assert verdict({**GOOD, "floaters": math.nan}).word == "good"  # no surface was drawn
    older = {name: GOOD[name] for name in ("silhouette_iou", "stray", "det_F_min")}
    assert verdict(older).word == "good"


def test_worst_finding_comes_first():
    outcome = verdict({**GOOD, "stopped": "windows", "stray": 0.5, "det_F_min": 0.1})
    assert outcome.word == "look again"
    assert [item.level for item in outcome.findings] == [2, 1, 1]
