# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Messages on the troubleshooting pages exist in the sources, and many of them are raised here."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.morphing import MorphResult
from manual import DOCS, ROOT

GAP = "..."
INTERNAL = {
    "module ... has no attribute ...",
    "...; ...",
    "...:...",
    "...: key ...: ...",
    "... (...)",
    "...: ..., got ...; ...",
    "... with ... parameters instead of ...",
    "...: needed for ... and not installed; pip install 'diffmpm[...]'",
    "unterminated name",
    "the orientation ... of ...",
    "no positions",
    "its content has changed",
    "its digest does not match its content",
    "a name that leads out of the folder",
}
"""Texts that are parts of other messages, or Python's own messages."""


def messages(name: str) -> list[str]:
    """Return the messages in the definition lists of a page."""
    text = (DOCS / name).read_text("utf-8")
    terms = re.findall(r"^(`.+)\n: ", text, re.MULTILINE)
    return [message for term in terms for message in re.findall(r"`([^`]+)`", term)]


def literal(node: ast.AST) -> str | None:
    """Return the text of a string literal with GAP for formatted values, or None for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


def texts() -> Iterator[str]:
    """Yield the string literals of all sources with GAP for formatted values; adjacent C++ literals are joined."""
    for path in (ROOT / "python").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = literal(node)
            if text is not None:
                yield text
    for folder in ("cpp", "cmake"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".cpp", ".hpp", ".cu", ".cuh", ".cmake"):
                source = re.sub(r'"\s*\n\s*"', "", path.read_text("utf-8"))
                yield from (re.sub(r"\$\{\w+\}", GAP, text) for text in re.findall(r'"((?:[^"\\]|\\.)*)"', source))


SOURCES = "\n".join(texts())


def pattern(message: str) -> re.Pattern[str]:
    """Return a pattern that matches a message of a page."""
    return re.compile(".*".join(re.escape(part.strip(" ")) for part in message.split(GAP)))


@pytest.mark.parametrize("message", sorted({*messages("troubleshooting.md"), *messages("pytorch.md")}))
def test_message_exists(message: str) -> None:
    """In the sources as written, or after a formatted name of an argument, or raised below."""
    unnamed = re.sub(r"^\w+: ", "", message)
    raised = {case.values[0] for case in RAISED}
    assert message in raised or pattern(message).search(SOURCES) or pattern(unnamed).search(SOURCES), message


def test_every_message_is_explained() -> None:
    """Errors and warnings have the form 'name: expected ..., got ...' or are on a page."""
    known = [*messages("troubleshooting.md"), *messages("pytorch.md")]
    count = 0
    for path in (ROOT / "python").rglob("*.py"):
        for text in raised_texts(ast.parse(path.read_text("utf-8"))):
            count += 1
            plain = re.match(r"(?:\S+: )?.*expected .*, (?:got|found) ", text)
            if not plain and text not in INTERNAL:
                assert any(pattern(message).search(text) for message in known), f"{path.name}: {text}"
    assert count > 250


def raised_texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of errors and warnings in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name, text = ast.unparse(node.func), literal(node.args[0])
            if text is not None and (name.endswith("Error") or name == "warnings.warn"):  # not _deprecated.warn
                yield text


def test_page_lists_many_messages() -> None:
    assert len(messages("troubleshooting.md")) > 70


BODY = dm.sample("box", particles=30)
CONFIG = dm.SimConfig(dx=0.5, dt=1e-3)


def simulate(steps: int = 1, **changes: object) -> dm.Rollout:
    options = {name: changes.pop(name) for name in ("control", "differentiable") if name in changes}
    config = dm.SimConfig(**{"dx": 0.5, "dt": 1e-3, **changes})
    return dm.Simulation(BODY, config).rollout(steps, **options)


def control(value: float, steps: int = 1) -> np.ndarray:
    return np.full((steps, BODY.count, 3, 3), value, np.float32) * np.eye(3, dtype=np.float32)


def thin() -> tuple[np.ndarray, np.ndarray]:
    mesh = dm.shapes.make("box")
    return mesh.vertices * [1.0, 1.0, 1e-4], mesh.triangles


def flat_sheet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)  # the mesh is open, too
        dm.sample((np.eye(3), [[0, 1, 2]]))


def written(name: str, content: bytes = b"nonsense") -> str:
    Path(name).write_bytes(content)
    return name


def views(alpha: float = 1.0, side: bool = True) -> dm.TargetViews:
    eyes = ((0, -4, 0), (4, 0, 0) if side else (0, -6, 0))
    cameras = [dm.Camera.look_at(eye, (0, 0, 0), width=16, height=16) for eye in eyes]
    return dm.TargetViews(cameras, np.full((2, 16, 16), alpha))


def graph(run: bool = False) -> dm.CompGraph:
    opt = dm.OptInput(num_timesteps=1, grid_dx=0.5, grid_min_point=(-4, -4, -4), grid_max_point=(4, 4, 4))
    cloud = dm.load_point_cloud_from_obj("box", opt)
    grids = [dm.Grid.from_options(opt) for _ in range(2)]
    if run:
        dm.p2g(cloud, grids[1])
    return dm.CompGraph(cloud, *grids)


def twice(x: object) -> None:
    dm.rasterize(x, covars=np.ones((1, 3, 3)), scales=np.ones((1, 3)), opacities=1.0, colors=x, cameras=CAMERA)


def without(module: str, action: Callable[[], object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module, None)
        action()


CAMERA = dm.Camera.look_at((0, -4, 0), (0, 0, 0), width=16, height=16)
X = np.zeros((1, 3))

# Messages of the page, and calls that raise them.
RAISED = [
    pytest.param(message, action, id=message[:50])
    for message, action in (
        ("mesh: expected a built-in shape or a mesh file (...), got ...", lambda: dm.load_mesh("spere")),
        ("shape: expected one of ..., got ...", lambda: dm.shapes.make("spere")),
        ("mesh: expected a file with suffix ..., got ...", lambda: dm.load_mesh("bunny.fbx")),
        ("mesh: expected an existing file, got ...", lambda: dm.load_mesh("absent.obj")),
        ("expected a complete .glb file, got one that ends early", lambda: dm.load_mesh(written("bad.glb", b"glTF"))),
        ("expected a readable ... file, got ...", lambda: dm.load_mesh(written("bad.ply"))),
        ("expected a mesh, got an empty file", lambda: dm.load_mesh(written("empty.obj", b""))),
        ("expected a mesh with faces, got ... vertices and no face", lambda: dm.load_mesh((X, np.zeros((0, 3), int)))),
        ("expected finite vertices, got ...", lambda: dm.load_mesh((X * np.nan, [[0, 0, 0]]))),
        ("expected vertex indices from 0 to ..., got ...", lambda: dm.load_mesh((X, [[0, 0, 7]]))),
        ("expected a mesh that encloses a volume, got none", flat_sheet),
        ("expected particles at spacing ..., got none inside", lambda: dm.sample(thin(), spacing=1.0)),
        ("spacing: expected at most ... cells in the bounding box, got ...", lambda: dm.sample("box", spacing=1e-5)),
        (
            "particle ... left the grid in step ...",
            lambda: simulate(20, gravity=(0, 0, -1e6), origin=(-1, -1, -1), dims=(9, 9, 9)),
        ),
        ("particle ... is not finite in step ...", lambda: simulate(control=control(1e30))),
        ("particle ... is inverted (det F <= 0) in step ...", lambda: simulate(control=control(-2.0))),
        (
            "control: expected at most ... control steps (... steps, stride ...), got ...",
            lambda: simulate(control=control(0.0, steps=2)),
        ),
        ("origin: expected both origin and dims or neither, got one of them", lambda: simulate(dims=(9, 9, 9))),
        (
            "dims: expected between 8 and ... nodes per axis, got ...",
            lambda: simulate(origin=(0, 0, 0), dims=(4, 9, 9)),
        ),
        (
            "vjp: expected a differentiable rollout, got one made with differentiable=False",
            lambda: simulate(differentiable=False).vjp(adj_x=BODY.x),
        ),
        ("wrt: G needs a rollout that carries it", lambda: simulate().vjp(adj_x=BODY.x, wrt="G")),
        ("adj_G: expected a rollout that carries G", lambda: simulate().vjp(adj_G=BODY.F)),
        ("G: expected a rollout that carries it, got one without", lambda: simulate().G),
        ("wrt: Fp needs particles with a rest state", lambda: simulate().vjp(adj_x=BODY.x, wrt="Fp")),
        (
            "target: expected the grid's shape ..., got ...",
            lambda: dm.losses.LogMass(np.ones((3, 3, 3), np.float32)).evaluate(simulate()),
        ),
        ("config: expected a grid (origin and dims), got none", lambda: dm.grid_mass(BODY.x, BODY.mass, CONFIG)),
        ("expected ..., got ...; convert it with .astype(...)", lambda: BODY.replace(v=BODY.v.astype(np.float64))),
        ("expected float32 or float64, got ...", lambda: dm.sample("box", dtype=np.float16)),
        ("expected shape ..., got ...", lambda: BODY.replace(v=BODY.v.T)),
        ("expected finite values, got ... at index ...", lambda: BODY.replace(v=BODY.v * np.nan)),
        ("resume: expected a checkpoint at ..., found none", lambda: dm.morph("box", "box", out="here", resume=True)),
        (
            "out: expected the folder of the interrupted run to resume, got None",
            lambda: dm.morph("box", "box", resume=True),
        ),
        ("out: expected a folder to write into, got ...", lambda: dm.morph("box", "box", out=written("file"))),
        (
            "result: expected a folder written by 'diffmpm morph', got ...",
            lambda: MorphResult.load("nowhere"),
        ),
        ("archive: expected a complete .npz file, got ...", lambda: dm.export.read_npz(written("bad.npz"))),
        ("preset: expected one of ..., got ...", lambda: dm.morph("box", "box", "best")),
        ("--set: expected NAME=VALUE, got ...", lambda: command("morph", "box", "box", "--set", "steps")),
        ("cameras: expected views from different directions, got parallel ones", lambda: views(side=False).hull()),
        ("alpha: expected values in [0, 1], got ...", lambda: views(alpha=255.0)),
        ("expected a last row of (0, 0, 0, 1), got ...", lambda: dm.Camera(CAMERA.viewmat.T, CAMERA.K, 16, 16)),
        (
            "expected ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) without skew, got ...",
            lambda: dm.Camera(CAMERA.viewmat, CAMERA.K + np.eye(3)[[1, 0, 2]], 16, 16),
        ),
        ("covars: expected either covars or quats and scales, got another combination", lambda: twice(X)),
        ("expected a field of OptInput, one of ...", lambda: setattr(dm.OptInput(), "grid_size", 1.0)),
        ("target_grid: expected mass on its nodes, got none", lambda: graph()),
        ("graph: expected layers, got the initial state alone", lambda: graph(run=True).compute_forward_pass()),
        (
            "promote_last_as_initial: expected an animation, got none",
            lambda: graph(run=True).promote_last_as_initial(),
        ),
        (
            "imageio-ffmpeg: needed for mp4 and not installed",
            lambda: without("imageio_ffmpeg", lambda: dm.view.save_mp4("a.mp4", [np.zeros((2, 2, 3), np.uint8)])),
        ),
        (
            "usd-core: needed for USD and not installed",
            lambda: without("pxr", lambda: dm.export.write_usd("a.usd", [])),
        ),
        (
            "alembic3d: needed for Alembic and not installed",
            lambda: without("alembic3d", lambda: dm.export.write_alembic("a.abc", [])),
        ),
        ("viser: needed for the viewer and not installed", lambda: without("viser", dm.view.Viewer)),
    )
]


class CommandError(dm.DiffMPMError):
    """The output of a failed command."""


def command(*words: str) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        assert main(list(words)) == 2
    raise CommandError(errors.getvalue())


@pytest.mark.parametrize(("message", "action"), RAISED)
def test_message_is_raised(
    message: str, action: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in messages("troubleshooting.md")
    with pytest.raises(dm.DiffMPMError) as caught:
        action()
    assert pattern(message).search(str(caught.value)), str(caught.value)


def test_warning_is_issued() -> None:
    message = next(text for text in messages("troubleshooting.md") if text.startswith("the mesh is"))
    mesh = dm.shapes.make("box")
    with pytest.warns(dm.MeshWarning) as caught:
        dm.load_mesh((mesh.vertices, mesh.triangles[1:]))
    assert pattern(message).search(str(caught[0].message))
