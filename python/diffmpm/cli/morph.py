# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Turn one solid shape into another and leave its films, files and measures."""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from ..errors import ConfigError, DiffMPMError
from .results import serve

__all__ = ["register"]

_EPILOG = """\
SOURCE and TARGET are mesh files (.obj .ply .stl .off .glb .gltf) or built-in shapes by name.

examples:
  diffmpm morph sphere torus
  diffmpm morph sphere.obj bunny.obj --particles 40000 --out bunny
  diffmpm morph sphere.obj bunny.obj --particles 40000 --out bunny --resume
  diffmpm morph sphere.obj bunny.obj --render-guided --guide-size 128
  diffmpm morph sphere torus --live
"""

_LEADING = re.compile(r"^[-.]+")
"""What a default folder does not begin with: as an option, or a hidden file."""
_LONGEST = 100
"""Bytes of a shape's name in it at most."""
BAD_INPUT = 2
INTERRUPTED = 130


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    from ..morphing import MorphConfig

    parser = subparsers.add_parser(
        "morph",
        help="turn one solid shape into another",
        description=__doc__,
        epilog=f"{_EPILOG}\nfields of --set, in canonical units (the target has the volume of a ball of radius 7)\n\n"
        + MorphConfig.option_text().replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="shape to start from")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="shape to reach")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration (.json or .toml), as config.json of an output folder; other arguments override it",
    )
    parser.add_argument("--particles", type=int, metavar="N", help="number of particles (default 20000)")
    parser.add_argument("--out", metavar="DIR", help="output folder (default SOURCE-to-TARGET)")
    parser.add_argument("--preset", metavar="NAME", help="default, fast, quality or xu")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the sampling (default 0)")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument(
        "--resume", action="store_true", default=None, help="continue the output folder's interrupted run"
    )
    earlier.add_argument(
        "--overwrite",
        "--no-resume",
        dest="resume",
        action="store_false",
        help="give up the output folder's interrupted run, or replace its result",
    )
    parser.add_argument("--force", action="store_true", help="replace other files that are in the way, too")
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="where to compute: cpu (default), cuda, cuda:N or auto",
    )
    parser.add_argument("--windows", type=int, metavar="W", help="largest number of windows")
    parser.add_argument("--no-fit", action="store_true", help="leave the source's size and place as they are")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any field of MorphConfig, as in --set steps=20 (may be repeated)",
    )
    guide = parser.add_argument_group("guidance by images of the surface")
    guide.add_argument("--render-guided", action="store_true", help="compare images of the body with the target's too")
    guide.add_argument("--guide-views", type=int, metavar="N", help="cameras on each of three circles (default 8)")
    guide.add_argument("--guide-size", type=int, metavar="PX", help="size of the images compared (default 96)")
    guide.add_argument(
        "--guide-share", type=float, metavar="S", help="largest share of the gradient's norm (default 0.5)"
    )
    parser.add_argument("--live", action="store_true", help="show the morph in the browser as it comes (extra viewer)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of --live (default 8080)")
    parser.add_argument(
        "--up",
        choices=("x", "y", "z"),
        help="axis that is up in SOURCE and TARGET (default y for .glb and .gltf, else guessed and said)",
    )
    parser.add_argument("--size", type=int, default=420, metavar="PX", help="size of one picture (default 420)")
    parser.add_argument("--no-pictures", action="store_true", help="write data only")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Run the morph; return the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return _morph(args)
    except DiffMPMError as error:
        print(f"diffmpm morph: {error}", file=sys.stderr)
        return BAD_INPUT


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as one line, without the place in the code."""
    print(f"diffmpm morph: warning: {message}", file=sys.stderr)


def _morph(args: argparse.Namespace) -> int:
    from ..morphing import run_morph

    run = _configured(args)
    assert run.source is not None and run.target is not None
    out = Path(args.out or _default_folder(run.source, run.target))
    if args.size < 8:
        raise ConfigError(f"size: expected at least 8 pixels, got {args.size}")
    if not args.no_pictures:
        _check_pictures(out, args)
    with ExitStack() as stack:
        viewer = stack.enter_context(_viewer(args, out)) if args.live else None
        bar = stack.enter_context(_Bar(quiet=args.quiet))

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
            _draw(result, out, args)
            timings["pictures"] = time.perf_counter() - began
        if not args.quiet:
            _report(result, out, timings, run.target)
        if interrupted:
            print("diffmpm morph: interrupted; add --resume to continue", file=sys.stderr)
        elif viewer:
            viewer.show(result.frames, status=_REASONS.get(result.stopped, result.stopped).capitalize())
            serve(viewer, f"still to be seen: {viewer.url} (Ctrl-C ends)")
    return INTERRUPTED if interrupted else 0


def _check_pictures(out: Path, args: argparse.Namespace) -> None:
    """Refuse what would be in the way of the pictures before the morph runs, together with what is in that of data."""
    from ..export import lock_folder, refuse_foreign
    from ..morphing.result import OUTPUTS
    from ..view.pictures import PICTURES

    with lock_folder(out) as folder:
        refuse_foreign(folder, PICTURES if args.resume else {**OUTPUTS, **PICTURES}, force=args.force)


def _draw(result: Any, out: Path, args: argparse.Namespace) -> None:
    """Write the pictures, which takes a while, and say so."""
    from ..view import save_pictures

    if not args.quiet:
        print("drawing pictures ...", file=sys.stderr, flush=True)
    try:
        save_pictures(result, out, size=args.size, force=args.force)
    except KeyboardInterrupt:
        print(f"diffmpm morph: {out} has the whole result; add --resume to draw the other pictures", file=sys.stderr)
        raise


def _viewer(args: argparse.Namespace, out: Path) -> Any:
    """Return a viewer that follows the morph, and say where it is."""
    from ..view import Viewer

    viewer = Viewer(port=args.port, title=out.name)
    print(f"live: {viewer.url}", flush=True)
    return viewer


def _default_folder(source: str, target: str) -> str:
    """Return a name made of those of the shapes, or of more of their paths where these are equal."""
    names = [Path(source).stem, Path(target).stem]
    if names[0] == names[1]:
        paths = [Path(os.path.abspath(shape)).parts for shape in (source, target)]
        first = next((n for n, (a, b) in enumerate(zip(*paths, strict=False)) if a != b), -1)
        names = ["-".join(parts[first:]) for parts in paths]
        if Path(names[0]).stem != Path(names[1]).stem:
            names = [Path(name).stem for name in names]
    plain = [os.fsencode(name)[:_LONGEST].decode("utf-8", "ignore") for name in names]
    return "-to-".join(_LEADING.sub("", name) or "shape" for name in plain)


def _configured(args: argparse.Namespace) -> Any:
    """Return source, target, options and guidance: those of the configuration file, changed by the arguments."""
    from ..morphing import MorphRun, preset, read_run

    run = MorphRun() if args.config is None else read_run(args.config)
    if not run.complete:
        raise ConfigError(
            f"--config: expected the whole of a morph, got {args.config!r}, of which arrays, images or losses were "
            "passed in Python; repeat it there"
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
    options: dict[str, Any] = {}
    for item in args.set:
        name, mark, text = item.partition("=")
        if not mark:
            raise ConfigError(f"--set: expected NAME=VALUE, got {item!r}")
        options[name] = _parse(text)
    for name in ("particles", "seed", "windows", "device", "up"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    if args.no_fit:
        options["fit"] = False
    return options


def _guidance(args: argparse.Namespace) -> Any:
    """Return the guidance by images that the arguments ask for, None without."""
    from ..morphing import RenderGuidance

    flags = {"ring": "guide_views", "size": "guide_size", "share": "guide_share"}
    given = {field: getattr(args, flag) for field, flag in flags.items() if getattr(args, flag) is not None}
    if args.render_guided:
        return RenderGuidance(**given)
    if given:
        flag = flags[next(iter(given))].replace("_", "-")
        raise ConfigError(f"--{flag}: expected --render-guided with it, got it alone; add --render-guided")
    return None


def _parse(text: str) -> Any:
    """Return a value as Python or JSON writes it, other text as it is; the option says whether it fits."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


class _Bar:
    """Progress bar with window, loss and time left."""

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
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _report(result: Any, out: Path, timings: dict[str, float], target: str) -> None:
    """Print what was reached, what took how long, and where it is."""
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
    print("seconds: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in timings.items() if seconds >= 0.05))
    print(_up_line(result, target))
    print(f"written to {out}")


def _up_line(result: Any, target: str) -> str:
    """Say which axis is up, why, and whether the source was turned."""
    placement, suffix = result.placement, Path(target).suffix.lower()
    text = f"up: {placement.up}"
    if result.config.up == "auto" and suffix in (".glb", ".gltf"):
        text += f", as {suffix} files have it"
    elif result.config.up == "auto" and suffix:
        text += f", a guess: {suffix} files do not say; --up changes it"
    if placement.source_up != placement.up and result.config.fit:
        text += f"; {result.source_name} was turned, whose up is {placement.source_up}"
    return text


_REASONS = {
    "converged": "converged",
    "windows": "all windows used",
    "stuck": "no further step lowers the loss",
    "failed": "the last window could not be simulated",
    "interrupted": "interrupted",
}
