# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Vectorized parsing of text files as arrays of words and lines, with line numbers for errors."""

from __future__ import annotations

import re
import warnings
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..._arrays import Array
from ...errors import MeshError

_BLANK = 32
"""Bytes up to the space separate words: tabs, line ends and all other control characters."""
_LONGEST = 40
"""Maximum number of characters of a word in a message."""
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE)
_INTEGER = re.compile(rb"[+-]?\d+")


def plain(content: bytes, name: str) -> bytes:
    """Return text as UTF-8 without a byte order mark, with line feeds as line ends; line numbers are preserved."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            content = content.decode("utf-16").encode("utf-8")
        except UnicodeError as error:
            raise MeshError(f"{name}: expected text, got damaged UTF-16 ({error}); export the mesh again") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def without_comments(content: bytes) -> bytes:
    """Replace everything from a # to the end of its line by blanks."""
    return re.sub(rb"#[^\n]*", lambda match: b" " * len(match[0]), content) if b"#" in content else content


def spans(first: Array, count: Array, step: int = 1) -> Array:
    """Return the concatenated ranges first[i], first[i] + step, ... of count[i] entries each."""
    return np.repeat(first - step * (np.cumsum(count) - count), count) + step * np.arange(int(count.sum()))


def first_true(mask: Array) -> int | None:
    """Return the index of the first true entry of a mask, None without one."""
    return int(np.argmax(mask)) if mask.any() else None


class Text:
    """Words and non-blank lines of a text; words are numbered from 0.

    Args:
        content: Text with line feeds as line ends; see `plain`.
        name: File name for messages.
        original: Text of the same length for the line numbers in messages; by default `content`.
    """

    def __init__(self, content: bytes, name: str, original: bytes | None = None) -> None:
        self.content, self.name = content, name
        self.original = content if original is None else original
        self.bytes: Array = np.frombuffer(content, np.uint8)
        blank = np.ones(len(content) + 2, bool)
        np.less_equal(self.bytes, _BLANK, out=blank[1:-1])
        edges = np.flatnonzero(blank[1:] != blank[:-1])
        self.starts, self.ends = edges[0::2], edges[1::2]
        """Offsets of the first byte of each word, and of the byte after its last."""
        following = np.searchsorted(self.starts, np.flatnonzero(self.bytes == ord("\n")))
        heads = np.concatenate([[0], following, [len(self.starts)]])
        self.heads = heads[:-1][heads[1:] > heads[:-1]]
        """First word of each non-blank line."""
        self.counts = np.diff(self.heads, append=len(self.starts))
        """Number of words in each of these lines."""

    def word(self, index: int) -> str:
        """Return a word, shortened for a message."""
        word = self.content[self.starts[index] : self.ends[index]].decode("utf-8", "replace")
        return word if len(word) <= _LONGEST else word[:_LONGEST] + "..."

    def is_word(self, words: Array, text: bytes) -> Array:
        """Return which words, shape (N,), equal `text`."""
        same = self.ends[words] - self.starts[words] == len(text)
        for k, byte in enumerate(text):
            candidates = np.flatnonzero(same)
            same[candidates] = self.bytes[self.starts[words[candidates]] + k] == byte
        return same

    def fail(self, index: int, message: str) -> NoReturn:
        """Raise an error with the line of a word, or with the last line if the index is beyond the last word."""
        offset = int(self.starts[index]) if index < len(self.starts) else len(self.original.rstrip())
        line = self.original.count(b"\n", 0, offset) + 1
        raise MeshError(f"{self.name}: line {line}: {message}")

    def remedy(self, index: int) -> str:
        """Return the remedy for a word that is not a number."""
        if b"," in self.content[self.starts[index] : self.ends[index]]:
            return "write numbers with decimal points, separated by blanks, without commas"
        return "repair the mesh or export it again"

    def numbers(self, words: Array) -> Array:
        """Parse words in ascending order as finite, correctly rounded float64 numbers."""
        starts, ends = self.starts[words.ravel()], self.ends[words.ravel()]
        values = self._parse(words, starts, ends, np.float64, _NUMBER, "a number")
        if (k := first_true(~np.isfinite(values))) is not None:
            index = int(words.ravel()[k])
            self.fail(index, f"expected finite numbers, got {self.word(index)!r}; repair the mesh")
        return values.reshape(words.shape)

    def integers(self, words: Array, until: str = "") -> Array:
        """Parse words in ascending order as int64 numbers, each up to the character `until`."""
        starts, ends = self.starts[words.ravel()], self.ends[words.ravel()]
        if until:
            ends = np.minimum(ends, self._next(starts, until))
        return self._parse(words, starts, ends, np.int64, _INTEGER, "an integer").reshape(words.shape)

    def second_integers(self, words: Array, separator: str) -> Array:
        """Parse the second part of words in ascending order, after a separator, as int64 numbers; 0 without one."""
        flat = words.ravel()
        last = self.ends[flat]
        starts = np.minimum(self._next(self.starts[flat], separator) + 1, last)
        ends = np.minimum(self._next(starts, separator), last)
        some = np.flatnonzero(ends > starts)
        values = np.zeros(len(flat), np.int64)
        values[some] = self._parse(flat[some], starts[some], ends[some], np.int64, _INTEGER, "an integer")
        return values.reshape(words.shape)

    def rest_of_line(self, line: int) -> str:
        """Return the text after the first word of a non-blank line."""
        head, count = int(self.heads[line]), int(self.counts[line])
        return self.content[self.ends[head] : self.ends[head + count - 1]].decode("utf-8", "replace").strip()

    def _next(self, offsets: Array, separator: str) -> Array:
        """Return the offset of the first separator at or after each offset, the length of the text without one."""
        stops = np.append(np.flatnonzero(self.bytes == ord(separator)), len(self.bytes))
        return np.asarray(stops[np.searchsorted(stops, offsets)])

    def _parse(
        self, words: Array, starts: Array, ends: Array, dtype: Any, pattern: re.Pattern[bytes], expected: str
    ) -> Array:
        if starts.size == 0:
            return np.zeros(0, dtype)
        # NumPy parses blank-separated numbers: blank everything else.
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
                    self.fail(index, f"expected {expected}, got {self.word(index)!r}; {self.remedy(index)}")
            raise MeshError(f"{self.name}: expected numbers, got other text; export the mesh again")
        return values


def _from_text(text: bytes, dtype: npt.DTypeLike) -> Array | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # for invalid numbers; later versions raise ValueError
        try:
            return np.fromstring(text, dtype=dtype, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
