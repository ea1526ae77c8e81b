# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Result of a morph."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._arrays import Array
from .._placement import Placement
from .._repr import short_repr
from ..errors import ConfigError
from ..export import Splats
from ..geometry import Mesh, MeshLike
from .asset import Side, load_asset, load_scene
from .config import MorphConfig
from .frames import Frame, Leg
from .run_file import MorphRun
from .verdict import MEANINGS, verdict

if TYPE_CHECKING:
    from ..view import RenderConfig, Viewer
    from ..view.timeline import Timeline

_PICTURE = 320
"""Size of the picture in notebooks [px]."""


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
        from .result_files import write_result

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
        from .result_files import read_result

        return read_result(Path(folder))

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
        out: str | os.PathLike[str] | None = None,
        *,
        formats: Sequence[str] = ("png", "gif"),
        timeline: Timeline | None = None,
        fps: float | None = None,
        force: bool = False,
        **options: Any,
    ) -> list[Path]:
        """Write a film of the frames, as `diffmpm render` does; see `diffmpm.view.save_film`.

        Args:
            out: Folder, made if needed; `SOURCE-to-TARGET/render` in the current folder if None.
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

        chosen = timeline or self.timeline or FILM
        chosen = chosen if fps is None else chosen.replace(fps=fps)
        images = render_frames(self, self.image_config(**options), timeline=chosen)
        return save_film(images, out or self._folder / "render", formats=formats, fps=chosen.fps, force=force)

    def export(
        self,
        out: str | os.PathLike[str] | None = None,
        format: str = "ply",
        *,
        topology: Literal["source", "target"] | None = None,
        timeline: Timeline | None = None,
        force: bool = False,
        **options: Any,
    ) -> Path:
        """Write the frames for other programs, as `diffmpm export` does; see `diffmpm.view.export_frames`.

        Args:
            out: Folder, made if needed; `SOURCE-to-TARGET/export` in the current folder if None.
            format: Name from `diffmpm.export.FORMATS`.
            topology: "target" or "source" for the mesh of that shape; see `export_frames`.
            timeline: When the files show which state. None: that of the shot file, or one file per frame.
            force: Whether to replace files that this program did not write.
            **options: Fields of `diffmpm.view.RenderConfig`.

        Returns:
            The folder `out/FORMAT`.
        """
        from ..view import export_frames

        config, chosen = self.image_config(**options), timeline or self.timeline
        folder = out or self._folder / "export"
        return export_frames(self, folder, format, config=config, topology=topology, timeline=chosen, force=force)

    @property
    def _folder(self) -> Path:
        """Folder in the current one, named after the shapes."""
        return Path(re.sub(r"[^\w.-]+", "-", self.title).lstrip("-.") or "morph")

    @property
    def timeline(self) -> Timeline | None:
        """Timeline of films and exports in the shot file; None without one."""
        return None if self.run is None else self.run.timeline

    def image_config(self, **options: Any) -> RenderConfig:
        """Return the options of images in the shot file, or the defaults, with some replaced.

        Args:
            **options: Fields of `diffmpm.view.RenderConfig`. A direction replaces the path of the camera.
        """
        from ..view import RenderConfig

        own = None if self.run is None else self.run.image
        path = {"camera": ()} if "azimuth" in options else {}
        return (own or RenderConfig()).replace(**{**path, **options})

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
        return {**self.metrics, **self.facts()}

    def facts(self) -> dict[str, Any]:
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
            **({"legs": [leg.facts() for leg in self.legs], "loop": self.loop} if self.legs else {}),
        }
