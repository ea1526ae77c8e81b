# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Render the frames of a morph as images, an animated GIF or WebP, or a film."""

from __future__ import annotations

import argparse

from ..errors import ConfigError
from ..view.config import RenderConfig
from .results import add_arguments, add_camera, add_parser, chosen_frames, image_options, out_folder, with_progress

__all__ = ["register"]

_EPILOG = """\
examples:
  diffmpm render sphere-to-torus
  diffmpm render bunny --format mp4 --size 1280x720 --turntable
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
    parser.add_argument("--fps", type=float, metavar="N", help="images per second of films (default 15)")
    parser.add_argument("--no-shadow", action="store_true", help="leave out the shadow on the floor")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..morphing import MorphResult
    from ..view import render_frames, save_film
    from ..view.film import check_formats

    formats = check_formats([name.strip() for name in args.format.split(",")])
    if args.fps is not None and formats == ("png",):
        raise ConfigError(f"fps: expected gif, webp or mp4 in --format, the formats that use it, got {args.format}")
    config = RenderConfig(shadow=not args.no_shadow, **image_options(args))
    result = MorphResult.load(args.result)
    frames = chosen_frames(result.frames, args.frames, config.every)
    images = with_progress(render_frames(result, config, frames=frames), len(frames), quiet=args.quiet)
    out, fps = out_folder(args, "render"), 15.0 if args.fps is None else args.fps
    for path in save_film(images, out, formats=formats, fps=fps, force=args.force):
        if not args.quiet:
            print(f"written: {path}")
    return 0
