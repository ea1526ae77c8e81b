# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Progress of a morph: a bar in terminals and notebooks, and log records."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Progress

LOGGER = logging.getLogger("diffmpm")
"""Logger of the package."""
LOGGER.addHandler(logging.NullHandler())
RECORDS = 10
"""Records of level INFO per morph; other windows are records of level DEBUG."""


class ProgressBar:
    """Bar with window, loss and remaining time, a context manager; invisible if standard error is no terminal.

    Each window is also a record of the logger "diffmpm": at level INFO one per ten percent, at level DEBUG the others.
    """

    def __init__(self, *, visible: bool) -> None:
        self._visible = visible
        self._bar: Any = None
        self._logged = 0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, progress: Progress) -> None:
        """Show a completed window."""
        text = f"loss {progress.loss:.4g}"
        if "guidance" in progress.record:
            text += f", images {100.0 * progress.record['guidance'].get('fraction', 0.0):.0f} %"
        self._log(progress, text)
        if self._visible and self._bar is None:
            self._bar = _bar(total=progress.windows, initial=progress.window - 1)
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(progress.window - self._bar.n)

    def _log(self, progress: Progress, text: str) -> None:
        part = RECORDS * progress.window // progress.windows
        level = logging.INFO if part > self._logged else logging.DEBUG
        self._logged = part
        LOGGER.log(
            level,
            "window %d/%d, %s, %.0f s, at most %.0f s left",
            progress.window, progress.windows, text, progress.seconds, progress.seconds_left,
        )  # fmt: skip


def _bar(*, total: int, initial: int) -> Any:
    """Return a bar in a terminal or notebook, None elsewhere."""
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets has a bar of text
        from tqdm.auto import tqdm

    return tqdm(total=total, initial=initial, unit="window", dynamic_ncols=True)
