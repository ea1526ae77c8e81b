# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Write files and folders whole or not at all: under another name first, then renamed."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OutputError

PathLike = str | os.PathLike[str]
T = TypeVar("T")
R = TypeVar("R")

_LEFTOVER = re.compile(r"\.[0-9a-f]{8}\.(tmp|old)(\..*)?")
"""Names of what is not complete yet; without the final name, which may be as long as the disk allows."""
_WRITERS = 4
"""Files that are written at a time."""
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait before each further try of a rename that Windows refuses while somebody reads the old file."""


def check_folder(path: PathLike, name: str = "out") -> Path:
    """Make the folder if needed and make sure that files can be written into it.

    Args:
        path: Folder.
        name: Argument name for the message.

    Returns:
        The folder.

    Raises:
        OutputError: If it cannot be made or written into.
    """
    folder = Path(path)
    probe = folder / _temporary()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise OutputError(
            f"{name}: expected a folder to write into, got {str(folder)!r} ({_reason(error)}); choose another one"
        ) from error
    return folder


def write_bytes(path: PathLike, content: bytes) -> Path:
    """Write a file; on failure what stood there before is untouched.

    Args:
        path: File.
        content: All of its bytes.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written, as on a full disk.
    """
    target = Path(path)
    temporary = target.with_name(_temporary())
    try:
        try:
            _write(temporary, content)
            _move(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _failure(target, error) from error
    return target


@contextmanager
def write_file(path: PathLike) -> Iterator[Path]:
    """Yield the path of a new file, with the same extension, that takes the place of `path` when the block ends.

    For writers that want a path and not bytes. On an error what stood there before is untouched.

    Args:
        path: File.

    Yields:
        The file to write.

    Raises:
        OutputError: If it cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(_temporary() + target.suffix)
    try:
        try:
            yield temporary
            _move(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OutputError:
        raise
    except OSError as error:
        raise _failure(target, error) from error


def in_parallel(write: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `write(item)` of each item; a few at a time, as files wait for the disk.

    Raises:
        OutputError: That of the first item that could not be written; all others have been tried.
    """
    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(write, items))


def write_json(path: PathLike, content: Any) -> Path:
    """Write JSON with two spaces of indent; not-a-number becomes null.

    Args:
        path: File.
        content: JSON types and NumPy scalars.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False)
    return write_bytes(path, (text + "\n").encode())


@contextmanager
def write_folder(path: PathLike) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an error.

    Args:
        path: Folder; an old one is replaced as a whole.

    Yields:
        The folder to fill.

    Raises:
        OutputError: If it cannot be written; the old folder is untouched then.
    """
    target = Path(path)
    with _staging(target.with_name(_temporary()), target) as staged:
        yield staged
        _replace(staged, target)


@contextmanager
def write_together(path: PathLike, last: str) -> Iterator[Path]:
    """Yield an empty folder whose files and folders take the places of those in `path` when the block ends.

    All of them are complete before the first one moves. The file `last` is taken away before that and moves after all
    others: who reads it first, and finds the same file there afterwards, has read what belongs together.

    Args:
        path: Folder that exists; what else lies in it stays.
        last: Name of a file that the block writes.

    Yields:
        The folder to fill.

    Raises:
        OutputError: If it cannot be written; unless a rename itself failed, all old files are untouched then.
    """
    folder = Path(path)
    with _staging(folder / _temporary(), folder) as staged:
        yield staged
        (folder / last).unlink(missing_ok=True)
        for entry in sorted(staged.iterdir(), key=lambda entry: entry.name == last):
            _replace(entry, folder / entry.name)
        staged.rmdir()


def remove_leftovers(path: PathLike) -> None:
    """Clean up after a process that was killed while it wrote into a folder; call it while nobody else writes there."""
    folder = Path(path)
    for entry in folder.iterdir():
        if not _LEFTOVER.fullmatch(entry.name):
            continue
        if entry.suffix == ".old":
            for kept in entry.iterdir():  # the old folder, where the new one did not come any more
                if not (folder / kept.name).exists():
                    os.replace(kept, folder / kept.name)
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


@contextmanager
def _staging(temporary: Path, target: Path) -> Iterator[Path]:
    """Yield a new folder that is gone when the block ends."""
    try:
        try:
            temporary.mkdir(parents=True)
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OutputError:
        raise
    except OSError as error:
        raise _failure(target, error) from error


def _replace(source: Path, target: Path) -> None:
    """Let a complete file or folder take the place of another."""
    if not (source.is_dir() and target.exists()):
        _move(source, target)
        return
    old = target.with_name(f".{uuid.uuid4().hex[:8]}.old")
    old.mkdir()
    _move(target, old / target.name)
    try:
        _move(source, target)
    except BaseException:
        os.replace(old / target.name, target)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    for pause in (*_PAUSES, None):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or pause is None:
                raise
            time.sleep(pause)


def _write(path: Path, content: bytes) -> None:
    """Write and flush to the disk, so that a rename never precedes the content."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _temporary() -> str:
    return f".{uuid.uuid4().hex[:8]}.tmp"


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _failure(target: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(
        f"out: could not write {str(target)!r} ({_reason(error)}); nothing there was changed, "
        "free some space or choose another folder and run again"
    )


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and tuples into JSON types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value
