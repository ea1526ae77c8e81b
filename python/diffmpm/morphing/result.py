# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Result of a morph, and its files."""

from __future__ import annotations

import base64
import html
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from .._arrays import Array, as_array
from .._placement import Placement, Similarity
from .._repr import short_repr
from ..errors import CheckpointError, ConfigError, DiffMPMWarning, OutputError
from ..export import (
    Entry,
    Manifest,
    Splats,
    decode_npz,
    encode_json,
    encode_npz,
    encode_ply,
    lock_folder,
    own_manifest,
    read_manifest,
    write_together,
)
from ..export.atomic import in_parallel
from ..export.manifest import MANIFEST, digest
from ..geometry import Mesh, MeshLike
from .asset import Side, load_asset, load_scene
from .checkpoint import FOLDER
from .checkpoint import WRITER as CHECKPOINT
from .config import MorphConfig
from .frames import Frame, Leg
from .run_file import MorphRun
from .verdict import MEANINGS, verdict

if TYPE_CHECKING:
    from ..view import RenderConfig, Viewer
    from ..view.timeline import Timeline

T = TypeVar("T")

WRITER = "result"
"""Name of results in the manifest."""
FILES = ("result.npz", "result.ply", "config.json", "metrics.json", "history.json", "frames/", "ply/")
"""Files and folders of a result in the output folder."""
OUTPUTS = {WRITER: FILES, CHECKPOINT: (FOLDER,)}
"""All outputs of a morph, by writer."""
_ARRAYS = ("x", "F", "G", "source_x", "target_x")
_COLORS = ("source_color", "rest_color", "target_color")
"""Arrays of a result with colours."""
_PICTURE = 320
"""Size of the picture in notebooks [px]."""
_TRIES, _PAUSE = 20, 0.1
"""Number of attempts to read a result that is being replaced, and seconds between them."""


