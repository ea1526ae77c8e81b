# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morph one solid shape into another and write its frames, measures and images."""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..morphing import MorphConfig
from ..view.config import RenderConfig
from .results import add_camera, add_color, add_options, add_parser, image_options, options, serve

__all__ = ["register"]

_EPILOG = """\
SOURCE and TARGET are mesh files (.obj .ply .stl .off .glb .gltf) or names of built-in shapes.

examples:
  diffmpm morph sphere torus
  diffmpm morph sphere.obj bunny.obj --particles 40000 --out bunny
  diffmpm morph sphere.obj bunny.obj --particles 40000 --out bunny --resume
  diffmpm morph sphere.obj bunny.obj --render-guided --guide-size 128
  diffmpm morph sphere torus --live
"""

_LEADING = re.compile(r"^[-.]+")
"""Stripped from the names in a default folder, which must be neither an option nor hidden."""
_MOST_BYTES = 100
"""Most bytes of a shape's name in a default folder."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    epilog = f"{_EPILOG}\nfields of --set, in canonical units (the target has the volume of a ball of radius 7)\n\n"
    parser = add_parser(subparsers, "morph", __doc__, epilog + MorphConfig.option_text().replace("%", "%%"))
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="initial shape")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="target shape")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration (.json or .toml), such as config.json of an output folder; other arguments override it",
    )
    add_options(parser, MorphConfig, particles="N", seed="S", windows="W")
    parser.add_argument("--out", metavar="DIR", help="output folder (default SOURCE-to-TARGET)")
    parser.add_argument("--preset", metavar="NAME", help="set of defaults: default, fast, quality or xu")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument(
        "--resume", action="store_true", default=None, help="continue the interrupted run of the output folder"
    )
    earlier.add_argument(
        "--overwrite",
        "--no-resume",
        dest="resume",
        action="store_false",
        help="discard the interrupted run of the output folder, or replace its result",
    )
    parser.add_argument("--force", action="store_true", help="replace files that diffmpm did not write")
    parser.add_argument(
        "--device", metavar="DEVICE", help="device of the computation: cpu (default), cuda, cuda:N or auto"
    )
    parser.add_argument("--no-fit", action="store_true", help="keep the size and position of the source")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set any field of MorphConfig, as in --set steps=20 (can be repeated)",
    )
    guide = parser.add_argument_group("guidance by images of the surface")
    guide.add_argument("--render-guided", action="store_true", help="also compare images of the body and the target")
    guide.add_argument("--guide-views", type=int, metavar="N", help="cameras on each of three circles (default 8)")
    guide.add_argument("--guide-size", type=int, metavar="PX", help="height and width of these images (default 96)")
    guide.add_argument(
        "--guide-fraction",
        "--guide-share",
        type=float,
        metavar="S",
        help="largest fraction of the gradient norm (default 0.5)",
    )
    parser.add_argument("--live", action="store_true", help="show the running morph in the browser (extra viewer)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of --live (default 8080)")
    parser.add_argument(
        "--up",
        choices=("x", "y", "z"),
        help="axis that is up in SOURCE and TARGET (default: y for .glb and .gltf, otherwise guessed and reported)",
    )
    add_camera(parser, size=420)
    add_color(parser)
    parser.add_argument("--no-pictures", action="store_true", help="write data only")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..morphing import run_morph
    from . import INTERRUPTED

    run = _configured(args)
    assert run.source is not None and run.target is not None
    out = Path(args.out or _default_folder(run.source, run.target))
    look = image_options(args)
    RenderConfig(**look)  # refuses bad values before the morph
    if not args.no_pictures:
        _check_pictures(out, args)
    with ExitStack() as stack:
        viewer = stack.enter_context(_viewer(args, out)) if args.live else None
        bar = stack.enter_context(closing(_Bar(quiet=args.quiet)))

        def report(progress: Any) -> None:
            for show in filter(None, (bar, viewer)):
                show(progress)

        result = run_morph(
            run.source,
            run.target,
            run.morph,
            callback=report,
            out=out,
            resume=args.resume,
            force=args.force,
            render=run.guidance,
        )
        bar.close()
        interrupted = result.stopped == "interrupted"
        began, timings = time.perf_counter(), dict(result.timings)
        if not args.no_pictures and not interrupted:
            _draw(result, out, look, args)
            timings["pictures"] = time.perf_counter() - began
        if not args.quiet:
            _report(result, out, timings, run.target)
        if interrupted:
            print("diffmpm morph: interrupted; add --resume to continue", file=sys.stderr)
        elif viewer:
            viewer.show(result.frames, status=_REASONS.get(result.stopped, result.stopped).capitalize())
            serve(viewer, f"still shown at {viewer.url} (Ctrl-C to stop)")
    return INTERRUPTED if interrupted else 0


def _check_pictures(out: Path, args: argparse.Namespace) -> None:
    """Refuse files in the way of the data or the images before the morph runs."""
    from ..export import lock_folder, refuse_foreign
    from ..morphing.result import OUTPUTS
    from ..view import overview

    images = {overview.WRITER: overview.FILES}
    with lock_folder(out) as folder:
        refuse_foreign(folder, images if args.resume else {**OUTPUTS, **images}, force=args.force)


def _draw(result: Any, out: Path, look: dict[str, Any], args: argparse.Namespace) -> None:
    """Write the images, with a progress bar."""
    from tqdm import tqdm

    from ..view import save_pictures

    bar = tqdm(desc="drawing", unit="image", dynamic_ncols=True, disable=args.quiet)

    def report(drawn: int, total: int) -> None:
        bar.total = total
        bar.update(drawn - bar.n)

    try:
        with bar:
            save_pictures(result, out, **look, progress=report, force=args.force)
    except KeyboardInterrupt:
        print(f"diffmpm morph: the result in {out} is complete; add --resume to draw its pictures", file=sys.stderr)
        raise


def _viewer(args: argparse.Namespace, out: Path) -> Any:
    """Return a viewer that follows the morph, and print its address."""
    from ..view import Viewer

    viewer = Viewer(port=args.port, title=out.name)
    print(f"live: {viewer.url}", flush=True)
    return viewer


def _default_folder(source: str, target: str) -> str:
    """Return a folder name from the names of the shapes, or from more of their paths if the names are equal."""
    names = [Path(source).stem, Path(target).stem]
    if names[0] == names[1]:
        paths = [Path(os.path.abspath(shape)).parts for shape in (source, target)]
        first = next((n for n, (a, b) in enumerate(zip(*paths, strict=False)) if a != b), -1)
        names = ["-".join(parts[first:]) for parts in paths]
        if Path(names[0]).stem != Path(names[1]).stem:
            names = [Path(name).stem for name in names]
    plain = [os.fsencode(name)[:_MOST_BYTES].decode("utf-8", "ignore") for name in names]
    return "-to-".join(_LEADING.sub("", name) or "shape" for name in plain)


def _configured(args: argparse.Namespace) -> Any:
    """Return source, target, options and guidance of the configuration file, overridden by the arguments."""
    from ..morphing import MorphRun, preset, read_run

    run = MorphRun() if args.config is None else read_run(args.config)
    if not run.complete:
        raise ConfigError(
            f"--config: expected a complete morph, got {args.config!r} of a morph with arrays, images or losses "
            "passed in Python; repeat it in Python"
        )
    if args.preset is not None and args.config is not None:
        raise ConfigError("--preset: expected it without --config, got both; write preset into the file")
    morph = preset(args.preset or "default") if args.config is None else run.morph
    guidance = _guidance(args) or run.guidance
    shapes = {"source": args.source or run.source, "target": args.target or run.target}
    for name, shape in shapes.items():
        if shape is None:
            raise ConfigError(f"{name}: expected a mesh file or a built-in shape, got none; add {name.upper()}")
    return run.replace(**shapes, morph=morph.replace(**_overrides(args)), guidance=guidance)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `MorphConfig` that the arguments set."""
    values: dict[str, Any] = {}
    for item in args.set:
        name, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected NAME=VALUE, got {item!r}")
        values[name] = _parse(text)
    values |= options(args, MorphConfig)
    return {**values, "fit": False} if args.no_fit else values


