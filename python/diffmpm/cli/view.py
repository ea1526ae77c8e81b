# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Show the frames of a morph in the browser."""

from __future__ import annotations

import argparse

from .results import add_arguments, add_parser, chosen_frames, options, serve

_EPILOG = """\
examples:
  diffmpm view sphere-to-torus
  diffmpm view bunny --every 2 --samples 20000 --port 9000
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = add_parser(subparsers, "view", __doc__, _EPILOG)
    add_arguments(parser, None)
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of the page (default 8080)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default 127.0.0.1: this machine only)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..morphing import MorphResult
    from ..view import RenderConfig, Viewer

    values = options(args, RenderConfig)
    RenderConfig(**values)  # refuses bad values before the result is read
    result = MorphResult.load(args.result)
    config = result.image_config(**values).upright(result)
    frames = chosen_frames(result.frames, args.frames, config.every)
    with Viewer(config=config, host=args.host, port=args.port, title=result.title) as viewer:
        viewer.show(frames, result=result)
        serve(viewer, "" if args.quiet else f"{result.title}: {viewer.url} (Ctrl-C to stop)")
    return 0
