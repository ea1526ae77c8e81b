# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morph one solid shape into another and write its frames, measures and images."""

from __future__ import annotations

import argparse
import ast
import logging
import os
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..geometry import shapes
from ..morphing import MorphConfig
from ..morphing.verdict import Verdict, verdict
from ..view.camera import check_path
from ..view.config import RenderConfig
from ..view.film import FORMATS as FILMS
from ..view.timeline import FILM, Timeline
from .results import (
    add_camera,
    add_color,
    add_options,
    add_parser,
    add_timeline,
    add_verbosity,
    as_count,
    image_arguments,
    image_options,
    options,
    print_measures,
    progress_report,
    serve,
)

_EPILOG = """\
Each SHAPE is a mesh file (.obj .ply .stl .off .glb .gltf), a trained scene of Gaussians (.ply .splat .spz .sog), which
is filled, or the name of a built-in shape:
{shapes}

examples:
  diffmpm morph sphere torus
  diffmpm morph heart star torus --loop
  diffmpm morph --config shot.toml
  diffmpm morph sphere.obj bunny.obj -n 40k -o bunny
  diffmpm morph sphere.obj bunny.obj -n 40k -o bunny --resume
  diffmpm morph sphere.obj bunny.obj --render-guided --guide-size 128
  diffmpm morph sphere torus --live

fields of --set, in canonical units (the target has the volume of a ball of radius 7)

{fields}"""

