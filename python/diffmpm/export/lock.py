# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One writer a folder: a lock that the operating system gives back when its holder ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from .atomic import PathLike, check_folder, remove_leftovers

LOCK = ".diffmpm.lock"
"""File that is locked while somebody writes into the folder; it holds the number of the process."""

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_TRIES, _PAUSE = 5, 0.02
"""Tries, and seconds between them: `is_locked` holds the lock for an instant."""

_held: dict[str, tuple[int, int]] = {}
"""Folders that this process has locked, and the process and thread that did."""
_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    def _acquire(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the number, which others have to read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _release(handle: int, path: Path) -> None:
        os.close(handle)  # an open file cannot be removed, and one that somebody has opened since is not
        with suppress(OSError):
            path.unlink()
else:
    import fcntl

    def _acquire(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(handle: int, path: Path) -> None:
        with suppress(OSError):
            path.unlink()  # before the lock goes: afterwards it might be somebody else's
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # also for children that have inherited the file
        os.close(handle)


@contextmanager
def lock_folder(path: PathLike, name: str = "out") -> Iterator[Path]:
    """Make a folder if needed, and keep others from writing into it until the block ends.

    A process that is killed leaves no lock; what it left half written is removed. The thread that holds a lock may
    take it again. On a disk that has no locks there is none.

    Args:
        path: Folder.
        name: Argument name for the message.

    Yields:
        The folder.

    Raises:
        OutputError: If the folder cannot be made or written into, or another process or thread writes into it.
    """
    folder = check_folder(path, name)
    key, me = os.path.realpath(folder), (os.getpid(), threading.get_ident())
    with _guard:
        holder = _held.get(key)
        if holder != me:
            if holder is not None and holder[0] == me[0]:
                raise _busy(folder, name, "another thread of this process")
            handle = _lock(folder, name)
            _held[key] = me
    if holder == me:
        yield folder
        return
    try:
        remove_leftovers(folder)
        yield folder
    finally:
        with _guard:
            del _held[key]
            _release(handle, folder / LOCK)


def is_locked(path: PathLike) -> bool:
    """Return whether somebody is writing into a folder."""
    try:
        handle = os.open(Path(path) / LOCK, os.O_RDWR)
    except OSError:
        return False  # nobody, or somebody of whom nothing can be known
    try:
        _acquire(handle)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(handle)  # and the lock with it
    return False


def _lock(folder: Path, name: str) -> int:
    """Return the open file that holds the lock."""
    path = folder / LOCK
    try:
        for _ in range(_TRIES):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                busy = not _locked(handle)
                if not busy and _is_file(handle, path):
                    os.ftruncate(handle, 0)
                    os.lseek(handle, 0, os.SEEK_SET)
                    os.write(handle, str(os.getpid()).encode())
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            if busy:
                time.sleep(_PAUSE)
    except OSError as error:
        raise OutputError(
            f"{name}: could not lock {str(folder)!r} ({error.strerror}); free some space or choose another folder"
        ) from error
    raise _busy(folder, name, _holder(path))


def _locked(handle: int) -> bool:
    """Lock an open file; return whether nobody else has."""
    try:
        _acquire(handle)
    except OSError as error:
        return error.errno not in _BUSY  # anything else: a disk without locks
    return True


def _is_file(handle: int, path: Path) -> bool:
    """Return whether the path still leads to the open file: the holder before may just have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int(path.read_text())}"
    return "another process"


def _busy(folder: Path, name: str, who: str) -> OutputError:
    return OutputError(
        f"{name}: expected a folder that nobody else writes into, but {who} is writing into {str(folder)!r}; "
        "wait until it ends, or choose another folder"
    )
