# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""One writer a folder: a lock that the operating system gives back when its holder ends, however it ends."""

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
from .atomic import PathLike, make_folder, settle
from .manifest import LOCK, STAGE, unwritable

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_LONGEST = 20
"""Digits of a process's number at most."""
_TRIES, _PAUSE = 5, 0.02
"""Tries, and seconds between them: `is_locked` holds the lock for an instant."""

_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How the file is opened: no link is followed, and no pipe blocks."""

_held: dict[str, _Hold] = {}
"""Folders that this process has locked."""
_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    def _acquire(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the number, which others have to read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _release(handle: Handle, path: Path) -> None:
        with suppress(OSError):
            next(handle.closing)  # an open file cannot be removed, and one that somebody has opened since is not
        with suppress(OSError):
            path.unlink()
else:
    import fcntl

    def _acquire(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(handle: Handle, path: Path) -> None:
        with suppress(OSError):
            path.unlink()  # before the lock goes: afterwards it might be somebody else's
        with suppress(OSError):
            fcntl.flock(handle.box[-1], fcntl.LOCK_UN)  # also for children that have inherited the file
        with suppress(OSError):
            next(handle.closing)


@contextmanager
def lock_folder(path: PathLike, name: str = "out") -> Iterator[Path]:
    """Make a folder if needed, and keep others from writing into it until the block ends.

    A process that is killed leaves no lock; files that it has committed move to their places, and what it left half
    written is removed. The thread that holds a lock may take it again. On a disk that has no locks there is none.

    Args:
        path: Folder.
        name: Argument name for the message.

    Yields:
        The folder.

    Raises:
        OutputError: If the folder cannot be made or written into, or another process or thread writes into it.
    """
    folder = make_folder(path, name)
    hold = _Hold(folder)
    try:
        try:
            if hold.take(name):
                settle(folder, [entry for entry in folder.iterdir() if STAGE.fullmatch(entry.name)])
        except OutputError:
            raise
        except OSError as error:
            raise unwritable(folder, name, error) from error
        yield folder
    finally:
        try:
            hold.give_back()
        except BaseException:  # interrupted
            hold.give_back()
            raise


def is_locked(path: PathLike) -> bool:
    """Return whether somebody is writing into a folder."""
    handle = Handle()
    try:
        _acquire(handle.open(Path(path) / LOCK, _OPEN))
    except OSError as error:
        return bool(handle.box) and error.errno in _BUSY  # else nobody, or somebody of whom nothing can be known
    finally:
        try:
            if handle.box:
                next(handle.closing)  # and the lock with it
        except OSError:
            pass
    return False


class _Hold:
    """Lock of a folder. It may be given back at any moment, whatever has been done until then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = os.path.realpath(folder)
        self._owner = (os.getpid(), threading.get_ident())
        self._handle = Handle()
        self._locked = False

    def take(self, name: str) -> bool:
        """Lock the folder; return whether this thread did not hold it before.

        Raises:
            OutputError: If somebody else holds it, or it cannot be locked.
        """
        with _guard:
            holder = _held.get(self._key)
            if holder is not None and holder._owner == self._owner:
                return False
            if holder is not None and holder._owner[0] == self._owner[0]:
                raise _busy(self._folder, name, "another thread of this process")
            _held[self._key] = self
            self._lock(name)
            return True

    def give_back(self) -> None:
        """Undo what `take` has done."""
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
                if not _is_ours(handle):
                    raise _foreign(path, name)
                free = _locked(handle)
                if free and _is_file(handle, path):
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


def _is_ours(handle: int) -> bool:
    """Return whether an open file is one that only this program uses: it holds a number, and has no other name."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > _LONGEST:
        return False
    return re.fullmatch(rb"\d*", os.read(handle, _LONGEST)) is not None


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
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int(read_file(path))}"
    return "another process"


def _foreign(path: Path, name: str) -> OutputError:
    return OutputError(
        f"{name}: expected no {path.name} but that of diffmpm in {str(path.parent)!r}, found a link or a file of "
        "something else; remove it, or choose another folder"
    )


def _busy(folder: Path, name: str, who: str) -> OutputError:
    return OutputError(
        f"{name}: expected a folder that nobody else writes into, but {who} is writing into {str(folder)!r}; "
        "wait until it ends, or choose another folder"
    )
