# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Export a morph as Gaussians, meshes or particles for other programs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..view.timeline import Timeline
from .results import (
    add_arguments,
    add_parser,
    add_timeline,
    chosen_frames,
    chosen_timeline,
    options,
    out_folder,
    with_progress,
)

_EPILOG = """\
formats:
{formats}

examples:
  diffmpm export bunny --format ply
  diffmpm export bunny --format usd --every 2
  diffmpm export bunny --format obj --frames -1 --out meshes
  diffmpm export bunny --format ply --sh-degree 3 --up z
  diffmpm export bunny --format mesh-glb --keep-transform
  diffmpm export bunny --format animated-glb
  diffmpm export bunny --format animated-abc --duration 6 --hold 1 --ease 1 --fps 30
  diffmpm export bunny --format obj --topology source
  diffmpm export bunny --format mesh-glb --islands largest
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    from ..export import FORMATS

    lines = "\n".join(f"  {name:<12} {format.text}" for name, format in FORMATS.items())
    parser = add_parser(subparsers, "export", __doc__, _EPILOG.format(formats=lines))
    add_arguments(parser, "export/FORMAT")
    parser.add_argument("--format", required=True, metavar="NAME", help="one of the formats below")
    parser.add_argument("--unlit", action="store_true", help="write material colours without lighting")
    parser.add_argument(
        "--keep-transform", action="store_true", help="write coordinates of the source's file instead of the target's"
    )
    parser.add_argument(
        "--sh-degree",
        type=int,
        choices=(0, 1, 2, 3),
        help="degree of the spherical harmonics in ply, for readers that require one; missing coefficients are zero "
        "(default: that of the Gaussians)",
    )
    parser.add_argument(
        "--topology",
        choices=("target", "source"),
        help="write the mesh of the target or source, carried through the motion (default: target in the animated "
        "formats, else a mesh around the particles of each frame)",
    )
    parser.add_argument("--asset", metavar="FILE", help="file of that mesh, if it has moved since the morph")
    add_timeline(parser, Timeline())
    parser.add_argument(
        "--islands",
        choices=("all", "largest"),
        help="parts of the surface in mesh formats: all, or the largest one without drops beside it (default all)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..export import format_of
    from ..export.formats import check_options
    from ..morphing import MorphResult
    from ..view import RenderConfig, export_frames

    format_of(args.format).check()
    names = ("samples", "sh_degree", "topology", "asset", "islands")
    limited = {"unlit": args.unlit or None, **{name: getattr(args, name) for name in names}}
    check_options(args.format, [name for name, value in limited.items() if value is not None])
    values = {**options(args, RenderConfig), "up": None}  # --up is that of the files
    RenderConfig(**values)  # refuses bad values before the result is read
    result = MorphResult.load(args.result)
    config, timeline = result.image_config(**values), chosen_timeline(args, result, None)
    frames = chosen_frames(result.frames, args.frames, config.every)
    count = len(frames) if timeline is None else len(timeline.poses(result, frames))
    folder = export_frames(
        result,
        out_folder(args, "export"),
        args.format,
        config=config,
        frames=frames,
        lit=not args.unlit,
        up=args.up,
        keep_transform=args.keep_transform,
        sh_degree=args.sh_degree,
        topology=args.topology,
        asset=args.asset,
        fps=args.fps if timeline is None else None,
        timeline=timeline,
        islands=args.islands or "all",
        wrap=lambda moments: with_progress(moments, count, quiet=args.quiet),
        subfolder=args.out is None,
        force=args.force,
    )
    if not args.quiet:
        _report(folder)
        print(f"written: {folder}")
    return 0


def _report(folder: Path) -> None:
    """Print what the report of a carried mesh counts."""
    path = folder / "report.json"
    if not path.exists():
        return
    report = json.loads(path.read_bytes())
    total = report["triangles"]
    print(f"{report['topology']} mesh: {report['vertices']} vertices, {total} triangles")
    print(f"  {report['far_vertices']} vertices without a particle within 1.5 spacings")
    for name, meaning in (
        ("stretched", "to more than 4 times their length"),
        ("collapsed", "to less than a quarter of their length"),
        ("folded", "against the surface around them"),
        ("crossing", "other parts of the mesh"),
    ):
        worst = max(report[name])
        print(f"  {worst} triangles {name} {meaning} in frame {report[name].index(worst)}, the worst")
