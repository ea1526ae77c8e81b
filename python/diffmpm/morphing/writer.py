# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Checkpoints on a thread of their own, while the next windows run."""

from __future__ import annotations

import threading

from .chain import ChainState, on_host
from .checkpoint import Checkpoint


class CheckpointWriter:
    """Write the states of a chain, one at a time; a state that waits gives way to a later one.

    An error of the thread is raised by the next call.

    Args:
        checkpoint: Where to.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._thread: threading.Thread | None = None
        self._waiting: ChainState | None = None
        self._writing: ChainState | None = None
        self._last: ChainState | None = None
        self._error: BaseException | None = None
        self.windows = -1
        """Windows of the state that was written last."""

    def put(self, state: ChainState) -> None:
        """Have a state written, without waiting for it."""
        if state is not self._last:
            self._last = self._waiting = state
        self._advance()

    def flush(self) -> None:
        """Wait until everything is written."""
        while self._thread is not None or self._waiting is not None:
            self._join()
            self._advance()

    def close(self) -> None:
        """Wait for the thread; what still waits is given up, and so is an error."""
        self._waiting = self._error = None
        try:
            self._join()
        except BaseException:  # interrupted: nobody else may write before the thread has ended
            self._join()
            raise

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _advance(self) -> None:
        """Take note of what has been written, and start on what waits."""
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
            error, self._error = self._error, None
            if error is not None:
                self._waiting = self._last = None
                raise error
            assert self._writing is not None
            self.windows = self._writing.window
        if self._waiting is not None:
            self._writing, self._waiting = on_host(self._waiting), None
            self._thread = threading.Thread(target=self._work, args=(self._writing,), name="diffmpm checkpoint")
            self._thread.start()

    def _work(self, state: ChainState) -> None:
        try:
            self._checkpoint.save(state)
        except BaseException as error:
            self._error = error
