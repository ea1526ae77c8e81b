# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Open files that others made: regular ones only, which neither wait for a writer nor go on for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading; never waits.

    Raises:
        OSError: If it cannot be read, or is a folder, pipe, socket or device, which its `strerror` names.
        ValueError: If the path is not a name of a file, such as one with a NUL.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    _check_kind(os.stat(path).st_mode, path)  # opening a device may already do something
    handle = os.open(path, flags)
    try:
        _check_kind(os.fstat(handle).st_mode, path)  # what has been opened, whatever the name has become since
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file; raises as `open_file` does."""
    with open_file(path) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)


def _check_kind(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((word for test, word in _KINDS if test(mode)), "a special file")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(Path(path)))
