# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Write files and folders whole or not at all: under another name first, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
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
    folder = make_folder(path, name)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise unwritable(folder, name, error) from error


def make_folder(path: PathLike, name: str = "out") -> Path:
    """Make a folder and those around it if needed.

    Raises:
        OutputError: If it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unwritable(folder, name, error) from error
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
        with suppress(OSError):
            sync(target.parent)
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
            sync(temporary)
            _move(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with suppress(OSError):
            sync(target.parent)
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
    return write_bytes(path, encode_json(content))


def encode_json(content: Any) -> bytes:
    """Return the bytes of the file that `write_json` writes."""
    return (json.dumps(_plain(content), indent=2, allow_nan=False) + "\n").encode()


class Stage:
    """Folder of new files that are not in their places yet.

    Args:
        path: The folder.
        by: What writes them.
    """

    def __init__(self, path: Path, by: str) -> None:
        self.path = path
        self._by = by
        self._entries: dict[str, Entry] = {}

    def __truediv__(self, name: str) -> Path:
        """Return the path of a new file or folder."""
        return self.path / name

    def write(self, name: str, content: bytes) -> None:
        """Write a file, with the digest of the very bytes."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
        self._entries[name] = self._entry(path, hashlib.sha256(content).hexdigest())

    def link(self, name: str, file: Path, entry: Entry) -> bool:
        """Give a file of the folder a second name; return whether the disk can, and it is what its entry says."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, path)
            same = replace(self._entry(path, entry.sha256), by=entry.by) == entry and not path.is_symlink()
        except OSError:
            return False
        if same:
            self._entries[name] = replace(entry, by=self._by)
        else:
            path.unlink()
        return same

    def entries(self) -> dict[str, Entry]:
        """Return what a manifest says of all files."""
        for root, _, files in os.walk(self.path):
            for path in (Path(root, file) for file in files):
                name = path.relative_to(self.path).as_posix()
                if name not in self._entries:  # by a writer that takes a path
                    self._entries[name] = self._entry(path, digest(path))
        return dict(sorted(self._entries.items()))

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
    last: str = "",
    force: bool = False,
) -> Iterator[Stage]:
    """Yield a stage whose files take their places in a folder when the block ends, all together or none.

    The rename of the manifest is the one moment at which the folder changes: before it, readers get the old files,
    after it the new ones, wherever they are. Then the files move. Should that be cut short, the next writer goes on.

    Args:
        path: Folder that exists and that the caller has locked; what else lies in it stays.
        by: What writes the files; it replaces only what it has written itself.
        whole: Names of files, and of folders, with "/" at the end, that hold the new files and nothing else afterwards.
        keep: Names of files there that stay.
        last: Name of the file that moves last, for programs that wait for it.
        force: Whether everything else that is in the way may be replaced, too.

    Yields:
        The stage to fill.

    Raises:
        OutputError: If something else is in the way, or the files cannot be written; no old file has changed then,
            unless the message says where the new ones are.
    """
    folder = Path(path)
    settle(folder, [])
    refuse_foreign(folder, {by: whole}, force=force)
    stage = Stage(folder / f".diffmpm{_temporary()}", by)
    try:
        try:
            stage.path.mkdir()
            yield stage
            _commit(stage, folder, by, whole, keep, last, force=force)
        finally:
            try:
                settle(folder, [stage.path])
            except OutputError:
                raise
            except BaseException:  # interrupted
                settle(folder, [stage.path])
                raise
    except OutputError:
        raise
    except OSError as error:
        raise _failure(folder, error) from error


@contextmanager
def write_folder(path: PathLike, *, force: bool = False) -> Iterator[Stage]:
    """Do as `write_together` with all that a folder holds.

    Args:
        path: Folder that exists and that the caller has locked.
        force: Whether files that this program did not write may be replaced, too.

    Yields:
        The stage to fill.

    Raises:
        OutputError: If something else is in the way, or the files cannot be written.
    """
    with write_together(path, whole=[EVERYTHING], force=force) as stage:
        yield stage


def _commit(
    stage: Stage, folder: Path, by: str, whole: Sequence[str], keep: Iterable[str], last: str, *, force: bool
) -> None:
    """Replace the manifest by one that counts the new files and not those that they replace."""
    new, kept = stage.entries(), set(keep)
    blocked = set(refuse_foreign(folder, {by: [*whole, *new]}, force=force)) - {MANIFEST}
    old = own_manifest(folder)
    gone = blocked | {name for name, e in old.files.items() if e.by == by and _covers(whole, name)}
    if not (new or gone - kept):
        return
    files = {name: entry for name, entry in old.files.items() if name not in gone or name in kept}
    files |= {name: new[name] for name in sorted(new, key=lambda name: name == last)}
    manifest = Manifest(folder, files, stage.path.name, tuple(sorted(gone - kept)))
    for root, _, _ in os.walk(stage.path):
        sync(root)
    _write(stage / MANIFEST, manifest.encode())
    _move(stage / MANIFEST, folder / MANIFEST)


def _covers(targets: Iterable[str], name: str) -> bool:
    return any(t in (name, EVERYTHING) or (t.endswith("/") and name.startswith(t)) for t in targets)


def settle(folder: Path, stages: Iterable[Path]) -> None:
    """Move the files of the last commit to their places, and remove those that were never committed.

    Args:
        folder: Folder that the caller has locked.
        stages: Folders of files that nobody writes into any more.

    Raises:
        OutputError: If the files cannot be moved; they are read from where they are.
    """
    try:
        _settle(folder, stages)
    except OSError:
        try:
            _settle(folder, stages)  # the fault may have been a single one
        except OSError as error:
            manifest = own_manifest(folder)
            waiting = sum(os.path.lexists(folder / manifest.stage / name) for name in manifest.files)
            raise OutputError(
                f"out: all new files of {str(folder)!r} are written, but moving them to their places failed "
                f"({reason_of(error)}); {waiting} of them are in {manifest.stage!r} there and are read from there; "
                "the next command that writes into the folder moves them"
            ) from error


def _settle(folder: Path, stages: Iterable[Path]) -> None:
    manifest = read_manifest(folder)
    if manifest and manifest.stage and is_folder(folder / manifest.stage):
        _move_all(manifest, folder / manifest.stage)
    for stage in stages:
        if is_folder(stage):
            _discard(stage)


def _move_all(manifest: Manifest, stage: Path) -> None:
    """Move the files of a stage to their places; what was done before does no harm when it is done again."""
    folder, files = manifest.folder, manifest.files
    sync(folder)
    for name in manifest.stale:
        _remove(folder, name, files)
    changed = set()
    for name in files:
        if os.path.lexists(stage / name):
            parent = _parent(folder, name)
            _move(stage / name, folder / name)
            changed.add(parent)
    for place in changed:
        sync(place)
    _discard(stage)


def _remove(folder: Path, name: str, files: Iterable[str]) -> None:
    """Remove what new files replace; where one of them has that name or lies below it, only what is in its way."""
    parts = name.split("/")
    parents = [folder / Path(*parts[:n]) for n in range(1, len(parts))]
    place = folder / name
    if not all(map(is_folder, parents)) or not os.path.lexists(place):
        return
    if is_folder(place):
        if not any(file.startswith(f"{name}/") for file in files):
            _discard(place)
    elif name not in files:
        place.unlink()
    for parent in reversed(parents):
        with suppress(OSError):
            parent.rmdir()  # if it is empty now


def _parent(folder: Path, name: str) -> Path:
    """Return the folder that a file is to lie in, made if needed; a link there is an error."""
    place = folder
    for part in name.split("/")[:-1]:
        place /= part
        if not is_folder(place):
            place.mkdir()
    return place


def _discard(folder: Path) -> None:
    """Remove a folder with all that it holds, as far as that can be done; links are not followed."""
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
    """Write and flush to the disk, so that a rename never precedes the content."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _temporary() -> str:
    return f".{uuid.uuid4().hex[:8]}.tmp"


def _failure(target: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(
        f"out: could not write {str(target)!r} ({reason_of(error)}); nothing there was changed, "
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