@short_repr
@dataclass(frozen=True)
class MorphResult:
    """Body at the end of a morph, in the units and axes of the target mesh. Arrays are float32.

    Positions are relative to `placement.origin`: zeros, unless the target is so far from the origin that float32 would
    round its positions.
    """

    _shown = ("source_name", "target_name", "x", "frames", "stopped", "config")

    x: Array
    """Positions, shape (N, 3)."""
    F: Array
    """Elastic deformation gradients, shape (N, 3, 3)."""
    G: Array
    """Motion gradients since the start, shape (N, 3, 3)."""
    source_x: Array
    """Positions of the body at the start, shape (N, 3)."""
    target_x: Array
    """Target sample of the metrics, shape (N, 3): independent of the sample that the losses use."""
    frames: tuple[Frame, ...]
    """Frames from start to end."""
    metrics: dict[str, Any]
    """Metrics (docs/method.md, section 7) at the end, and at the start under "start"."""
    history: tuple[dict[str, Any], ...]
    """One record per window: loss terms, accepted step, guards."""
    config: MorphConfig
    """Configuration."""
    stopped: str
    """"converged", "windows", "stuck", "failed", "callback" or "interrupted"."""
    seconds: float
    """Duration of the windows."""
    source_name: str
    """Name of the source."""
    target_name: str
    """Name of the target."""
    placement: Placement = field(default_factory=Placement)
    """Up axis, origin of the positions, and the map from the source's coordinates to the target's."""
    run: MorphRun | None = None
    """Arguments of the morph, as far as a file can hold them."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per phase, without overlap: "reading", "sampling", "objective", "windows", "frames" (with records),
    "checkpoints" (waiting for them), "metrics" and, not in the files, "writing"."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Version, command line, platform, date, and SHA-256 digests of the inputs."""

    source_color: Array | None = None
    """Colour of each particle in the source in linear light, shape (N, 3); None if the source has no colours."""
    rest_color: Array | None = None
    """Colour of the target where each particle comes to rest, likewise."""
    target_color: Array | None = None
    """Colours at `target_x`, likewise."""

    legs: tuple[Leg, ...] = ()
    """The morphs of a chain, in the coordinates of the last shape; empty for a single morph."""
    loop: bool = False
    """Whether the last state is the first one, up to the order of the particles."""

    @property
    def title(self) -> str:
        """Names of the shapes in their order, as in "sphere to torus"."""
        targets = [leg.summary["target"] for leg in self.legs] or [self.target_name]
        return " to ".join([self.source_name, *targets])

    def colors(self, frame: int = -1, **options: Any) -> Array:
        """Return the colours of the particles in a frame, as pictures and exports show them without light.

        Args:
            frame: Index in `frames`.
            **options: Fields of `diffmpm.view.RenderConfig`, such as `appearance="source"`.

        Returns:
            sRGB colours in [0, 1], shape (N, 3).
        """
        from ..view import RenderConfig
        from ..view.colors import ParticleColors

        shown = self.frames[frame]
        colors = ParticleColors(self, RenderConfig(**options).upright(self))(shown)
        return np.array(np.broadcast_to(colors, shown.x.shape))

    def save(self, out: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write result, frames, PLY sequence, metrics and history. Either all files are replaced or none.

        Writes `result.npz`, `result.ply`, `frames/frame_0000.npz` ..., `ply/frame_0000.ply` ..., `config.json`,
        `metrics.json` and `history.json`; they replace those of an earlier result. `diffmpm.json` lists them with their
        digests. `diffmpm.view.save_pictures` adds the pictures.

        Args:
            out: Folder, created if missing.
            force: Whether to replace files that this program did not write.

        Returns:
            The folder.

        Raises:
            OutputError: If a file cannot be written, other files are in the way, or another process is writing to the
                folder.
        """
        return write_result(self, out, force=force)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> MorphResult:
        """Read a result that `save` or `diffmpm morph` has written; waits while it is being replaced.

        Changed files are refused. Results of earlier versions, without `diffmpm.json`, are read with a warning.

        Args:
            folder: Folder of the result.

        Returns:
            The result, frames included.

        Raises:
            ConfigError: If the folder holds no result.
            CheckpointError: If a file is damaged.
        """
        path = Path(folder)
        for _ in range(_TRIES):
            manifest = _manifest(path)
            try:
                return _read_result(path, manifest)
            except (ConfigError, CheckpointError):
                if _manifest(path) == manifest:
                    raise
            time.sleep(_PAUSE)
        raise CheckpointError(
            f"result: expected the files of one morph, but those in {str(path)!r} are replaced while they are read; "
            "read them when their writer has ended"
        )

    def mesh(self, side: Side, shape: MeshLike | None = None) -> Mesh:
        """Return the source or target mesh as it was read, in the coordinates of the result.

        The mesh is not stored with a result: it is read from its path again.

        Args:
            side: "source", fitted to the target, or "target"; in a chain also the index of a shape between them.
            shape: Mesh or path if the file has moved, or the morph started from arrays; the path of the morph if None.

        Raises:
            ConfigError: If the morph has no such mesh, or it has changed since.
            MeshError: If it cannot be read.
        """
        return load_asset(self, side, shape)

    def scene(self, side: Side) -> Splats | None:
        """Return the Gaussians of the source or target in the coordinates of the result; None if it is a mesh.

        Like the meshes, they are read from their path again.

        Args:
            side: "source", fitted to the target, or "target"; in a chain also the index of a shape between them.

        Raises:
            ConfigError: If the scene has changed since.
            MeshError: If it cannot be read.
        """
        return load_scene(self, side)

    def image(self, frame: int = -1, **options: Any) -> Array:
        """Draw one frame, the last one by default.

        Args:
            frame: Index in `frames`.
            **options: Fields of `diffmpm.view.RenderConfig`, such as `size=720`.

        Returns:
            Image, uint8, shape (size, size, 3).
        """
        from ..view import RenderConfig, render_frames

        return next(render_frames(self, RenderConfig(**options), frames=[self.frames[frame]]))

    def render(
        self,
        out: str | os.PathLike[str],
        *,
        formats: Sequence[str] = ("png", "gif"),
        timeline: Timeline | None = None,
        fps: float | None = None,
        force: bool = False,
        **options: Any,
    ) -> list[Path]:
        """Write a film of the frames, as `diffmpm render` does; see `diffmpm.view.save_film`.

        Args:
            out: Folder, made if needed.
            formats: Any of "png", "gif", "webp" and "mp4".
            timeline: When the film shows which state. None: that of the shot file, or one image per frame at 15 per
                second, with holds.
            fps: Images per second; those of the timeline if None.
            force: Whether to replace files that this program did not write.
            **options: Fields of `diffmpm.view.RenderConfig`.

        Returns:
            The paths written.
        """
        from ..view import render_frames, save_film
        from ..view.timeline import FILM

        chosen = timeline or (self.run.timeline if self.run is not None else None) or FILM
        chosen = chosen if fps is None else chosen.replace(fps=fps)
        images = render_frames(self, self._image(options), timeline=chosen)
        return save_film(images, out, formats=formats, fps=chosen.fps, force=force)

    def export(
        self,
        out: str | os.PathLike[str],
        format: str = "ply",
        *,
        topology: Literal["source", "target"] | None = None,
        timeline: Timeline | None = None,
        force: bool = False,
        **options: Any,
    ) -> Path:
        """Write the frames for other programs, as `diffmpm export` does; see `diffmpm.view.export_frames`.

        Args:
            out: Folder, made if needed.
            format: Name from `diffmpm.export.FORMATS`.
            topology: "target" or "source" for the mesh of that shape; see `export_frames`.
            timeline: When the files show which state. None: that of the shot file, or one file per frame.
            force: Whether to replace files that this program did not write.
            **options: Fields of `diffmpm.view.RenderConfig`.

        Returns:
            The folder `out/FORMAT`.
        """
        from ..view import export_frames

        chosen = timeline or (self.run.timeline if self.run is not None else None)
        config = self._image(options)
        return export_frames(self, out, format, config=config, topology=topology, timeline=chosen, force=force)

    def _image(self, options: dict[str, Any]) -> RenderConfig:
        """Return the options of images of the shot file, or the defaults, with some replaced."""
        from ..view import RenderConfig

        own = None if self.run is None else self.run.image
        return (own or RenderConfig()).replace(**options)

    def show(self, **options: Any) -> Viewer:
        """Open the frames in the browser, as `diffmpm view` does. The page ends with the process or with `close`.

        Args:
            **options: Fields of `diffmpm.view.RenderConfig`.

        Returns:
            The viewer; `url` is the address of the page.

        Raises:
            MissingPackageError: If viser is not installed.
        """
        import webbrowser

        from ..view import RenderConfig, Viewer

        viewer = Viewer(config=RenderConfig(**options).upright(self), port=0, title=self.title)
        viewer.show(self.frames, result=self)
        webbrowser.open(viewer.url)
        return viewer

    def _repr_html_(self) -> str:
        """Return picture, verdict and measures for notebooks."""
        from ..view.film import encode_png

        try:
            picture = base64.b64encode(encode_png(self.image(size=_PICTURE))).decode()
        except ConfigError:  # no surface
            picture = ""
        summary = self.summary()
        rows = "".join(
            f"<tr><td>{name}</td><td>{summary[name]:.4g}</td><td>{html.escape(meaning)}</td></tr>"
            for name, meaning in MEANINGS.items()
            if summary.get(name) is not None
        )
        title = html.escape(f"{self.title}, {len(self.x)} particles")
        image = f'<img src="data:image/png;base64,{picture}">' if picture else ""
        return f"<b>{title}</b><br>{html.escape(str(verdict(summary)))}<br>{image}<table>{rows}</table>"

    def summary(self) -> dict[str, Any]:
        """Return metrics, reason of the stop, counts and timings as JSON types."""
        return {**self.metrics, **self._facts()}

    def _facts(self) -> dict[str, Any]:
        """Return the entries of the summary that are not metrics."""
        records = [row for row in self.history if "loss" in row]
        return {
            "source": self.source_name,
            "target": self.target_name,
            "placement": self.placement.to_dict(),
            "particles": int(self.x.shape[0]),
            "windows": len(self.history),
            "frames": len(self.frames),
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            "timings": self.timings,
            "provenance": self.provenance,
            "loss_start": records[0]["loss_start"] if records else None,
            "loss": records[-1]["loss"] if records else None,
            **({"legs": [_leg_facts(leg) for leg in self.legs], "loop": self.loop} if self.legs else {}),
        }


def write_result(
    result: MorphResult,
    out: str | os.PathLike[str],
    frame_files: Sequence[tuple[Path, Entry]] = (),
    *,
    drop: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Write the files of `MorphResult.save`, and remove those of the writers `drop`.

    Existing `frame_files` are linked where the file system can.
    """
    with (
        lock_folder(out) as folder,
        write_together(folder, by=WRITER, whole=FILES, drop=drop, last="metrics.json", force=force) as stage,
    ):
        colors = _file_colors(result)

        def encode(frame: Frame) -> bytes:
            return encode_ply(result.placement.world(frame.x), colors(frame))

        def write(index: int) -> None:
            frame, name = result.frames[index], f"frames/frame_{index:04d}.npz"
            if index >= len(frame_files) or not stage.link(name, *frame_files[index]):
                stage.write(name, frame.encode())
            stage.write(f"ply/frame_{index:04d}.ply", encode(frame))

        in_parallel(write, range(len(result.frames)))
        run = result.run or MorphRun(morph=result.config, complete=False)
        stage.write("result.npz", encode_npz(**_arrays(result)))
        stage.write("result.ply", encode(result.frames[-1]))
        stage.write("config.json", encode_json(run.to_dict()))
        stage.write("history.json", encode_json({"windows": list(result.history)}))
        stage.write("metrics.json", encode_json(result.summary()))
    return folder


def _arrays(result: MorphResult) -> dict[str, Array]:
    """Return the arrays of a result by name, without missing colours."""
    arrays = {name: getattr(result, name) for name in (*_ARRAYS, *_COLORS)}
    arrays |= {f"leg_color_{n}": leg.rest_color for n, leg in enumerate(result.legs, 1)}
    return {name: array for name, array in arrays.items() if array is not None}


def _leg_facts(leg: Leg) -> dict[str, Any]:
    return {"last": leg.last, "to_result": asdict(leg.to_result), "summary": leg.summary}


def _leg(facts: dict[str, Any], color: Array | None) -> Leg:
    return Leg(int(facts["last"]), color, Similarity.from_dict(facts["to_result"]), dict(facts["summary"]))


def _file_colors(result: MorphResult) -> Callable[[Frame], dict[str, Array]]:
    """Return a function from a frame to the properties of its particles in .ply files: colours, if it has any."""
    if result.source_color is None and result.rest_color is None:
        return lambda frame: {}
    from ..view import RenderConfig
    from ..view.colors import ParticleColors

    look = ParticleColors(result, RenderConfig())

    def colors(frame: Frame) -> dict[str, Array]:
        levels = np.rint(255.0 * look(frame)).astype(np.uint8)
        return dict(zip(("red", "green", "blue"), levels.T, strict=True))

    return colors


def refuse_result(out: Path) -> None:
    """Raise an OutputError if a folder holds a result."""
    if own_manifest(out).names(WRITER):
        raise OutputError(
            f"out: expected a folder without a result, found that of a finished morph in {str(out)!r}; name another "
            "folder (--out), or replace it with resume=False (--overwrite)"
        )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except OSError as error:
        raise _damaged(folder / MANIFEST, error) from error


def _unlisted(folder: Path) -> Manifest:
    """Return a manifest for the result of an earlier version, which wrote none."""
    paths = [*(folder / "frames").glob("frame_*.npz")]
    paths += [folder / name for name in FILES if name.endswith((".npz", ".json"))]
    files = {}
    for path in filter(Path.is_file, paths):
        try:
            status = path.stat()
            entry = Entry(WRITER, status.st_size, status.st_mtime_ns, digest(path))
        except OSError as error:
            raise _damaged(path, error) from error
        files[path.relative_to(folder).as_posix()] = entry
    return Manifest(folder, files)


def _read_result(folder: Path, manifest: Manifest | None) -> MorphResult:
    listed = manifest or _unlisted(folder)
    if not listed.intact:
        raise _damaged(folder / MANIFEST, ValueError("its digest does not match its content"))
    names = listed.names(WRITER)

    def load(name: str, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(listed.read(name))
        except MemoryError:
            raise
        except Exception as error:  # NumPy and zipfile raise exceptions of many types
            raise _damaged(folder / name, error) from error

    def table(name: str) -> dict[str, Any]:
        return load(name, lambda content: dict(json.loads(content.decode("utf-8"))))

    frame_names = sorted(name for name in names if name.startswith("frames/"))
    for name in ("result.npz", "metrics.json", "history.json", "frames"):
        if not (frame_names if name == "frames" else name in names):
            raise ConfigError(
                f"result: expected a folder written by 'diffmpm morph', got {str(folder)!r} without {name}; "
                "name the output folder of a morph that has ended"
            )
    if manifest is None:
        warnings.warn(
            f"result: {str(folder)!r} is read without digests, as it has no {MANIFEST}: an earlier version wrote it",
            DiffMPMWarning,
            stacklevel=4,
        )
    copies = [name for name in names if name.endswith(".ply") and (folder / name).exists()]  # may have been removed
    in_parallel(lambda name: load(name, len), copies)
    frames = tuple(in_parallel(lambda name: load(name, Frame.decode), frame_names))
    arrays, summary, history = load("result.npz", decode_npz), table("metrics.json"), table("history.json")
    config = table("config.json") if "config.json" in names else {}
    try:
        # Earlier versions stored the options in the history.
        run = MorphRun.from_dict(config or {"morph": history["config"], "complete": False})
        n = len(arrays["x"])
        m = len(arrays["target_x"])
        shapes = {"x": (n, 3), "F": (n, 3, 3), "G": (n, 3, 3), "source_x": (n, 3), "target_x": (m, 3)}
        legs = summary.get("legs", [])
        colors = {"source_color": (n, 3), "rest_color": (n, 3), "target_color": (m, 3)}
        leg_colors = [arrays.get(f"leg_color_{k}") for k in range(1, len(legs) + 1)]
        shapes |= {name: shape for name, shape in colors.items() if name in arrays}
        result = MorphResult(
            **{name: as_array(arrays[name], name, shape) for name, shape in shapes.items()},
            frames=frames,
            metrics=summary,
            history=tuple(history["windows"]),
            config=run.morph,
            stopped=str(summary["stopped"]),
            seconds=float(summary["seconds"]),
            source_name=str(summary["source"]),
            target_name=str(summary["target"]),
            placement=Placement.from_dict(summary["placement"]) if "placement" in summary else Placement(),
            run=run,
            timings=dict(summary.get("timings", {})),
            provenance=dict(summary.get("provenance", {})),
            legs=tuple(
                _leg(facts, None if color is None else as_array(color, "leg_color", (n, 3)))
                for facts, color in zip(legs, leg_colors, strict=True)
            ),
            loop=bool(summary.get("loop", False)),
        )
        for name in result._facts():
            summary.pop(name, None)
        return result
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"result: expected the complete files of a morph, but {str(path)!r} is damaged ({error!r}); run the morph again"
    )
