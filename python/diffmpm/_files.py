# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Read files safely: no pipe or device blocks, and no interrupt loses a descriptor."""

from __future__ import annotations

import errno
import os
import stat
from itertools import repeat
from pathlib import Path

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags for reading; a pipe does not block."""


class Handle:
    """Descriptor of an open file that an interrupt cannot lose.

    Python runs the handler of Ctrl-C after any call: also between `os.open` and the assignment of its result, and
    before the first statement of any function. Only built-in functions handle the descriptor here. It is in `box` as
    soon as it exists, and is closed in one step by::

        finally:
            try:
                if handle.box:
                    next(handle.closing)
            except OSError:
                pass  # all data was read or written before
    """

    def __init__(self) -> None:
        self.box: list[int] = []
        """The descriptor while the file is open."""
        self.closing = map(os.close, map(self.box.pop, repeat(-1)))
        """Iterator that closes the open file."""

    def open(self, path: str | os.PathLike[str], flags: int) -> int:
        """Open a file and return the descriptor."""
        self.box.extend(map(os.open, (path,), (flags,), (0o666,)))
        return self.box[-1]


def read_file(path: str | os.PathLike[str], size: int | None = None) -> bytes:
    """Return the content of a regular file, or of a link to one, without blocking.

    Args:
        path: The file.
        size: Expected number of bytes, if known.

    Raises:
        OSError: If it cannot be read, or is a folder, pipe, socket or device, which its `strerror` names.
        ValueError: If the path is not a file name, such as one with a NUL, or the file has another size.
    """
    handle = Handle()
    try:
        _check_regular(os.stat(path).st_mode, path)  # opening a device may have an effect
        status = os.fstat(handle.open(path, _READ))
        _check_regular(status.st_mode, path)  # the name may have changed in between
        if size is not None and status.st_size != size:
            raise ValueError(f"expected {size} bytes, got {status.st_size}")
        with open(handle.box[-1], "rb", closefd=False) as stream:
            return stream.read(status.st_size)
    finally:
        try:
            if handle.box:
                next(handle.closing)
        except OSError:
            pass


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def sync(path: str | os.PathLike[str]) -> None:
    """Flush a file, or the names in a folder, to disk; no effect on Windows."""
    if os.name == "nt":
        return
    handle = Handle()
    try:
        os.fsync(handle.open(path, os.O_RDONLY))
    finally:
        try:
            if handle.box:
                next(handle.closing)
        except OSError:
            pass


def _check_regular(mode: int, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(mode):
        name = next((name for test, name in _SPECIAL if test(mode)), "a special file")
        raise OSError(errno.EINVAL, f"it is {name}, not a regular file", str(Path(path)))
