# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Atomic writes of files and folders: everything is written under a temporary name and then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .._files import is_folder, sync
from ..errors import OutputError
from .manifest import (
    EVERYTHING,
    MANIFEST,
    Entry,
    Manifest,
    digest,
    own_manifest,
    read_manifest,
    reason_of,
    refuse_foreign,
    unwritable,
)

PathLike = str | os.PathLike[str]
T = TypeVar("T")
R = TypeVar("R")

_WRITERS = 4
"""Files written at the same time."""
_writing: dict[str, threading.RLock] = {}
"""Locks by real path: the threads of a process replace the files of a folder one after the other."""
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Delays [s] before a rename is retried that Windows refuses while another process reads the old file."""


def check_folder(path: PathLike, name: str = "out") -> Path:
    """Make a folder if needed and check that files can be written into it; `name` is the argument in messages."""
    folder = make_folder(path, name)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise unwritable(folder, name, error) from error


def make_folder(path: PathLike, name: str) -> Path:
    """Make a folder and its parents if needed. On failure raise an OutputError."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise unwritable(folder, name, error) from error
    return folder


def write_bytes(path: PathLike, content: bytes) -> Path:
    """Write a file atomically: on failure an existing file stays as it is."""
    target = Path(path)
    try:
        with _replacing(target) as temporary:
            _write(temporary, content)
    except ValueError as error:  # NUL in the name
        raise write_error(target, reason_of(error)) from error
    return target


