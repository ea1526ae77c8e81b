# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Text files as arrays of words and lines: millions of numbers a second, and the line of whatever is wrong."""

from __future__ import annotations

import re
import warnings
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..._arrays import Array
from ...errors import MeshError

_BLANK = 32
"""Bytes up to the space are blanks: tabs, line ends, form feeds and other control characters among them."""
_LONGEST = 40
"""Characters of a word that a message shows."""
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE)
_INTEGER = re.compile(rb"[+-]?\d+")


def plain(content: bytes, name: str) -> bytes:
    """Return text as UTF-8 without a byte order mark, with line feeds alone as line ends and as many lines.

    Raises:
        MeshError: If it has a byte order mark of UTF-16 and is not UTF-16.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            content = content.decode("utf-16").encode("utf-8")
        except UnicodeError as error:
            raise MeshError(f"{name}: expected text, got damaged UTF-16 ({error}); export the mesh again") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def without_comments(content: bytes) -> bytes:
    """Blank everything from a # to the end of its line."""
    if b"#" not in content:
        return content
    return re.sub(rb"#[^\n]*", lambda match: b" " * len(match[0]), content)


def spans(first: Array, count: Array) -> Array:
    """Return first[0], first[0] + 1, ... (count[0] of them), then first[1], ... as one array."""
    total = int(count.sum())
    return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(total)


class Text:
    """Words of a text, numbered from 0, and the lines that hold any.

    Args:
        content: Text with line feeds as line ends; see `plain`.
        name: Name of the file for messages.
        original: The text whose lines messages count, of the same length; by default `content`.
    """

    def __init__(self, content: bytes, name: str, original: bytes | None = None) -> None:
        self.content, self.name = content, name
        self.original = content if original is None else original
        self.bytes: Array = np.frombuffer(content, np.uint8)
        blank = np.ones(len(content) + 2, bool)
        np.less_equal(self.bytes, _BLANK, out=blank[1:-1])
        edges = np.flatnonzero(blank[1:] != blank[:-1])
        self.starts, self.ends = edges[0::2], edges[1::2]
        """First byte of each word, and the one behind its last."""
        following = np.searchsorted(self.starts, np.flatnonzero(self.bytes == ord("\n")))
        heads = np.concatenate([[0], following, [len(self.starts)]])
        self.heads = heads[:-1][heads[1:] > heads[:-1]]
        """First word of each line that is not blank."""
        self.counts = np.diff(self.heads, append=len(self.starts))
        """Number of words of each such line."""

    def word(self, index: int) -> str:
        """Return a word, cut to a length that fits into a message."""
        found = self.content[self.starts[index] : self.ends[index]].decode("utf-8", "replace")
        return found if len(found) <= _LONGEST else found[:_LONGEST] + "..."

    def is_word(self, words: Array, text: bytes) -> Array:
        """Return where words, shape (N,), are a text."""
        same = self.ends[words] - self.starts[words] == len(text)
        for k, byte in enumerate(text):
            candidates = np.flatnonzero(same)
            same[candidates] = self.bytes[self.starts[words[candidates]] + k] == byte
        return same

    def fail(self, index: int, message: str) -> NoReturn:
        """Raise the error of a word; of the end of the text if there is no such word."""
        place = int(self.starts[index]) if index < len(self.starts) else len(self.original.rstrip())
        line = self.original.count(b"\n", 0, place) + 1
        raise MeshError(f"{self.name}: line {line}: {message}")

    def remedy(self, index: int) -> str:
        """Return what to do about a word that is no number."""
        if b"," in self.content[self.starts[index] : self.ends[index]]:
            return "write numbers with a decimal point and blanks between them, without commas"
        return "repair the mesh or export it again"

    def numbers(self, words: Array) -> Array:
        """Return words as finite float64 numbers, correctly rounded; in ascending order of the words.

        Raises:
            MeshError: If one is not a number, or not finite.
        """
        values = self._parse(words, self.ends[words.ravel()], np.float64, _NUMBER, "a number")
        bad = ~np.isfinite(values)
        if bad.any():
            index = int(words.ravel()[np.argmax(bad)])
            self.fail(index, f"expected finite numbers, got {self.word(index)!r}; repair the mesh")
        return values.reshape(words.shape)

    def integers(self, words: Array, until: str = "") -> Array:
        """Return words as int64 numbers, read up to a character; in ascending order of the words.

        Raises:
            MeshError: If one is not an integer.
        """
        ends = self.ends[words.ravel()]
        if until:
            stops = np.append(np.flatnonzero(self.bytes == ord(until)), len(self.bytes))
            ends = np.minimum(ends, stops[np.searchsorted(stops, self.starts[words.ravel()])])
        return self._parse(words, ends, np.int64, _INTEGER, "an integer").reshape(words.shape)

    def check_indices(self, words: Array, indices: Array, count: int) -> None:
        """Refuse indices, read from words, that are not from 0 to count - 1."""
        wrong = (indices < 0) | (indices >= count)
        if wrong.any():
            at = int(np.argmax(wrong))
            self.fail(
                int(words[at]), f"expected a vertex from 0 to {count - 1}, got {int(indices[at])}; repair the mesh"
            )

    def _parse(self, words: Array, ends: Array, dtype: Any, pattern: re.Pattern[bytes], kind: str) -> Array:
        starts = self.starts[words.ravel()]
        if starts.size == 0:
            return np.zeros(0, dtype)
        # Blank everything else: NumPy reads numbers between blanks.
        low, high = int(starts[0]), int(ends.max())
        change = np.zeros(high - low + 1, np.int8)
        change[starts - low] = 1
        change[ends - low] = -1
        chosen = np.cumsum(change[:-1], dtype=np.int8).view(bool)
        text = np.where(chosen, self.bytes[low:high], np.uint8(_BLANK)).tobytes()
        values = _from_text(text, dtype)
        if values is None or len(values) != len(starts):
            for index, start, end in zip(words.ravel().tolist(), starts.tolist(), ends.tolist(), strict=True):
                if not pattern.fullmatch(self.content, start, end):
                    self.fail(index, f"expected {kind}, got {self.word(index)!r}; {self.remedy(index)}")
            raise MeshError(f"{self.name}: expected numbers, got others; export the mesh again")
        return values


def _from_text(text: bytes, dtype: npt.DTypeLike) -> Array | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # of text that is no number; later versions raise an error
        try:
            return np.fromstring(text, dtype=dtype, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
