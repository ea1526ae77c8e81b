# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""``diffmpm export --topology``: the meshes of the shapes themselves, moving."""

import json
import shutil

import numpy as np
import pytest
from diffmpm import load_mesh
from diffmpm.cli import main
from diffmpm.errors import ConfigError
from diffmpm.morphing import MorphResult
from numpy.testing import assert_allclose

MORPH = ["--particles", "300", "--windows", "2", "--quiet", "--no-pictures", "--set", "cell_particles=3"]


def write_shape(path, name, scale, shift):
    mesh = load_mesh(name)
    lines = ["v {:.9g} {:.9g} {:.9g}".format(*row) for row in mesh.vertices * scale + shift]
    path.write_text("\n".join([*lines, *("f {} {} {}".format(*row) for row in mesh.triangles + 1)]) + "\n")
    return path


@pytest.fixture(scope="module")
def morph(tmp_path_factory):
    """A sphere and a flat one, beside each other and of different size; z is up."""
    base = tmp_path_factory.mktemp("asset")
    source = write_shape(base / "a.obj", "sphere", 3.0, [7.0, 0.0, 0.0])
    target = write_shape(base / "b.obj", "sphere", [1.2, 1.0, 0.8], [0.0, 5.0, 0.0])
    out = base / "result"
    assert main(["morph", str(source), str(target), "--out", str(out), "--up", "z", *MORPH]) == 0
    return out, source, target


def vertices(path):
    return np.array([line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")], float)


def diagonal(points):
    return np.linalg.norm(np.ptp(points, axis=0))


def test_the_film_ends_on_the_target(morph, tmp_path, capsys):
    out, _, target = morph
    assert main(["export", str(out), "--format", "obj", "--topology", "target", "--out", str(tmp_path)]) == 0
    files = sorted(tmp_path.glob("*.obj"))
    assert len(files) == len(MorphResult.load(out).frames)
    expected = load_mesh(target).vertices
    assert np.abs(vertices(files[-1]) - expected).max() <= 1e-6 * diagonal(expected)
    assert all(len(vertices(file)) == len(expected) for file in files)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["topology"] == "target" and report["stretched"][-1] == report["folded"][-1] == 0
    printed = capsys.readouterr().out
    assert f"target mesh: {len(expected)} vertices" in printed and "triangles folded against" in printed


def test_the_film_starts_on_the_source(morph, tmp_path):
    """In coordinates of the target it is the fitted source; with --keep-transform the source file itself."""
    out, source, _ = morph
    options = ["--topology", "source", "--out", str(tmp_path), "--quiet", "--keep-transform"]
    assert main(["export", str(out), "--format", "obj", *options]) == 0
    expected = load_mesh(source).vertices
    first = vertices(tmp_path / "morph_0000.obj")
    assert np.abs(first - expected).max() <= 1e-6 * diagonal(expected)


def test_frames_are_chosen_from_the_whole_motion(morph, tmp_path):
    out, _, _ = morph
    for name, more in (("all", []), ("last", ["--frames", "-1"])):
        options = ["--topology", "target", "--out", str(tmp_path / name), "--quiet", *more]
        assert main(["export", str(out), "--format", "obj", *options]) == 0
    (only,) = (tmp_path / "last").glob("*.obj")
    assert only.read_bytes() == sorted((tmp_path / "all").glob("*.obj"))[-1].read_bytes()


def test_animated_glb_ends_on_the_target_with_y_up(morph, tmp_path):
    pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")
    out, _, target = morph
    assert main(["export", str(out), "--format", "animated-glb", "--fps", "30", "--out", str(tmp_path), "--quiet"]) == 0
    model = pygltflib.GLTF2().load(str(tmp_path / "morph.glb"))
    (primitive,) = model.meshes[0].primitives
    frames = len(MorphResult.load(out).frames)
    assert model.accessors[model.animations[0].samplers[0].input].max == [pytest.approx((frames - 1) / 30)]
    x, y, z = load_mesh(target).vertices.T

    def values(index):
        view = model.bufferViews[model.accessors[index].bufferView]
        return np.frombuffer(model.binary_blob(), "<f4", view.byteLength // 4, view.byteOffset).reshape(-1, 3)

    last = values(primitive.attributes.POSITION) + values(primitive.targets[-1]["POSITION"])
    expected = np.stack([x, z, -y], axis=1)
    assert_allclose(last, expected, atol=1e-6 * diagonal(expected))


def test_a_changed_or_moved_file_is_named(morph, tmp_path):
    out, _, target = morph
    copy = tmp_path / "copy.obj"
    shutil.copy(target, copy)
    kept = target.read_text()
    target.write_text(kept + "# changed\n")
    options = ["--format", "obj", "--topology", "target", "--out", str(tmp_path), "--quiet"]
    try:
        with pytest.raises(ConfigError, match="asset: expected the target mesh as it was when the morph started"):
            MorphResult.load(out).mesh("target")
        assert main(["export", str(out), *options]) == 2
        assert main(["export", str(out), *options, "--asset", str(copy)]) == 0
    finally:
        target.write_text(kept)


def test_options_that_do_not_fit_are_named(morph, tmp_path, capsys):
    out, _, _ = morph
    for options, message in (
        (["--format", "ply", "--topology", "target"], "topology: expected a format that uses it"),
        (["--format", "obj", "--asset", "a.obj"], "asset: expected topology with it"),
    ):
        assert main(["export", str(out), *options, "--out", str(tmp_path), "--quiet"]) == 2
        assert message in capsys.readouterr().err


def test_a_morph_of_arrays_takes_the_mesh(tmp_path):
    import diffmpm as dm

    mesh = load_mesh("sphere")
    flat = (mesh.vertices * [1.2, 1.0, 0.8], mesh.triangles)
    result = dm.morph("sphere", flat, particles=200, windows=1, cell_particles=3, progress=False)
    with pytest.raises(ConfigError, match="asset: expected the target of the morph, which started from arrays"):
        result.export(tmp_path, "animated-glb")
    assert result.mesh("source").triangles.shape == mesh.triangles.shape
    assert_allclose(result.mesh("target", flat).vertices, flat[0], atol=1e-12)
    with pytest.raises(ConfigError, match="asset: expected the target mesh as it was"):
        result.mesh("target", (flat[0] * 2.0, flat[1]))
