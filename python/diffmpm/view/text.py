# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Names as titles: files may have names that no font and no page can show."""

from __future__ import annotations

_LONGEST = 90
"""Letters of a title at most."""


def shown(text: str) -> str:
    """Return a text as one line: what cannot be shown becomes a mark, and the middle of a long one is left out."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    half = (_LONGEST - 3) // 2
    return plain if len(plain) <= _LONGEST else f"{plain[:half]} … {plain[-half:]}"
