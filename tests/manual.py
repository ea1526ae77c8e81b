# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The pages of the documentation and their code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *TUTORIALS, *REFERENCE]

_FENCE = re.compile(r"^(?P<mark>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=mark)\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    """Text after the opening fence, including directives such as "{image} ..."."""
    text: str
    """Text between the fences."""
    line: int
    """Line of the opening fence."""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text("utf-8")
    return [
        Block(match["language"].strip(), match["text"], text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def page_name(page: Path) -> str:
    """Return the name of a page in test identifiers."""
    return page.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")


def extras() -> set[str]:
    """Return the names of the optional dependencies in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    table = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return set(re.findall(r"^(\w+) = ", table, re.MULTILINE))


def apply_edits(page: Path, root: Path) -> list[Path]:
    """Apply the files and changes of a page to a copy of the sources; return their paths in order.

    A `{code-block} cpp` or `diff` names its file in the caption. A diff has no line numbers; the lines that begin with
    a blank or '-' must occur in the file exactly once.

    Raises:
        ValueError: If they do not.
    """
    changed = []
    for block in blocks(page):
        language = block.language.removeprefix("{code-block}").strip()
        if language not in ("cpp", "diff"):
            continue
        caption, _, body = block.text.partition("\n\n")
        path = root / caption.removeprefix(":caption: ").strip()
        changed.append(path)
        if language == "cpp":
            path.write_text(body, "utf-8")
            continue
        text = path.read_text("utf-8")
        for before, after in _changes(body):
            if text.count(before) != 1:
                raise ValueError(
                    f"{page.name}:{block.line}: expected {before!r} once in {path.name}, got {text.count(before)}"
                )
            text = text.replace(before, after)
        path.write_text(text, "utf-8")
    return changed


def run_after_install(page: Path) -> str:
    """Return the Python code of a page that runs after its changes are installed."""
    marked = [block.text.partition("\n\n")[2] for block in blocks(page) if block.language == "{code-block} python"]
    return "\n".join(marked)


def _changes(diff: str) -> Iterator[tuple[str, str]]:
    """Yield the lines before and after each part of a diff; '@@' separates the parts."""
    for part in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = part.splitlines(keepends=True)
        before, after = ([line[1:] for line in lines if line[0] != mark] for mark in "+-")
        yield "".join(before), "".join(after)
