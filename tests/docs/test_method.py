# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The equations of the method are numbered without gaps, cited correctly, and implemented once."""

from __future__ import annotations

import re
from pathlib import Path

from manual import DOCS, ROOT, prose

TEXT = (DOCS / "method.md").read_text("utf-8")
TAGS = re.findall(r"\\tag\{([\d.]+)\}", TEXT)
CITED = re.compile(r"(?<![\w)\]])\((\d\.\d{1,2}|\d{1,2})\)(?:(?:-| to | and )\((\d\.\d{1,2}|\d{1,2})\))?")


def test_numbers_have_no_gaps() -> None:
    step = [tag for tag in TAGS if "." not in tag]
    assert step == [str(n) for n in range(1, 10)]
    sections: dict[str, list[int]] = {}
    for tag in TAGS:
        if "." in tag:
            section, number = tag.split(".")
            sections.setdefault(section, []).append(int(number))
    assert sorted(sections) == list(sections)
    for section, numbers in sections.items():
        assert numbers == list(range(1, len(numbers) + 1)), f"section {section}"


def test_every_displayed_equation_has_a_number() -> None:
    displayed = re.findall(r"\$\$(.+?)\$\$", TEXT, re.DOTALL)
    assert len(displayed) == len(TAGS)
    for equation in displayed:
        assert "\\tag{" in equation, equation
        assert "\\\\" not in equation, "Sphinx puts line breaks into an environment that has no tag: write \\cr"


def test_numbers_match_their_section() -> None:
    parts = re.split(r"^## (\d) ", TEXT, flags=re.MULTILINE)[1:]
    for section, text in zip(parts[::2], parts[1::2], strict=True):
        for tag in re.findall(r"\\tag\{([\d.]+)\}", text):
            assert tag.split(".")[0] == section if "." in tag else section == "2", tag


def test_manual_cites_equations_that_exist() -> None:
    cited = {number for pair in CITED.findall(prose(DOCS / "method.md")) for number in pair if number}
    assert len(cited) > 8
    assert cited <= set(TAGS)


def test_code_cites_equations_that_exist() -> None:
    """Checks comments and docstrings such as '(6)-(9) of docs/method.md', 'equation (9)', '(6.3): w_k = ...'."""
    count = 0
    for folder, suffix in (("cpp", "hpp"), ("cpp", "cpp"), ("cpp", "cu"), ("cpp", "cuh"), ("python", "py")):
        for path in (ROOT / folder).rglob(f"*.{suffix}"):
            for number in citations(path):
                assert number in TAGS, f"{path.relative_to(ROOT)} cites ({number})"
                count += 1
    assert count > 25


def citations(path: Path) -> list[str]:
    """Return the numbers that the comments and docstrings of a file cite."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        lines = re.findall(r'"""(.*?)"""', text, re.DOTALL)
        lines = [line for line in lines if re.search(r"method\.md|equation|half of|that \(\d\) keeps", line, re.I)]
    else:
        lines = re.findall(r"//(.*)", text)
    return [number for line in lines for pair in CITED.findall(line) for number in pair if number]


def test_every_equation_has_one_implementing_place() -> None:
    """`Eq. 7` marks the comment or docstring of the one function that implements (7)."""
    places: dict[str, list[str]] = {tag: [] for tag in TAGS}
    for path in [*(ROOT / "cpp").rglob("*.[hc]pp"), *(ROOT / "python").rglob("*.py")]:
        for line, text in enumerate(path.read_text("utf-8").splitlines(), 1):
            for number in re.findall(r"Eq\. (\d+(?:\.\d+)?)", text):
                assert number in places, f"{path.relative_to(ROOT)}:{line} marks ({number}), which does not exist"
                places[number].append(f"{path.relative_to(ROOT)}:{line}")
    for number, marks in places.items():
        assert len(marks) == 1, f"({number}): expected one implementation, got {marks}"