@contextmanager
def write_file(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; the file written there replaces `path` when the block ends.

    For writers that take a path instead of returning bytes. On failure an existing file stays as it is.
    """
    with _replacing(Path(path), Path(path).suffix) as temporary:
        yield temporary
        sync(temporary)


@contextmanager
def _replacing(target: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside the target, which replaces the target when the block ends."""
    temporary = target.with_name(_temporary() + suffix)
    try:
        try:
            yield temporary
            _move(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with suppress(OSError):
            sync(target.parent)
    except OutputError:
        raise
    except OSError as error:
        raise write_error(target, reason_of(error)) from error


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `function(item)` of each item, or raise the first error. A few calls run at the same time."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(function, items))


def write_json(path: PathLike, content: Any) -> Path:
    """Write JSON types, NumPy arrays and scalars as JSON. NaN and infinities become null."""
    return write_bytes(path, encode_json(content))


def encode_json(content: Any) -> bytes:
    """Return the bytes that `write_json` writes."""
    return (json.dumps(_plain(content), indent=2, allow_nan=False) + "\n").encode()


class Stage:
    """Staging folder: new files of a writer before they are committed."""

    def __init__(self, path: Path, by: str) -> None:
        self.path = path
        self._by = by
        self._entries: dict[str, Entry] = {}

    def __truediv__(self, name: str) -> Path:
        """Return the path of a new file or folder."""
        return self.path / name

    def write(self, name: str, content: bytes) -> None:
        """Write a file and record the digest of its bytes."""
        path = self._path_of(name)
        _write(path, content)
        self._entries[name] = self._entry(path, hashlib.sha256(content).hexdigest())

    def link(self, name: str, file: Path, entry: Entry) -> bool:
        """Hard-link a file of the output folder. Return False if links are unsupported or the file does not match."""
        path = self._path_of(name)
        try:
            os.link(file, path)
            matches = replace(self._entry(path, entry.sha256), by=entry.by) == entry and not path.is_symlink()
        except OSError:
            return False
        if matches:
            self._entries[name] = replace(entry, by=self._by)
        else:
            path.unlink()
        return matches

    def entries(self) -> dict[str, Entry]:
        """Return the manifest entries of all files."""
        for root, _, files in os.walk(self.path):
            for path in (Path(root, file) for file in files):
                name = path.relative_to(self.path).as_posix()
                if name not in self._entries:  # written by path, not with `write`
                    self._entries[name] = self._entry(path, digest(path))
        return dict(sorted(self._entries.items()))

    def _path_of(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _entry(self, path: Path, sha256: str) -> Entry:
        status = path.lstat()
        return Entry(self._by, status.st_size, status.st_mtime_ns, sha256)


@contextmanager
def write_together(
    path: PathLike,
    *,
    by: str = "files",
    whole: Sequence[str] = (),
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    last: str = "",
    force: bool = False,
) -> Iterator[Stage]:
    """Yield a stage whose files replace those of a folder when the block ends: all of them or none.

    Renaming the manifest commits the change: before it readers get the old files, after it the new ones, also while
    these are still in the staging folder. Moving them comes next. If the move is cut short, the next writer completes
    it.

    Args:
        path: Existing folder, locked by the caller. All its other files stay.
        by: Writer. It replaces only files that it wrote itself.
        whole: File names, and folder names ending in "/", whose contents are replaced as a whole.
        keep: Names of existing files that stay.
        drop: Other writers, whose unchanged files are removed.
        last: Name of the file that is moved last, for programs that wait for it.
        force: Replace any other file that is in the way.

    Yields:
        The stage to fill.

    Raises:
        OutputError: If other files are in the way, or the new ones cannot be written. The old files are unchanged
            then, unless the message names where the new ones are.
    """
    folder = Path(path)
    with _writing.setdefault(os.path.realpath(folder), threading.RLock()):
        recover(folder, [])
        refuse_foreign(folder, {by: whole}, force=force)
        stage = Stage(folder / f".diffmpm{_temporary()}", by)
        try:
            try:
                stage.path.mkdir()
                yield stage
                _commit(stage, folder, by, whole, set(keep), drop, last, force=force)
            finally:
                try:
                    recover(folder, [stage.path])
                except OutputError:
                    raise
                except BaseException:  # interrupted
                    recover(folder, [stage.path])
                    raise
        except OutputError:
            raise
        except OSError as error:
            raise write_error(folder, reason_of(error)) from error


def _commit(
    stage: Stage, folder: Path, by: str, whole: Sequence[str], keep: set[str], drop: Iterable[str], last: str, *,
    force: bool,
) -> None:  # fmt: skip
    """Replace the manifest with one that lists the new files instead of those that they replace."""
    new = stage.entries()
    blocking = set(refuse_foreign(folder, {by: [*whole, *new]}, force=force)) - {MANIFEST}
    manifest = own_manifest(folder)
    old = manifest.files
    stale = (blocking | {name for name, e in old.items() if e.by == by and _covers(whole, name)}) - keep
    stale |= {name for writer in drop for name in manifest.unchanged(writer)}
    if not (new or stale):
        return
    files = {name: entry for name, entry in old.items() if name not in stale}
    files |= {name: new[name] for name in sorted(new, key=lambda name: name == last)}
    manifest = Manifest(folder, files, stage.path.name, tuple(sorted(stale)))
    for root, _, _ in os.walk(stage.path):
        sync(root)
    _write(stage / MANIFEST, manifest.encode())
    _move(stage / MANIFEST, folder / MANIFEST)


def _covers(targets: Iterable[str], name: str) -> bool:
    return any(t in (name, EVERYTHING) or (t.endswith("/") and name.startswith(t)) for t in targets)


def recover(folder: Path, stages: Iterable[Path]) -> None:
    """Move the files of the last commit out of their staging folder, and remove unused staging folders.

    The caller has locked the folder. If the files cannot be moved, they are read from the staging folder.
    """
    try:
        _recover(folder, stages)
    except OSError:
        try:
            _recover(folder, stages)  # the fault may have been a single one
        except OSError as error:
            manifest = own_manifest(folder)
            waiting = sum(os.path.lexists(folder / manifest.stage / name) for name in manifest.files)
            raise OutputError(
                f"out: all new files of {str(folder)!r} are written, but moving them out of the staging folder failed "
                f"({reason_of(error)}); {waiting} of them are in {manifest.stage!r} there and are read from there; "
                "the next command that writes into the folder moves them"
            ) from error


def _recover(folder: Path, stages: Iterable[Path]) -> None:
    manifest = read_manifest(folder)
    if manifest and manifest.stage and is_folder(folder / manifest.stage):
        _move_staged(manifest, folder / manifest.stage)
    for stage in filter(is_folder, stages):
        _remove_tree(stage)


def _move_staged(manifest: Manifest, stage: Path) -> None:
    """Move the files of a stage into the folder. Repeating a part of it does no harm."""
    folder, files = manifest.folder, manifest.files
    sync(folder)
    for name in manifest.stale:
        _remove_stale(folder, name, files)
    changed = set()
    for name in files:
        if os.path.lexists(stage / name):
            parent = _make_parent(folder, name)
            _move(stage / name, folder / name)
            changed.add(parent)
    for parent in changed:
        sync(parent)
    _remove_tree(stage)


def _remove_stale(folder: Path, name: str, files: Iterable[str]) -> None:
    """Remove a stale file or folder and parents that become empty. New files, and folders that hold them, stay."""
    parts = name.split("/")
    parents = [folder / Path(*parts[:n]) for n in range(1, len(parts))]
    path = folder / name
    if not all(map(is_folder, parents)) or not os.path.lexists(path):
        return
    if is_folder(path):
        if not any(file.startswith(f"{name}/") for file in files):
            _remove_tree(path)
    elif name not in files:
        path.unlink()
    for parent in reversed(parents):
        with suppress(OSError):
            parent.rmdir()


def _make_parent(folder: Path, name: str) -> Path:
    """Return the parent folder of a file, made if needed. A link in its path is an error."""
    parent = folder
    for part in name.split("/")[:-1]:
        parent /= part
        if not is_folder(parent):
            parent.mkdir()
    return parent


def _remove_tree(folder: Path) -> None:
    """Remove a folder and its contents as far as possible. Links are not followed.

    Not `shutil.rmtree`, which opens folders: an interrupt there would lose a descriptor.
    """
    for root, folders, files in os.walk(folder, topdown=False):
        for name in [*files, *folders]:
            path = Path(root, name)
            with suppress(OSError):
                path.rmdir() if is_folder(path) else path.unlink()
    with suppress(OSError):
        folder.rmdir()


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
    """Write a file and flush it to the disk, so that a rename never precedes the content."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _temporary() -> str:
    return f".{uuid.uuid4().hex[:8]}.tmp"


def write_error(target: PathLike, reason: str) -> OutputError:
    """Return the error for a file or folder that cannot be written."""
    return OutputError(
        f"out: could not write {str(target)!r} ({reason}); nothing was changed; free some space or choose another "
        "folder and run again"
    )


def _plain(value: Any) -> Any:
    """Convert NumPy types and tuples to JSON types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value