def _guidance(args: argparse.Namespace) -> Any:
    """Return the guidance by images that the arguments set, None without."""
    from ..morphing import RenderGuidance

    flags = {"ring": "guide_views", "size": "guide_size", "fraction": "guide_fraction"}
    values = {field: getattr(args, flag) for field, flag in flags.items() if getattr(args, flag) is not None}
    if args.render_guided:
        return RenderGuidance(**values)
    if values:
        flag = flags[next(iter(values))].replace("_", "-")
        raise ConfigError(f"--{flag}: expected --render-guided with it, got it alone; add --render-guided")
    return None


def _parse(text: str) -> Any:
    """Return the value of a Python or JSON literal, any other text as it is."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


class _Bar:
    """Progress bar with window, loss and remaining time."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __call__(self, progress: Any) -> bool:
        if self._quiet:
            return True
        if self._bar is None:
            from tqdm import tqdm

            first = progress.window - 1
            self._bar = tqdm(total=progress.windows, initial=first, unit="window", dynamic_ncols=True)
        text = f"loss {progress.loss:.4g}"
        if "guidance" in progress.record:
            text += f", images {100.0 * progress.record['guidance'].get('share', 0.0):.0f} %"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(progress.window - self._bar.n)
        return True

    def close(self) -> None:
        """Leave the bar on its line and start a new one."""
        if self._bar is not None:
            self._bar.close()


