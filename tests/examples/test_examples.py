# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Run every example at a small size."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import diffmpm as dm
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTED = {
    "morph_builtin",
    "gradient_check",
    "drop_splats",
    "falling_block",
    "render_guided",
    "torch_controls",
    "torch_identify",
    "gradient_flow",
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED


def test_morph_builtin(tmp_path, capsys):
    arguments = ["--particles", "300", "--windows", "3", "--size", "32", "--out", str(tmp_path)]
    load("morph_builtin").main(["sphere", "box", *arguments])
    assert "silhouette IoU" in capsys.readouterr().out
    for name in ("result.npz", "metrics.json", "contact_sheet.png", "frames/frame_0000.npz"):
        assert (tmp_path / name).stat().st_size > 0, name


def test_gradient_check(capsys):
    worst = load("gradient_check").main(["--particles", "64", "--steps", "4"])
    assert worst < 1e-4  # measured 6e-7: rounding of the loss over a step of 1e-6
    printed = capsys.readouterr().out
    for name in ("control", "mass", "gravity", "drag"):
        assert f"{name} " in printed


def test_render_guided(tmp_path, capsys):
    sizes = ["--particles", "400", "--windows", "4", "--size", "24", "--out", str(tmp_path)]
    metrics = load("render_guided").main(["sphere", "box", *sizes])
    assert set(metrics) == {"mass alone", "with images", "silhouettes alone"}
    assert all(0.2 < m["silhouette_iou"] <= 1.0 for m in metrics.values())
    assert len(re.findall(r"images [1-9]\d* %", capsys.readouterr().out)) == 2
    assert (tmp_path / "with-images.png").stat().st_size > 0


@pytest.mark.parametrize("material", ["fixed_corotated", "neo_hookean"])
def test_falling_block(tmp_path, material):
    sizes = ["--particles", "300", "--frames", "4", "--size", "32"]
    frames = load("falling_block").main([*sizes, "--material", material, "--out", str(tmp_path)])
    assert frames.shape == (4, 300, 3)
    assert frames[1, :, 2].mean() < frames[0, :, 2].mean()
    assert frames[:, :, 2].min() > -0.48  # the floor holds within one cell; measured -0.33
    with np.load(tmp_path / "frames.npz") as archive:
        np.testing.assert_array_equal(archive["x"], frames)
    assert (tmp_path / "contact_sheet.png").stat().st_size > 0


def test_drop_splats(tmp_path):
    module = load("drop_splats")
    scene = dm.export.write_gaussian_ply(tmp_path / "scene.ply", module.torus())
    sizes = ["--particles", "400", "--cells", "32", "--frames", "3", "--size", "32"]
    images = module.main([str(scene), *sizes, "--out", str(tmp_path / "a")])
    assert images.shape == (3, 32, 32, 3) and (images < 200).any(axis=(1, 2, 3)).all()
    assert dm.load_splats(tmp_path / "a" / "last.ply").count == dm.load_splats(scene).count


def test_torch_controls():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    histories = load("torch_controls").main(["--particles", "800", "--iterations", "30"])
    own = min(histories.pop("diffmpm Adam"))
    for name, history in histories.items():
        assert history[0] == pytest.approx(next(iter(histories.values()))[0])
        # The same loss, up to 0.1 % of the initial loss.
        assert min(history) - own < 1e-3 * history[0], name


def test_torch_identify():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    errors = load("torch_identify").main(["--particles", "300"])
    for name, error in errors.items():
        assert error < 1e-2, name


def test_gradient_flow(capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    sizes = ["--particles", "400", "--samples", "500", "--size", "48", "--steps", "4", "--iterations", "40"]
    figures = load("gradient_flow").main(sizes)
    assert figures["renderer"] > 0.5 and figures["surface"] > 0.5
    assert abs(figures["sigma0"] - 0.75) < 0.1  # starts at 0.4
    assert figures["controls"] < 1e-5
    assert "4 through renderer, surface and 4 steps of physics" in capsys.readouterr().out


NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def code_cells(path):
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_executed(path):
    assert path.stat().st_size < 1_500_000
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "display_data", "stream"}  # no errors
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace = {"__name__": "notebook"}
    for cell in code_cells(path):
        code = "".join(cell["source"]).replace("5_000", "300").replace("300)\nresult", "300, windows=3)\nresult")
        exec(compile(code, path.name, "exec"), namespace)
    assert len(namespace["result"].history) == 3
    assert namespace["gradient"].shape == (300, 3)
    assert namespace["target"]._repr_png_() and namespace["body"]._repr_png_() and namespace["result"]._repr_html_()
