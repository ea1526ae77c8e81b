# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The manifest of an output folder: which files this program wrote there, with size and digest of each."""

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
from ..errors import OutputError

MANIFEST = "diffmpm.json"
"""Name of the manifest."""
LOCK = ".diffmpm.lock"
"""Name of the file that is locked while somebody writes into the folder."""
STAGE = re.compile(r"\.diffmpm\.[0-9a-f]{8}\.tmp")
"""Names of folders for files that are not in their places yet."""
EVERYTHING = "/"
"""Target that stands for the whole folder."""

_FORMAT = "DiffMPM manifest 1"
_NAMED = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class Entry:
    """What the manifest says of a file."""

    by: str
    """What wrote it: "result", "checkpoint", "pictures", "render", "export" or "files"."""
    size: int
    """Bytes."""
    mtime: int
    """Time of its last change [ns]; where it differs, as in a copy of the folder, the digest decides."""
    sha256: str
    """Digest of its content."""


@dataclass(frozen=True)
class Manifest:
    """Files of an output folder that this program wrote."""

    folder: Path
    """The folder."""
    files: dict[str, Entry] = field(default_factory=dict)
    """Entries by name relative to the folder, with "/" between the parts."""
    stage: str = ""
    """Folder that held the new files when the manifest was written; what it still holds counts, not what stands at
    the same name outside."""
    stale: tuple[str, ...] = ()
    """Names that go while that folder exists."""
    intact: bool = True
    """Whether the file of the manifest is none, or one that this program wrote and nobody changed."""

    def names(self, by: str) -> list[str]:
        """Return the names of the files that `by` wrote."""
        return [name for name, entry in self.files.items() if entry.by == by]

    def read(self, name: str) -> bytes:
        """Read a file and check its digest.

        Raises:
            OSError: If it cannot be read.
            ValueError: If its content is not what was written.
        """
        entry = self.files[name]
        places = [self.folder / self.stage / name] if self.stage else []
        for place in [*places, self.folder / name]:
            try:
                content = read_file(place, entry.size)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise ValueError("its content has changed")
            return content
        raise FileNotFoundError(errno.ENOENT, "it is missing")

    def foreign(self, by: str, targets: Iterable[str]) -> list[str]:
        """Return the names of what is in the way of new files: all that `by` did not write, or somebody changed since.

        Args:
            by: What writes the new files.
            targets: Names of files, and of folders, with "/" at the end, of which everything counts.
        """
        found = {MANIFEST} if not self.intact else set()
        for target in targets:
            found |= {name for name in self._present(target) if not self._wrote(name, by)}
        return sorted(found)

    def _present(self, target: str) -> Iterator[str]:
        """Yield the names of what stands at a target, of folders their files; links are not followed."""
        name = target.rstrip("/")
        parts = name.split("/")
        for n in range(1, len(parts)):
            parent = "/".join(parts[:n])
            if not is_folder(self.folder / parent):
                if os.path.lexists(self.folder / parent):
                    yield parent
                return
        place = self.folder / name
        if not (is_folder(place) and target.endswith("/")):
            if os.path.lexists(place):
                yield name
            return
        for root, folders, files in os.walk(place):
            links = [folder for folder in folders if os.path.islink(os.path.join(root, folder))]
            if target == EVERYTHING and root == str(place):
                folders[:] = [folder for folder in folders if not STAGE.fullmatch(folder)]
                files = [file for file in files if file not in (MANIFEST, LOCK)]
            for file in [*files, *links]:
                yield Path(root, file).relative_to(self.folder).as_posix()

    def _wrote(self, name: str, by: str) -> bool:
        """Return whether what stands at a name is what `by` wrote there."""
        entry = self.files.get(name)
        if entry is None or entry.by != by:
            return False
        try:
            found = (self.folder / name).lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
                return False
            return found.st_mtime_ns == entry.mtime or digest(self.folder / name) == entry.sha256
        except OSError:
            return False

    def encode(self) -> bytes:
        """Return the content of the manifest's file, which holds a digest of itself."""
        files = {name: vars(entry) for name, entry in self.files.items()}
        itself = hashlib.sha256(json.dumps([self.stage, self.stale, files]).encode()).hexdigest()
        head = {"format": _FORMAT, "sha256": itself, "stage": self.stage, "stale": self.stale}
        return (json.dumps({**head, "files": files}, indent=1) + "\n").encode()


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, None if there is none.

    Raises:
        OSError: If it cannot be read.
    """
    path = folder / MANIFEST
    if path.is_symlink() or is_folder(path):
        return Manifest(folder, intact=False)
    try:
        content = read_file(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return None
    try:
        manifest = _decode(folder, json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Manifest(folder, intact=False)
    return manifest if manifest.encode() == content else Manifest(folder, intact=False)


def own_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder that is to be written into, an empty one if there is none.

    Raises:
        OutputError: If it cannot be read.
    """
    try:
        return read_manifest(folder) or Manifest(folder)
    except OSError as error:
        raise unwritable(folder, "out", error) from error


def unwritable(folder: Path, name: str, error: OSError | ValueError) -> OutputError:
    """Return the error of a folder that nothing can be written into."""
    return OutputError(
        f"{name}: expected a folder to write into, got {str(folder)!r} ({reason_of(error)}); choose another one"
    )


def reason_of(error: OSError | ValueError) -> str:
    """Return what a message says of an error of the system."""
    return getattr(error, "strerror", None) or str(error)


def refuse_foreign(folder: Path, targets: Mapping[str, Sequence[str]], *, force: bool = False) -> list[str]:
    """Make sure that new files replace nothing but earlier ones of the same writer.

    Args:
        folder: Output folder; it need not exist.
        targets: What is to be written, by writer: names of files, and of folders, with "/" at the end, of which
            everything counts.
        force: Whether everything else may go, too.

    Returns:
        The names of everything else, none without `force`.

    Raises:
        OutputError: If there is anything else, with its names.
    """
    manifest = own_manifest(folder)
    found = sorted({name for by, names in targets.items() for name in manifest.foreign(by, names)})
    if found and not force:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise OutputError(
            f"out: expected no files but earlier ones of diffmpm where it writes in {str(folder)!r}, found "
            f"{', '.join(map(repr, found[:_NAMED]))}{more}; choose another folder, move them, or replace them with "
            "force=True (--force)"
        )
    return found


def digest(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(read_file(path)).hexdigest()


def _decode(folder: Path, data: dict[str, Any]) -> Manifest:
    files = {name: Entry(**row) for name, row in data["files"].items()}
    stage, stale = data["stage"], tuple(data["stale"])
    if not all(map(_is_inside, [*files, *stale])) or (stage and not STAGE.fullmatch(stage)):
        raise ValueError("a name that leads out of the folder")
    return Manifest(folder, files, stage, stale)


def _is_inside(name: str) -> bool:
    """Return whether a name is relative and has no part that leads elsewhere, on any system."""
    parts = re.split(r"[/\\]" if os.name == "nt" else "/", name)
    return not {"", ".", ".."} & set(parts) and "\0" not in name and (os.name != "nt" or ":" not in name)
