# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""tools/check_words.py, which refuses phrases listed in docs/style.md."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "check_words.py"))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("an array of whole numbers", "whole numbers"),
        ("// takes the way\n    // back through", "way // back"),
        ("# Nobody reads it", "Nobody"),
        ("what the backend needs of it", "what the backend needs of"),
        ("found = search(text)", "found ="),
        ("two bytes a particle", "bytes a particle"),
    ],
)
def test_phrase_is_reported(tmp_path: Path, text: str, phrase: str) -> None:
    assert reports(tmp_path, f"first line\n{text}\n") == [phrase]


@pytest.mark.parametrize(
    "text", ["found == 3", "profound = 3", "not found", "away back", "epoch_count", "an epoch  # words: allow"]
)
def test_other_text_is_not_reported(tmp_path: Path, text: str) -> None:
    assert reports(tmp_path, text) == []


def reports(folder: Path, text: str) -> list[str]:
    """Return the phrases reported for a file with this text."""
    path = folder / "file.txt"
    path.write_text(text, "utf-8")
    patterns = TOOL["table"](TOOL["STYLE"].read_text("utf-8"))
    return [line.split("'")[1] for line in TOOL["problems"](path, patterns)]