def _report(result: Any, out: Path, timings: dict[str, float], target: str) -> None:
    """Print measures, timings and the output folder."""
    measures = result.metrics
    start = measures["start"]
    print(
        f"{result.source_name} to {result.target_name}: {len(result.x)} particles, {len(result.history)} windows, "
        f"{result.seconds:.0f} s, {_REASONS.get(result.stopped, result.stopped)}"
    )
    print(
        f"silhouette IoU {start['silhouette_iou']:.3f} -> {measures['silhouette_iou']:.3f}, "
        f"chamfer {start['chamfer']:.3g} -> {measures['chamfer']:.3g}, "
        f"stray {100 * measures['stray']:.2f} %, min det F {measures['det_F_min']:.3f}"
    )
    print(verdict(measures))
    print("seconds: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in timings.items() if seconds >= 0.05))
    print(_up_line(result, target))
    print(f"written to {out}")


def verdict(measures: dict[str, Any]) -> str:
    """Return how the body compares with a second sample of the target, and what to do if it differs."""
    body, sample = measures["silhouette_iou"], measures["ceiling"]["silhouette_iou"]
    text = f"a second sample of the target has silhouette IoU {sample:.3f}: "
    if measures["stray"] > _STRAY:
        return (
            text + f"look again, {100 * measures['stray']:.1f} % of the particles stray; --preset quality takes longer"
        )
    for most, words in _VERDICTS:
        if sample - body <= most:
            return text + words
    return text + "look again, parts are missing; use more particles or --preset quality"


def _up_line(result: Any, target: str) -> str:
    """Return which axis is up, why, and whether the source was rotated."""
    placement, suffix = result.placement, Path(target).suffix.lower()
    text = f"up: {placement.up}"
    if result.config.up == "auto" and suffix in (".glb", ".gltf"):
        text += f", as in all {suffix} files"
    elif result.config.up == "auto" and suffix:
        text += f" (a guess, because {suffix} files do not store it; --up changes it)"
    if placement.source_up != placement.up and result.config.fit:
        text += f"; {result.source_name} was rotated from {placement.source_up} up"
    return text


_STRAY = 0.01
"""Fraction of stray particles above which a result needs another look."""

_VERDICTS = ((0.005, "good"), (0.015, "fair, thin parts may be incomplete; --preset quality takes longer"))
"""Largest deficits of the silhouette IoU, and what they mean."""

_REASONS = {
    "converged": "converged",
    "windows": "all windows used",
    "stuck": "no further step lowers the loss",
    "failed": "the last window could not be simulated",
    "interrupted": "interrupted",
}
