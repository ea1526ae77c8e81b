# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A sequence of diffmpm commands in a background process. This module does not use Blender."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

_STEP = re.compile(r"^(?:window|frame) (\d+)/(\d+)", re.MULTILINE)
"""Progress in the log of a command."""
_PREFIX = re.compile(r"^diffmpm(?: \w+)?: ")
_REMEDY = "install the extension with bundled wheels, or choose a Python that has diffmpm in its preferences"
_PATIENCE = 5.0
"""Seconds between asking a process to end and killing it."""


@dataclass(frozen=True)
class Command:
    """A command of diffmpm."""

    name: str
    """Text for the progress bar."""
    arguments: tuple[str, ...]
    """Arguments of `python -m diffmpm`."""
    fraction: float
    """Fraction of the time of the job."""


@dataclass
class Job:
    """Runs commands one after another. The caller polls it."""

    folder: Path
    """Folder of the logs."""
    python: str
    """Python program; empty for the current one."""
    commands: list[Command]
    error: str = ""
    """Message of the command that failed."""
    _number: int = -1
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def poll(self) -> bool:
        """Start the next command if the current one has ended. Return whether the job is running."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return True
            self._process = None
            if status != 0:
                self.error = error_message(self._log(), status)
        if self.error or self._number + 1 == len(self.commands):
            return False
        self._number += 1
        self._start(self.commands[self._number])
        return not self.error

    def cancel(self) -> None:
        """End the current command."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def text(self) -> str:
        """What is being done."""
        return self.commands[max(self._number, 0)].name

    @property
    def progress(self) -> float:
        """Progress from 0 to 1."""
        done = sum(command.fraction for command in self.commands[: self._number])
        return done + self.commands[max(self._number, 0)].fraction * fraction_done(self._log())

    def _start(self, command: Command) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        if not self.python:  # wheels of extensions are only on the path of the running interpreter
            folders = [path for path in sys.path if os.path.basename(path) == "site-packages"]
            environment["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    [self.python or sys.executable, "-m", "diffmpm", *command.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=environment,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            self.error = f"{self.python or sys.executable}: {error.strerror}; {_REMEDY}"

    @property
    def _log_path(self) -> Path:
        return self.folder / f"log_{self._number}.txt"

    def _log(self) -> str:
        try:
            return self._log_path.read_text("utf-8", "replace")
        except OSError:
            return ""


def fraction_done(log: str) -> float:
    """Return the fraction that the last line of progress in a log states."""
    steps = _STEP.findall(log)
    return int(steps[-1][0]) / int(steps[-1][1]) if steps else 0.0


def error_message(log: str, status: int) -> str:
    """Return the message of a command that failed, without the name of the program."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return f"diffmpm ended with status {status} and no message"
    if "No module named" in lines[-1]:
        return f"{lines[-1]}; {_REMEDY}"
    own = [line for line in lines if _PREFIX.match(line) and ": warning: " not in line]
    return _PREFIX.sub("", (own or lines)[-1])
