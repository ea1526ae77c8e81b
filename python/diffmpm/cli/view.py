# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Look at the frames of a morph in the browser."""

from __future__ import annotations

import argparse

from .results import add_arguments, chosen_frames, options, reported, serve

__all__ = ["register"]

_EPILOG = """\
examples:
  diffmpm view sphere-to-torus
  diffmpm view bunny --every 2 --samples 20000 --port 9000
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "view",
        help="look at a morph in the browser (extra viewer)",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, None)
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of the page (default 8080)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default 127.0.0.1, this machine)"
    )
    parser.set_defaults(run=reported("view", _run))


def _run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; return the exit status."""
    from ..morphing import MorphResult
    from ..view import RenderConfig, Viewer

    config = RenderConfig(**options(args, "samples", "every", "color", "up"))
    result = MorphResult.load(args.result)
    config = config.upright(result)
    frames = chosen_frames(result.frames, args.frames, config.every)
    title = f"{result.source_name} to {result.target_name}"
    with Viewer(config=config, host=args.host, port=args.port, title=title) as viewer:
        viewer.show(frames, source_x=result.source_x)
        serve(viewer, "" if args.quiet else f"{title}: {viewer.url} (Ctrl-C ends)")
    return 0
