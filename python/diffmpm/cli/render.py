# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Render the frames of a morph as images, an animated GIF or a film."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..view.config import RenderConfig
from .results import add_arguments, add_options, add_parser, chosen_frames, options, out_folder, with_progress

__all__ = ["register"]

_EPILOG = """\
examples:
  diffmpm render sphere-to-torus
  diffmpm render bunny --format mp4 --size 720 --turntable
  diffmpm render bunny --frames -1 --format png --view 120,30 --color clay
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = add_parser(subparsers, "render", __doc__, _EPILOG)
    add_arguments(parser, "render")
    parser.add_argument("--format", default="png,gif", metavar="LIST", help="any of png, gif, mp4 (default png,gif)")
    add_options(parser, RenderConfig, size="PX")
    parser.add_argument("--view", metavar="AZIMUTH,ELEVATION", help="camera direction in degrees (default 35,18)")
    parser.add_argument(
        "--turntable",
        nargs="?",
        const=1.0,
        type=float,
        metavar="TURNS",
        help="turn the camera around the body during the film (one turn if no number follows)",
    )
    parser.add_argument("--fps", type=float, metavar="N", help="images per second of gif and mp4 (default 15)")
    parser.add_argument("--background", metavar="NAME", help="colour behind the body, a name or #rrggbb")
    parser.add_argument("--no-shadow", action="store_true", help="leave out the shadow on the floor")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..morphing import MorphResult
    from ..view import render_frames, save_film
    from ..view.film import check_formats

    formats = check_formats([name.strip() for name in args.format.split(",")])
    if args.fps is not None and not {"gif", "mp4"} & set(formats):
        raise ConfigError(f"fps: expected gif or mp4 in --format, the formats that use it, got {args.format}")
    config = RenderConfig(
        shadow=not args.no_shadow,
        turns=0.0 if args.turntable is None else args.turntable,
        **_view(args.view),
        **options(args, RenderConfig),
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
