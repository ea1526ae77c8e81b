# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Titles made from file names, which may hold characters that no font or page can show."""

from __future__ import annotations

_LONGEST = 90
"""Most characters of a title."""


def printable(text: str) -> str:
    """Return a text as one line, with unprintable characters replaced and the middle of a long text elided."""
    plain = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    half = (_LONGEST - 3) // 2
    return plain if len(plain) <= _LONGEST else f"{plain[:half]} … {plain[-half:]}"