_LEADING = re.compile(r"^[-.]+")
"""Stripped from the names in a default folder, which must be neither an option nor hidden."""
_MOST_BYTES = 100
"""Most bytes of a shape's name in a default folder."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    names = textwrap.fill(", ".join(shapes.names()), 100, initial_indent="  ", subsequent_indent="  ")
    parser = add_parser(
        subparsers,
        "morph",
        __doc__,
        _EPILOG.format(shapes=names, fields=MorphConfig.option_text()),
    )
    parser.add_argument("shapes", metavar="SHAPE", nargs="*", help="source, then one target or several in order")
    parser.add_argument("--loop", action="store_true", help="return to the source at the end, for an endless film")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="shot file (.json or .toml), or config.json of an output folder; other arguments override it",
    )
    add_options(parser, MorphConfig(), particles="N", seed="S", windows="W", keep=None, device="DEVICE", up=None)
    parser.add_argument("-o", "--out", metavar="DIR", help="output folder (default SOURCE-to-TARGET)")
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="set of defaults: default, fast (less close to the target), quality (closer, slower) or xu (as published)",
    )
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
    add_camera(parser, size=420)
    add_color(parser)
    add_timeline(parser, FILM)
    parser.add_argument("--no-pictures", action="store_true", help="write data only")
    add_verbosity(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..export import lock_folder
    from ..morphing import run_chain
    from . import INTERRUPTED

    run = _configured(args)
    shapes = [shape for shape in (run.source, *run.via, run.target) if shape is not None]
    out = Path(args.out or _default_folder(shapes))
    look = _look(run, image_options(args))
    _check_colors(shapes, look)
    if not args.no_pictures:
        _check_pictures(out, args)
    with ExitStack() as stack:
        viewer = stack.enter_context(_viewer(args, out)) if args.live else None
        if not args.quiet and not sys.stderr.isatty():
            stack.enter_context(_logged())
        with lock_folder(out):
            with nullcontext() if args.no_pictures else _preview(out, look, args) as preview:
                watchers = [watcher for watcher in (preview, viewer) if watcher is not None]

                def watch(progress: Any) -> bool:
                    return all([watcher(progress) for watcher in watchers])

                result = run_chain(
                    shapes,
                    run.morph,
                    loop=run.loop,
                    callback=watch,
                    begin=watch,
                    out=out,
                    resume=args.resume,
                    force=args.force,
                    render=run.guidance,
                    progress=not args.quiet,
                    run=run,
                )
            interrupted = result.stopped == "interrupted"
            began, timings = time.perf_counter(), dict(result.timings)
            if not args.no_pictures and not interrupted:
                _draw(result, out, look, args)
                timings["pictures"] = time.perf_counter() - began
        if not interrupted:
            _write_outputs(result, run.outputs, out, args)
        if not args.quiet:
            _report(result, out, timings, shapes[0] if run.loop else shapes[-1], args)
        if interrupted:
            print("diffmpm morph: interrupted; add --resume to continue", file=sys.stderr)
        elif viewer:
            viewer.show(result.frames, result=result, status=_REASONS.get(result.stopped, result.stopped).capitalize())
            serve(viewer, f"still shown at {viewer.url} (Ctrl-C to stop)")
    return INTERRUPTED if interrupted else 0


def _check_colors(shapes: Sequence[str], look: dict[str, Any]) -> None:
    """Warn before the morph runs if an appearance is chosen and no shape has colours."""
    from ..geometry import load_mesh
    from ..splats import is_scene
    from ..view.colors import warn_without_colors

    if "appearance" in look and not any(is_scene(shape) or load_mesh(shape).is_colored for shape in shapes):
        warn_without_colors(RenderConfig(**look))


def _check_pictures(out: Path, args: argparse.Namespace) -> None:
    """Refuse files in the way of the data or the images before the morph runs."""
    from ..export import lock_folder, refuse_foreign
    from ..morphing.result_files import OUTPUTS
    from ..view import overview, preview

    images = {overview.WRITER: overview.FILES, preview.WRITER: (preview.FILE,)}
    with lock_folder(out) as folder:
        refuse_foreign(folder, images if args.resume else {**OUTPUTS, **images}, force=args.force)


def _preview(out: Path, look: dict[str, Any], args: argparse.Namespace) -> Any:
    """Return the picture of the running morph, which prints its path once it is written."""
    from ..view.preview import Preview

    def announce(path: Path) -> None:
        text = f"first picture: {path} (updated while the morph runs)"
        if sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.write(text)  # above a progress bar
        else:
            print(text, flush=True)

    return Preview(out, RenderConfig(**look), (lambda path: None) if args.quiet else announce, force=args.force)


def _draw(result: Any, out: Path, look: dict[str, Any], args: argparse.Namespace) -> None:
    """Write the images, with a progress bar."""
    from ..view import save_pictures

    try:
        with progress_report("drawing", "image", quiet=args.quiet) as report:
            save_pictures(result, out, **look, progress=report, force=args.force)
    except KeyboardInterrupt:
        print(f"diffmpm morph: the result in {out} is complete; add --resume to draw its pictures", file=sys.stderr)
        raise


def _write_outputs(result: Any, outputs: Sequence[str], out: Path, args: argparse.Namespace) -> None:
    """Write the films and exports of the shot file, as `diffmpm render` and `diffmpm export` do."""
    films = [name for name in outputs if name in FILMS]
    if films:
        for path in result.render(out / "render", formats=films, force=args.force):
            if not args.quiet:
                print(f"written: {path}")
    for name in outputs:
        if name not in FILMS:
            path = result.export(out / "export", name, force=args.force)
            if not args.quiet:
                print(f"written: {path}")


def _look(run: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the overview: those of the shot file that differ from the defaults, and the arguments."""
    own, plain = run.image or RenderConfig(), RenderConfig()
    fields = {name: getattr(own, name) for name in own.to_dict() if name != "camera"}
    look = {name: value for name, value in fields.items() if value != getattr(plain, name)} | values
    RenderConfig(**look)  # refuses bad values
    return look


def _viewer(args: argparse.Namespace, out: Path) -> Any:
    """Return a viewer that follows the morph, and print its address."""
    from ..view import Viewer

    viewer = Viewer(config=RenderConfig(**image_options(args)), port=args.port, title=out.name)
    print(f"live: {viewer.url}", flush=True)
    return viewer


