# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""List the built-in shapes, or draw them."""

from __future__ import annotations

import argparse

from .results import add_parser, with_progress

_EPILOG = """\
examples:
  diffmpm shapes
  diffmpm shapes -o shapes.png
"""
_PARTICLES, _SIZE, _FILL, _COLUMNS = 20_000, 200, 0.74, 5


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = add_parser(subparsers, "shapes", __doc__, _EPILOG)
    parser.add_argument("-o", "--out", metavar="FILE", help="PNG file with a picture of all shapes")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..geometry import sample, shapes

    names = shapes.names()
    if args.out is None:
        print("\n".join(names))
        return 0
    from ..view import RenderConfig, comparison, contact_sheet, orbit, render_body, save_png

    images, config = [], RenderConfig(size=_SIZE)
    for name in with_progress(names, len(names), quiet=args.quiet, unit="shape"):
        x = sample(shapes.make(name), particles=_PARTICLES, method="even").x
        camera = orbit(x, azimuth=config.azimuth, elevation=config.elevation, size=_SIZE, up=config.axis, fill=_FILL)
        images.append(comparison([(name, [render_body(x, camera, config=config)])]))
    path = save_png(args.out, contact_sheet(images, columns=_COLUMNS))
    if not args.quiet:
        print(f"written: {path}")
    return 0
