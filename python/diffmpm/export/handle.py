# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Open files and folders so that no interrupt loses a descriptor and no link or pipe surprises."""

from __future__ import annotations

import os
import stat
from itertools import repeat
from pathlib import Path

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How files are opened for reading: a pipe does not block."""


class Handle:
    """Descriptor of an open file that an interrupt cannot lose.

    Python runs the handler of Ctrl-C after any call, so also between `os.open` and the assignment of what it returns,
    and before the first statement of any function. Here built-in functions alone pass the descriptor on: it is in `box`
    from the moment at which it exists, and closes in one step by::

        finally:
            try:
                if handle.box:
                    next(handle.closing)
            except OSError:
                pass  # everything was read or written before
    """

    def __init__(self) -> None:
        self.box: list[int] = []
        """The descriptor, if the file is open."""
        self.closing = map(os.close, map(self.box.pop, repeat(-1)))
        """Each item closes the file that is open."""

    def open(self, path: str | os.PathLike[str], flags: int) -> int:
        """Open a file and return the descriptor."""
        self.box.extend(map(os.open, (path,), (flags,), (0o666,)))
        return self.box[-1]


def read_regular(path: Path, size: int | None = None, *, follow: bool = True) -> bytes:
    """Read a file that is no pipe, device or folder.

    Args:
        path: File.
        size: Bytes that it has to have, None for any number.
        follow: Whether it may be a link.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file.
    """
    if not follow and path.is_symlink():
        raise ValueError("it is a link")
    handle = Handle()
    try:
        status = os.fstat(handle.open(path, _READ))
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if size is not None and status.st_size != size:
            raise ValueError(f"expected {size} bytes, got {status.st_size}")
        with open(handle.box[-1], "rb", closefd=False) as stream:
            return stream.read()
    finally:
        try:
            if handle.box:
                next(handle.closing)
        except OSError:
            pass


def is_folder(path: Path) -> bool:
    """Return whether there is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def sync(path: str | os.PathLike[str]) -> None:
    """Have the disk keep the content of a file, or the names in a folder, where the system can.

    Raises:
        OSError: If it cannot.
    """
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
