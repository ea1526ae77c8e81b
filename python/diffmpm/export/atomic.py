# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Write files and folders whole or not at all: under another name first, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OutputError

PathLike = str | os.PathLike[str]


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
    probe = folder / _temporary("probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
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
    temporary = target.with_name(_temporary(target.name))
    try:
        try:
            _write(temporary, content)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
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
    temporary = target.with_name(_temporary(target.name) + target.suffix)
    try:
        try:
            yield temporary
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OutputError:
        raise
    except OSError as error:
        raise _failure(target, error) from error


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
    temporary = target.with_name(_temporary(target.name))
    old = target.with_name(_temporary(target.name))
    try:
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if target.exists():
                os.replace(target, old)
            os.replace(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OutputError:
        raise
    except OSError as error:
        raise _failure(target, error) from error


def _write(path: Path, content: bytes) -> None:
    """Write and flush to the disk, so that a rename never precedes the content."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _temporary(name: str) -> str:
    return f".{name}.{uuid.uuid4().hex[:8]}.tmp"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _failure(target: Path, error: OSError) -> OutputError:
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
