# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Render the frames of a morph as images, an animated GIF or WebP, or a film."""

from __future__ import annotations

import argparse

from ..view.config import RenderConfig
from ..view.timeline import FILM
from .results import (
    add_arguments,
    add_camera,
    add_parser,
    add_timeline,
    chosen_frames,
    chosen_timeline,
    image_options,
    out_folder,
    with_progress,
)

_EPILOG = """\
examples:
  diffmpm render sphere-to-torus
  diffmpm render bunny --format mp4 --size 1280x720 --turntable
  diffmpm render bunny --duration 6 --hold 1 --ease 1 --start-sweep z
  diffmpm render bunny --frames -1 --format png --view 120,30 --color clay
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = add_parser(subparsers, "render", __doc__, _EPILOG)
    add_arguments(parser, "render")
    parser.add_argument(
        "--format", default="png,gif", metavar="LIST", help="any of png, gif, webp, mp4 (default png,gif)"
    )
    add_camera(parser, size=480)
    add_timeline(parser, FILM)
    parser.add_argument("--no-shadow", action="store_true", help="leave out the shadow on the floor")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..morphing import MorphResult
    from ..view import render_frames, save_film
    from ..view.film import check_formats

    formats = check_formats([name.strip() for name in args.format.split(",")])
    values = {**image_options(args), **({"shadow": False} if args.no_shadow else {})}
    RenderConfig(**values)  # refuses bad values before the result is read
    result = MorphResult.load(args.result)
    config = result.image_config(**values)
    frames = chosen_frames(result.frames, args.frames, config.every)
    timeline = chosen_timeline(args, result, FILM) or FILM
    count = len(timeline.poses(result, frames))
    images = render_frames(result, config, frames=frames, timeline=timeline)
    images = with_progress(images, count, quiet=args.quiet, unit="image")
    for path in save_film(images, out_folder(args, "render"), formats=formats, fps=timeline.fps, force=args.force):
        if not args.quiet:
            print(f"written: {path}")
    return 0
