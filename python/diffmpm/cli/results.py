# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Shared parts of the commands, above all of those that take a RESULT."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from .._options import Configuration
from ..errors import ConfigError, OutputError
from ..morphing.verdict import MEANINGS
from ..view.config import RenderConfig
from ..view.timeline import Timeline

T = TypeVar("T")

_SHORT = {"particles": ("-n",)}
"""Short names of options."""
_FACTORS = {"k": 1_000, "K": 1_000, "M": 1_000_000}


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, description: str | None, epilog: str
) -> argparse.ArgumentParser:
    """Add the parser of a command."""
    from . import COMMANDS

    return subparsers.add_parser(
        name,
        help=COMMANDS[name],
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_options(parser: argparse._ActionsContainer, base: Configuration, **metavars: str | None) -> None:
    """Add the options of some fields of a configuration, with their types, choices, descriptions and defaults.

    The values are those of the configuration class; `base` has the defaults. A field with choices has no metavar.
    """
    properties = base.json_schema()["properties"]
    types: dict[str, Callable[[str], Any]] = {"integer": _count_argument, "number": float}
    for name, metavar in metavars.items():
        schema, default = properties[name], getattr(base, name)
        allowed = [entry for entry in schema.get("anyOf", [schema]) if entry.get("type") != "null"]
        first, dot, rest = schema["description"].rstrip(".").partition(". ")
        unit = f" [{schema['unit']}]" if "unit" in schema else ""
        text = f"{first[0].lower()}{first[1:]}{unit}{dot}{rest}".replace("None:", "Default:")
        shown = f" (default {default:g})" if isinstance(default, float) else f" (default {default})"
        parser.add_argument(
            *_SHORT.get(name, ()),
            f"--{name.replace('_', '-')}",
            type=types.get(allowed[0].get("type", ""), str) if len(allowed) == 1 else str,
            choices=allowed[0].get("enum"),
            metavar=metavar,
            help=text.replace("`", "").replace("%", "%%") + (shown if isinstance(default, str | float | int) else ""),
        )


def as_count(text: str) -> int:
    """Return an integer, which may end in k (thousand) or M (million), as in 20k or 1.5M."""
    number = re.fullmatch(r"(\d+|\d*\.\d+)([kKM])", text)
    if number is None:
        return int(text)
    value = Decimal(number[1]) * _FACTORS[number[2]]
    if value != int(value):
        raise ValueError(f"expected an integer, got {text!r}")
    return int(value)


def _count_argument(text: str) -> int:
    try:
        return as_count(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer such as 20000 or 20k, got {text!r}") from None


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add --quiet and --verbose."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    amount.add_argument("-v", "--verbose", action="store_true", help="print all measures and their meaning")


def print_measures(measures: Mapping[str, Any]) -> None:
    """Print each measure beside that of a second sample of the target, and its meaning."""
    ceiling = measures.get("ceiling", {})
    print(f"  {'':<16} {'result':>10} {'sample':>10}")
    for name, meaning in MEANINGS.items():
        if (value := measures.get(name)) is not None:
            sample = ceiling.get(name)
            print(f"  {name:<16} {value:10.4g} {'' if sample is None else f'{sample:.4g}':>10}  {meaning}")


def options(args: argparse.Namespace, config: type[Configuration]) -> dict[str, Any]:
    """Return the fields of a configuration class that the arguments set."""
    values = {field.name: getattr(args, field.name, None) for field in fields(config)}
    return {name: value for name, value in values.items() if value is not None}


def add_arguments(parser: argparse.ArgumentParser, folder: str | None) -> None:
    """Add RESULT and its options; `folder` is the subfolder that the command writes to, None if it does not write."""
    parser.add_argument("result", metavar="RESULT", help="output folder of 'diffmpm morph'")
    if folder:
        parser.add_argument("-o", "--out", metavar="DIR", help=f"output folder (default RESULT/{folder})")
        parser.add_argument("--force", action="store_true", help="replace files that diffmpm did not write")
    add_options(parser, RenderConfig(), samples="M", every="N")
    parser.add_argument(
        "--frames",
        metavar="A:B",
        help="frames A to B-1, or the single frame A; negative numbers count from the end (default all)",
    )
    add_color(parser)
    axis = "axis that is up in the files" if folder == "export" else "axis of the result that is up"
    parser.add_argument("--up", choices=("x", "y", "z"), help=f"{axis} (default: that of the target's file)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def add_color(parser: argparse.ArgumentParser) -> None:
    """Add --color, --appearance and --appearance-width."""
    add_options(parser, RenderConfig(), color="NAME", appearance=None, appearance_width="W")


def add_camera(parser: argparse.ArgumentParser, size: int) -> None:
    """Add the options of images and films other than --color."""
    add_options(parser, RenderConfig(size=size), size="PX")
    view = f"{RenderConfig.azimuth:g},{RenderConfig.elevation:g}"
    parser.add_argument("--view", metavar="AZIMUTH,ELEVATION", help=f"camera direction in degrees (default {view})")
    parser.add_argument(
        "--turntable",
        dest="turns",
        nargs="?",
        const=1.0,
        type=float,
        metavar="TURNS",
        help="turn the camera around the body during the film, slowly with 0.25 (one turn if no number follows)",
    )
    add_options(parser, RenderConfig(), background="NAME")


def image_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `RenderConfig` that the arguments set, with those of --view."""
    if args.view is None:
        return options(args, RenderConfig)
    try:
        azimuth, elevation = (float(part) for part in args.view.split(","))
    except ValueError:
        raise ConfigError(f"view: expected AZIMUTH,ELEVATION in degrees, got {args.view!r}") from None
    return {"azimuth": azimuth, "elevation": elevation, **options(args, RenderConfig)}


def image_arguments(args: argparse.Namespace) -> list[str]:
    """Return the arguments that set the look of images, for another command."""
    words = []
    for name in ("color", "appearance", "appearance_width", "size", "view", "background"):
        value = getattr(args, name)
        if value is not None:
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", shlex.quote(text)]
    return words


def add_timeline(parser: argparse.ArgumentParser, base: Timeline) -> None:
    """Add the options of the timeline of films and exports; `base` is that without options."""
    group = parser.add_argument_group("timeline of films and exports, stored with the result by 'diffmpm morph'")
    add_options(
        group, base, duration="S", fps="N", hold="S", ease="E", start_sweep="AXIS|radial|FILE", sweep_length="L"
    )


def chosen_timeline(args: argparse.Namespace, result: Any, base: Timeline | None) -> Timeline | None:
    """Return the timeline of the shot file, or `base`, with the options of `add_timeline`.

    None if there is neither, and no option but --fps, which then is that of the file.
    """
    values = options(args, Timeline)
    chosen = result.timeline or base
    if chosen is None:
        return None if set(values) <= {"fps"} else Timeline(**values)
    return chosen.replace(**values)


def chosen_frames(frames: tuple[Any, ...], text: str | None, every: int) -> list[Any]:
    """Return the frames that --frames and --every select."""
    from ..view.draw import every_frame

    if text is None:
        return every_frame(frames, every)
    first, colon, last = text.partition(":")
    try:
        if colon:
            selected = frames[int(first) if first else None : int(last) if last else None]
        else:
            selected = (frames[int(first)],)
    except ValueError:
        raise ConfigError(f"frames: expected A:B or an integer, got {text!r}") from None
    except IndexError:
        selected = ()
    if not selected:
        raise ConfigError(f"frames: expected some of the {len(frames)} frames, 0 to {len(frames) - 1}, got {text!r}")
    return every_frame(selected, every)


def out_folder(args: argparse.Namespace, name: str) -> Path:
    """Return the output folder: --out, or a folder in RESULT, which must not be a link."""
    if args.out:
        return Path(args.out)
    folder = Path(args.result) / name
    if folder.is_symlink():
        raise OutputError(f"out: expected a folder, got the link {str(folder)!r}; name the folder with --out")
    return folder


def with_progress(items: Iterable[T], total: int, *, quiet: bool, unit: str = "frame") -> Iterator[T]:
    """Yield the items with the progress of `progress_report`."""
    with progress_report("", unit, quiet=quiet) as report:
        for n, item in enumerate(items, 1):
            yield item
            report(n, total)


@contextlib.contextmanager
def progress_report(text: str, unit: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of the number of items done and of all items.

    It shows a progress bar, or one line per ten percent if standard error is no terminal.
    """
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=text or None, unit=unit, dynamic_ncols=True) as bar:

            def update(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield update
    else:
        before = 0

        def log(done: int, total: int) -> None:
            nonlocal before
            if 10 * done // total > 10 * before // total:
                print(" ".join(filter(None, (text, unit, f"{done}/{total}"))), file=sys.stderr, flush=True)
            before = done

        yield log


def serve(viewer: Any, text: str) -> None:
    """Print a text and serve until Ctrl-C, which is the regular way to stop."""
    with contextlib.suppress(KeyboardInterrupt):
        if text:
            print(text, flush=True)
        viewer.wait()
