# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Draw the frames of a morph as pictures, an animated GIF or a film."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from .results import add_arguments, chosen_frames, options, out_folder, reported, with_progress

__all__ = ["register"]

_EPILOG = """\
examples:
  diffmpm render sphere-to-torus
  diffmpm render bunny --format mp4 --size 720 --turntable
  diffmpm render bunny --frames -1 --format png --view 120,30 --color clay
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "render",
        help="draw pictures and films of a morph",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, "render")
    parser.add_argument("--format", default="png,gif", metavar="LIST", help="png, gif, mp4 (default png,gif)")
    parser.add_argument("--size", type=int, metavar="PX", help="height and width of a picture (default 480)")
    parser.add_argument("--view", metavar="AZIMUTH,ELEVATION", help="direction of the camera [degrees] (default 35,18)")
    parser.add_argument(
        "--turntable",
        nargs="?",
        const=1.0,
        type=float,
        metavar="TURNS",
        help="turn around the body in the course of the film (once if no number is given)",
    )
    parser.add_argument("--fps", type=float, metavar="N", help="pictures a second of gif and mp4 (default 15)")
    parser.add_argument("--background", metavar="NAME", help="colour behind the body, a name or #rrggbb")
    parser.add_argument("--no-shadow", action="store_true", help="leave out the shadow on the floor")
    parser.set_defaults(run=reported("render", _run))


def _run(args: argparse.Namespace) -> int:
    """Draw; return the exit status."""
    from ..morphing import MorphResult
    from ..view import RenderConfig, render_frames, save_film
    from ..view.film import check_formats

    formats = check_formats([kind.strip() for kind in args.format.split(",")])
    if args.fps is not None and not {"gif", "mp4"} & set(formats):
        raise ConfigError(f"fps: expected gif or mp4 in --format, which it acts on, got {args.format}; leave it out")
    config = RenderConfig(
        shadow=not args.no_shadow,
        turns=0.0 if args.turntable is None else args.turntable,
        **_view(args.view),
        **options(args, "size", "samples", "every", "color", "background", "up"),
    )
    result = MorphResult.load(args.result)
    frames = chosen_frames(result.frames, args.frames, config.every)
    images = with_progress(render_frames(result, config, frames=frames), len(frames), quiet=args.quiet)
    out, fps = out_folder(args, "render"), 15.0 if args.fps is None else args.fps
    for path in save_film(images, out, formats=formats, fps=fps, force=args.force):
        if not args.quiet:
            print(f"written: {path}")
    return 0


def _view(text: str | None) -> dict[str, Any]:
    """Return azimuth and elevation."""
    if text is None:
        return {}
    try:
        azimuth, elevation = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"view: expected AZIMUTH,ELEVATION in degrees, got {text!r}") from None
    return {"azimuth": azimuth, "elevation": elevation}
