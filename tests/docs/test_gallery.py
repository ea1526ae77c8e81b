# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The gallery has a picture for each command, and its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from diffmpm.cli import main
from manual import DOCS, ROOT

PAGE = (DOCS / "gallery.md").read_text("utf-8")
FIGURES = re.findall(r"{figure} (images/\S+)\n:alt: .+\n\n`diffmpm (.*?)`\n```", PAGE)


def test_every_command_has_its_picture() -> None:
    assert len(FIGURES) == PAGE.count("{figure}") >= 16
    images = [DOCS / image for image, _ in FIGURES]
    assert {path.name for path in images} == {path.name for path in (DOCS / "images" / "gallery").iterdir()}
    for path, (_, command) in zip(images, FIGURES, strict=True):
        source, target = (Path(word).stem for word in shlex.split(command)[1:3])
        assert path.stem == f"{source}-to-{target}"
        assert path.stat().st_size < 60_000, path.name


@pytest.mark.parametrize("command", [command for _, command in FIGURES])
def test_command_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = [*shlex.split(command), "--particles", "100", "--windows", "1", "--no-pictures", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