def _default_folder(shapes: Sequence[str]) -> str:
    """Return a folder name from the names of the shapes, or from more of their paths if two names are equal."""
    names = [Path(shape).stem for shape in shapes]
    if len(shapes) == 2 and names[0] == names[1]:
        paths = [Path(os.path.abspath(shape)).parts for shape in shapes]
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
    path: dict[str, Any] = {"source": run.source, "via": run.via, "target": run.target}
    if args.shapes:
        path["source"] = args.shapes[0]
    if args.shapes[1:]:
        path |= {"via": tuple(args.shapes[1:-1]), "target": args.shapes[-1]}
    for name in ("source", "target"):
        if path[name] is None:
            raise ConfigError(
                f"{name}: expected a mesh file or a built-in shape, got none; name both shapes, as in "
                "'diffmpm morph sphere torus'"
            )
    path["loop"] = args.loop or run.loop
    shown = options(args, Timeline)
    if shown:
        if Path(str(shown.get("start_sweep", ""))).suffix:
            shown["start_sweep"] = os.path.abspath(shown["start_sweep"])
        path["timeline"] = (run.timeline or FILM).replace(**shown)
    run = run.replace(**path, morph=morph.replace(**_overrides(args)), guidance=guidance)
    if run.timeline is not None:
        run.timeline.check(len(run.shapes) - 1, loop=run.loop)
        if run.image is not None and run.timeline.duration is not None:
            check_path(run.image, run.timeline.duration)
    return run


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
    """Return the value of a Python or JSON literal or of a number such as 20k, any other text as it is."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    try:
        return as_count(text)
    except ValueError:
        return text


@contextmanager
def _logged() -> Iterator[None]:
    """Print the log records of the package on standard error: one line per ten percent of the windows."""
    from ..morphing.progress import LOGGER

    handler, level = logging.StreamHandler(sys.stderr), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def _report(result: Any, out: Path, timings: dict[str, float], target: str, args: argparse.Namespace) -> None:
    """Print measures, timings, verdict, the picture to open and the next command."""
    measures, start = result.summary(), result.metrics["start"]
    print(
        f"{result.title}: {len(result.x)} particles, {len(result.history)} windows, "
        f"{result.seconds:.0f} s, {_REASONS.get(result.stopped, result.stopped)}"
    )
    print(
        f"silhouette IoU {start['silhouette_iou']:.3f} -> {measures['silhouette_iou']:.3f}, "
        f"chamfer {start['chamfer']:.3g} -> {measures['chamfer']:.3g}, "
        f"stray {100 * measures['stray']:.2f} %, min det F {measures['det_F_min']:.3f}"
    )
    if args.verbose:
        print_measures(measures)
    print("seconds: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in timings.items() if seconds >= 0.05))
    print(_up_line(result, target))
    print(f"written to {out}")
    outcome = verdict(measures)
    print(outcome)
    if result.stopped == "interrupted":
        return
    if not args.no_pictures:
        print(f"open: {out / _PICTURE}")
    print(f"next: {_next_command(outcome, out, image_arguments(args))}")


def _next_command(outcome: Verdict, out: Path, look: list[str]) -> str:
    """Return the command that may mend the findings, or one that makes a film; `look` are arguments of images."""
    remedies = list(dict.fromkeys(finding.remedy for finding in outcome.findings if finding.remedy))
    remedies = [text for text in remedies if not any(text != other and text in other for other in remedies)]
    if not remedies:
        return " ".join(["diffmpm render", shlex.quote(str(out)), *look, "--turntable"])
    config, again = shlex.quote(str(out / "config.json")), shlex.quote(f"{out}-2")
    return " ".join(["diffmpm morph --config", config, *remedies, *look, "-o", again])


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


_PICTURE = "comparison.png"
"""Picture that shows best how a morph went."""

_REASONS = {
    "converged": "converged",
    "windows": "all windows used",
    "stuck": "no further step lowers the loss",
    "failed": "the last window could not be simulated",
    "interrupted": "interrupted",
}
