# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Manifest of an output folder: the files that DiffMPM wrote, with the size and digest of each."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._files import is_folder, read_file
from .._repr import short_repr
from ..errors import OutputError

MANIFEST = "diffmpm.json"
"""Name of the manifest."""
LOCK = ".diffmpm.lock"
"""Name of the lock file."""
STAGE = re.compile(r"\.diffmpm\.[0-9a-f]{8}\.tmp")
"""Names of staging folders, which hold new files until they are committed and moved."""
EVERYTHING = "/"
"""Target that stands for the whole folder."""

_FORMAT = "DiffMPM manifest 1"
_MOST_NAMES = 5
"""Most names that a message lists."""


@dataclass(frozen=True)
class Entry:
    """Record of one file."""

    by: str
    """Writer: "result", "checkpoint", "preview", "pictures", "render", "export" or "files"."""
    size: int
    """Size [bytes]."""
    mtime: int
    """Modification time [ns]. If it differs, as in a copy of the folder, the digest decides."""
    sha256: str
    """SHA-256 digest of the content."""


@short_repr
@dataclass(frozen=True)
class Manifest:
    """Files of an output folder that DiffMPM wrote."""

    folder: Path
    """The folder."""
    files: dict[str, Entry] = field(default_factory=dict)
    """Entries by name relative to the folder, with "/" as separator."""
    stage: str = ""
    """Staging folder of the last commit. A file that is still in it takes precedence over the one of the same name
    outside."""
    stale: tuple[str, ...] = ()
    """Names to remove as long as the staging folder exists."""
    intact: bool = True
    """Whether the manifest file is absent or unchanged since DiffMPM wrote it."""

    def names(self, by: str) -> list[str]:
        """Return the names of the files that a writer wrote."""
        return [name for name, entry in self.files.items() if entry.by == by]

    def unchanged(self, by: str) -> list[str]:
        """Return the names of the files that are as a writer wrote them."""
        return [name for name in self.names(by) if self._is_unchanged(name, by)]

    def read(self, name: str) -> bytes:
        """Read a file. Raise an OSError if that fails, a ValueError if its content has changed."""
        entry = self.files[name]
        for root in (self.folder / self.stage, self.folder) if self.stage else (self.folder,):
            try:
                content = read_file(root / name, entry.size)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise ValueError("its content has changed")
            return content
        raise FileNotFoundError(errno.ENOENT, "it is missing")

    def foreign(self, by: str, targets: Iterable[str]) -> list[str]:
        """Return the names that block new files: those that `by` did not write, or that were changed afterwards.

        Args:
            by: Writer of the new files.
            targets: File names, and folder names ending in "/", which stand for all their contents.
        """
        names = {MANIFEST} if not self.intact else set()
        for target in targets:
            names |= {name for name in self._existing(target) if not self._is_unchanged(name, by)}
        return sorted(names)

    def _existing(self, target: str) -> Iterator[str]:
        """Yield the names of the existing files of a target. Links are not followed."""
        name = target.rstrip("/")
        parts = name.split("/")
        for n in range(1, len(parts)):
            parent = "/".join(parts[:n])
            if not is_folder(self.folder / parent):
                if os.path.lexists(self.folder / parent):
                    yield parent
                return
        path = self.folder / name
        if not (is_folder(path) and target.endswith("/")):
            if os.path.lexists(path):
                yield name
            return
        for root, folders, files in os.walk(path):
            links = [folder for folder in folders if os.path.islink(os.path.join(root, folder))]
            if target == EVERYTHING and root == str(path):
                folders[:] = [folder for folder in folders if not STAGE.fullmatch(folder)]
                files = [file for file in files if file not in (MANIFEST, LOCK)]
            for file in [*files, *links]:
                yield Path(root, file).relative_to(self.folder).as_posix()

    def _is_unchanged(self, name: str, by: str) -> bool:
        """Return whether a file is as `by` wrote it."""
        entry = self.files.get(name)
        if entry is None or entry.by != by:
            return False
        try:
            status = (self.folder / name).lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
                return False
            return status.st_mtime_ns == entry.mtime or digest(self.folder / name) == entry.sha256
        except OSError:
            return False

    def encode(self) -> bytes:
        """Return the content of the manifest file, which includes its own digest."""
        files = {name: vars(entry) for name, entry in self.files.items()}
        sha256 = hashlib.sha256(json.dumps([self.stage, self.stale, files]).encode()).hexdigest()
        head = {"format": _FORMAT, "sha256": sha256, "stage": self.stage, "stale": self.stale}
        return (json.dumps({**head, "files": files}, indent=1) + "\n").encode()


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, None without one. Raise an OSError if it cannot be read."""
    path = folder / MANIFEST
    damaged = Manifest(folder, intact=False)
    if path.is_symlink() or is_folder(path):
        return damaged
    try:
        content = read_file(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in the name
        return None
    try:
        manifest = _decode(folder, json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return damaged
    return manifest if manifest.encode() == content else damaged


def own_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder to write into, an empty one if it has none, or raise an OutputError."""
    try:
        return read_manifest(folder) or Manifest(folder)
    except OSError as error:
        raise unwritable(folder, "out", error) from error


def unwritable(folder: Path, name: str, error: OSError | ValueError) -> OutputError:
    """Return the error for a folder that cannot be written into."""
    return OutputError(
        f"{name}: expected a folder to write into, got {str(folder)!r} ({reason_of(error)}); choose another one"
    )


def reason_of(error: OSError | ValueError) -> str:
    """Return the description of a system error."""
    return getattr(error, "strerror", None) or str(error)


def refuse_foreign(folder: Path, targets: Mapping[str, Sequence[str]], *, force: bool = False) -> list[str]:
    """Check that new files replace only earlier ones of the same writer.

    Args:
        folder: Output folder, which need not exist.
        targets: Names to write, by writer: file names, and folder names ending in "/", which stand for all their
            contents.
        force: Allow any other file to be replaced.

    Returns:
        The names of all other files, empty without `force`.

    Raises:
        OutputError: If there are other files and `force` is False.
    """
    manifest = own_manifest(folder)
    foreign = sorted({name for by, names in targets.items() for name in manifest.foreign(by, names)})
    if foreign and not force:
        more = f" and {len(foreign) - _MOST_NAMES} more" if len(foreign) > _MOST_NAMES else ""
        raise OutputError(
            "out: expected to replace only unchanged files of diffmpm, got "
            f"{', '.join(map(repr, foreign[:_MOST_NAMES]))}{more} in {str(folder)!r}; choose another folder, move "
            "them, or replace them with force=True (--force)"
        )
    return foreign


def digest(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    return hashlib.sha256(read_file(path)).hexdigest()


def _decode(folder: Path, data: dict[str, Any]) -> Manifest:
    files = {name: Entry(**row) for name, row in data["files"].items()}
    stage, stale = data["stage"], tuple(data["stale"])
    if not all(map(_is_inside, [*files, *stale])) or (stage and not STAGE.fullmatch(stage)):
        raise ValueError("a name that leads out of the folder")
    return Manifest(folder, files, stage, stale)


def _is_inside(name: str) -> bool:
    """Return whether a name is relative and stays inside its folder on every system."""
    parts = re.split(r"[/\\]" if os.name == "nt" else "/", name)
    return not {"", ".", ".."} & set(parts) and "\0" not in name and (os.name != "nt" or ":" not in name)
