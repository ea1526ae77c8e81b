# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Folder locks: one writer at a time. The operating system releases the lock when its process ends for any reason."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .._files import Handle, read_file
from ..errors import OutputError
from .atomic import PathLike, make_folder, recover
from .manifest import LOCK, STAGE, unwritable

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_MOST_DIGITS = 20
"""Most digits of a process number."""
_TRIES, _PAUSE = 5, 0.02
"""Attempts, and the delay between them [s]: `is_locked` holds the lock for an instant."""

_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags to open the lock file: links are not followed, and a pipe does not block."""

_held: dict[str, _FolderLock] = {}
"""Locks of this process, by real path."""
_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    def _acquire(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the process number, which others have to read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _release(handle: Handle, path: Path) -> None:
        with suppress(OSError):
            next(handle.closing)  # an open file cannot be removed
        with suppress(OSError):
            path.unlink()  # fails if another process has opened the file by now
else:
    import fcntl

    def _acquire(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(handle: Handle, path: Path) -> None:
        with suppress(OSError):
            path.unlink()  # before unlocking: afterwards the file may be another process's lock
        with suppress(OSError):
            fcntl.flock(handle.box[-1], fcntl.LOCK_UN)  # also for forked children, which share the descriptor
        with suppress(OSError):
            next(handle.closing)


@contextmanager
def lock_folder(path: PathLike, name: str = "out") -> Iterator[Path]:
    """Make a folder if needed and lock it until the block ends, so that no one else writes into it.

    A folder that was made and is still empty is removed again.
    Locking also recovers from a process that was killed: its committed files are moved to their names, and its
    uncommitted ones are removed. A thread may lock a folder more than once. On a disk without locks there is no
    protection.

    Raises:
        OutputError: If the folder cannot be made or written into, or another process or thread has locked it. The
            message names the argument `name`.
    """
    added = [entry for entry in (Path(path), *Path(path).parents) if not os.path.lexists(entry)]
    folder = make_folder(path, name)
    lock = _FolderLock(folder)
    try:
        try:
            if lock.acquire(name):
                recover(folder, [entry for entry in folder.iterdir() if STAGE.fullmatch(entry.name)])
        except OutputError:
            raise
        except OSError as error:
            raise unwritable(folder, name, error) from error
        yield folder
    finally:
        try:
            lock.release()
        except BaseException:  # interrupted
            lock.release()
            raise
        finally:
            with suppress(OSError):  # a folder with files stays
                for entry in added:
                    entry.rmdir()


def is_locked(path: PathLike) -> bool:
    """Return whether a process or thread has locked a folder."""
    handle = Handle()
    try:
        return not _try_acquire(handle.open(Path(path) / LOCK, _OPEN))
    except OSError:
        return False
    finally:
        try:
            if handle.box:
                next(handle.closing)  # also releases the lock
        except OSError:
            pass


class _FolderLock:
    """Lock of a folder. `release` is valid at every moment, whatever an interrupted `acquire` has done.

    Package `filelock` does not give this guarantee: an interrupt can lose its descriptor, and it accepts pipes and
    files of other programs as lock files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = os.path.realpath(folder)
        self._owner = (os.getpid(), threading.get_ident())
        self._handle = Handle()
        self._locked = False

    def acquire(self, name: str) -> bool:
        """Lock the folder, or raise an OutputError. Return False if this thread holds it already."""
        with _guard:
            holder = _held.get(self._key)
            if holder is not None and holder._owner == self._owner:
                return False
            if holder is not None and holder._owner[0] == self._owner[0]:
                raise _busy(self._folder, name, "another thread of this process")
            _held[self._key] = self
            self._lock(name)
            return True

    def release(self) -> None:
        """Undo `acquire`."""
        with _guard:
            if self._handle.box:
                if self._locked and self._owner[0] == os.getpid():  # a forked child must not unlock its parent's folder
                    _release(self._handle, self._folder / LOCK)
                else:
                    with suppress(OSError):
                        next(self._handle.closing)
            if _held.get(self._key) is self:
                del _held[self._key]

    def _lock(self, name: str) -> None:
        path = self._folder / LOCK
        for _ in range(_TRIES):
            try:
                handle = self._handle.open(path, _OPEN | os.O_CREAT)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                    raise _foreign(path, name) from error
                raise unwritable(self._folder, name, error) from error
            try:
                if not _is_lock_file(handle):
                    raise _foreign(path, name)
                free = _try_acquire(handle)
                if free and _is_at(handle, path):
                    self._locked = True
                    os.ftruncate(handle, 0)
                    os.lseek(handle, 0, os.SEEK_SET)
                    os.write(handle, str(os.getpid()).encode())
                    return
                next(self._handle.closing)
            except OutputError:
                next(self._handle.closing)
                raise
            except OSError as error:
                raise OutputError(
                    f"{name}: could not lock {str(self._folder)!r} ({error.strerror}); free some space or choose "
                    "another folder"
                ) from error
            if not free:
                time.sleep(_PAUSE)
        raise _busy(self._folder, name, _holder(path))


def _is_lock_file(handle: int) -> bool:
    """Return whether an open file is a lock file of this program: a single name, and nothing but a process number."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > _MOST_DIGITS:
        return False
    return re.fullmatch(rb"\d*", os.read(handle, _MOST_DIGITS)) is not None


def _try_acquire(handle: int) -> bool:
    """Lock an open file. Return False if it is locked already."""
    try:
        _acquire(handle)
    except OSError as error:
        return error.errno not in _BUSY  # any other error: a disk without locks
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Return whether a path still names the open file, which its last holder may have removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int(read_file(path))}"
    return "another process"


def _foreign(path: Path, name: str) -> OutputError:
    return OutputError(
        f"{name}: expected {path.name} in {str(path.parent)!r} to be a lock of diffmpm, got a link or another "
        "program's file; remove it, or choose another folder"
    )


def _busy(folder: Path, name: str, holder: str) -> OutputError:
    return OutputError(
        f"{name}: expected a folder that is not in use, but {holder} is writing into {str(folder)!r}; "
        "wait until it ends, or choose another folder"
    )
