# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Report phrases that docs/style.md advises against: `python tools/check_words.py FILE...`.

The phrases are those in code font in the left column of its table. `/` separates alternatives, `...` is one to three
words. A line that contains `words: allow` is exempt.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

STYLE = Path(__file__).parents[1] / "docs" / "style.md"
GAP = r"(?:[ \t]|\n[ \t]*(?:(?://|#)[ \t]*)?)+"  # a phrase may continue on the next line of a comment


def pattern(phrase: str) -> re.Pattern[str]:
    """Return the regular expression for a phrase of the table."""
    words = [
        rf"\w+(?:{GAP}\w+){{0,2}}" if word == "..." else f"(?:{word.replace('/', '|')})" for word in phrase.split()
    ]
    return re.compile(rf"(?<![\w-]){GAP.join(words)}(?![\w=-])", re.IGNORECASE)


def table(page: str) -> dict[re.Pattern[str], str]:
    """Return the patterns of the page's table, each with the advice for it."""
    lines = page.partition("| do not write | write |\n")[2].partition("\n\n")[0].split("\n")[1:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {pattern(phrase): advice for phrases, advice in rows for phrase in re.findall(r"`([^`]+)`", phrases)}


def problems(path: Path, patterns: dict[re.Pattern[str], str]) -> list[str]:
    """Return one message per phrase in a file."""
    text = path.read_text("utf-8")
    lines = text.split("\n")
    messages = []
    for expression, advice in patterns.items():
        for match in expression.finditer(text):
            number = text.count("\n", 0, match.start())
            if "words: allow" not in lines[number]:
                phrase = " ".join(match[0].split())
                messages.append(f"{path}:{number + 1}: '{phrase}': write {advice} (docs/style.md)")
    return messages


def main() -> int:
    """Check the files on the command line; return the exit status."""
    patterns = table(STYLE.read_text("utf-8"))
    if len(patterns) < 20:
        print(f"{STYLE}: expected a table with at least 20 phrases, got {len(patterns)}")
        return 1
    messages = [line for name in sys.argv[1:] for line in problems(Path(name), patterns)]
    print("\n".join(messages), end="\n" if messages else "")
    return bool(messages)


if __name__ == "__main__":
    sys.exit(main())
