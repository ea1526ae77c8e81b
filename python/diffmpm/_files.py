# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Open files so that no pipe, device or link surprises, and no interrupt loses a descriptor."""

from __future__ import annotations

import errno
import os
import stat
from itertools import repeat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
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


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading; never waits.

    Raises:
        OSError: If it cannot be read, or is a folder, pipe, socket or device, which its `strerror` names.
        ValueError: If the path is not a name of a file, such as one with a NUL.
    """
    _check_kind(os.stat(path).st_mode, path)  # opening a device may already do something
    handle = os.open(path, _READ)
    try:
        _check_kind(os.fstat(handle).st_mode, path)  # what has been opened, whatever the name has become since
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: str | os.PathLike[str], size: int | None = None) -> bytes:
    """Return the content of a regular file, which may have to have a number of bytes.

    Raises:
        OSError: As `open_file` does.
        ValueError: As `open_file` does, or if the file has another size.
    """
    handle = Handle()
    try:
        _check_kind(os.stat(path).st_mode, path)
        status = os.fstat(handle.open(path, _READ))
        _check_kind(status.st_mode, path)
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


def _check_kind(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((word for test, word in _KINDS if test(mode)), "a special file")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(Path(path)))
