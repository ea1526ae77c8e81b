# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What the commands that take a RESULT share."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, DiffMPMError, OutputError

BAD_INPUT = 2
T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser, folder: str | None) -> None:
    """Add RESULT and the options that these commands have; `folder` is where one writes to, None if it does not."""
    parser.add_argument("result", metavar="RESULT", help="output folder of 'diffmpm morph'")
    if folder:
        parser.add_argument("--out", metavar="DIR", help=f"output folder (default RESULT/{folder})")
        parser.add_argument("--force", action="store_true", help="replace other files that are in the way, too")
    parser.add_argument("--samples", type=int, metavar="M", help="Gaussians on the surface (default 50000)")
    parser.add_argument("--every", type=int, metavar="N", help="take each N-th frame and the last one (default 1)")
    parser.add_argument(
        "--frames", metavar="A:B", help="frames from A up to but without B, or a single one; negative from the end"
    )
    parser.add_argument("--color", metavar="NAME", help="material (default), clay, grey, ..., or #rrggbb")
    axis = "axis that is up in the files" if folder == "export" else "axis of the result that is up"
    parser.add_argument("--up", choices=("x", "y", "z"), help=f"{axis} (default as in the target's file)")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def reported(name: str, run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return a command that prints what is wrong with its input as one sentence, with status 2."""

    def command(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except DiffMPMError as error:
            print(f"diffmpm {name}: {error}", file=sys.stderr)
            return BAD_INPUT

    return command


def options(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the fields of `RenderConfig` that the arguments set."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def chosen_frames(frames: tuple[Any, ...], text: str | None, every: int) -> list[Any]:
    """Return the frames that --frames and --every take.

    Raises:
        ConfigError: If the text is no range or takes nothing.
    """
    from ..view.render import every_frame

    if text is None:
        return every_frame(frames, every)
    first, colon, last = text.partition(":")
    try:
        if colon:
            taken = frames[int(first) if first else None : int(last) if last else None]
        else:
            taken = (frames[int(first)],)
    except ValueError:
        raise ConfigError(f"frames: expected A:B or a whole number, got {text!r}") from None
    except IndexError:
        taken = ()
    if not taken:
        raise ConfigError(f"frames: expected some of the {len(frames)} frames, 0 to {len(frames) - 1}, got {text!r}")
    return every_frame(taken, every)


def out_folder(args: argparse.Namespace, name: str) -> Path:
    """Return where a command writes to: --out, or a folder in RESULT, which must not lead out of it.

    Raises:
        OutputError: If it does.
    """
    if args.out:
        return Path(args.out)
    folder = Path(args.result) / name
    if folder.is_symlink():
        raise OutputError(
            f"out: expected a folder of its own at {str(folder)!r}, found a link; name the folder with --out"
        )
    return folder


def with_progress(items: Iterable[T], total: int, *, quiet: bool) -> Iterator[T]:
    """Yield the items below a progress bar with the time left."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit="frame", dynamic_ncols=True, disable=quiet)


def serve(viewer: Any, text: str) -> None:
    """Say where a viewer is and serve until Ctrl-C, which is the end that is wanted."""
    with contextlib.suppress(KeyboardInterrupt):
        if text:
            print(text, flush=True)
        viewer.wait()
