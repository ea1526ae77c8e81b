# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Chains of morphs, and loops."""

from __future__ import annotations

import json

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.export import write_mesh
from diffmpm.geometry.matching import assign
from diffmpm.morphing import run_chain
from diffmpm.view import RenderConfig
from diffmpm.view.colors import ParticleColors
from numpy.testing import assert_allclose, assert_array_equal

TINY = {"particles": 300, "cell_particles": 3.0, "windows": 3, "steps": 5, "frame_motion": 0.02, "arrival": 0.0}


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Write three coloured meshes with other sizes, positions and up axes; return their paths."""
    paths, folder = [], tmp_path_factory.mktemp("painted")
    for name, suffix, scale, color in (
        ("sphere", ".ply", 1.0, (0.9, 0.1, 0.1)),
        ("box", ".glb", 3.0, (0.1, 0.9, 0.1)),
        ("torus", ".ply", 0.5, (0.1, 0.1, 0.9)),
    ):
        mesh = dm.load_mesh(name).transformed(scale, (5.0 * scale, 0.0, 1.0))
        low, high = mesh.bounds[:, 2]
        shade = 0.5 + 0.5 * ((mesh.vertices[:, 2:] - low) / (high - low))
        path = folder / f"{name}{suffix}"
        paths.append(str(write_mesh(path, mesh.vertices, mesh.triangles, colors=np.array(color) * shade)))
    return paths


@pytest.fixture(scope="module")
def looped(painted, tmp_path_factory):
    """Return a loop through three shapes, and its folder."""
    folder = tmp_path_factory.mktemp("looped")
    return dm.morph_chain(painted, loop=True, out=folder, **TINY), folder


@pytest.fixture(scope="module")
def chained(painted):
    """Return a chain of three shapes."""
    return dm.morph_chain(painted, **TINY)


def rows(*arrays):
    """Return the rows of some arrays side by side in a fixed order."""
    joined = np.concatenate([np.asarray(a).reshape(len(a), -1) for a in arrays], axis=1)
    return joined[np.lexsort(joined.T)]


def test_a_loop_ends_in_its_first_state(looped, painted):
    result, _ = looped
    first, last = result.frames[0], result.frames[-1]
    assert result.loop and len(result.legs) == 3 and result.title == "sphere to box to torus to sphere"
    for name in ("auto", "material"):
        colors = ParticleColors(result, RenderConfig(color=name))
        shown = [np.round(colors(frame).astype(float), 5) for frame in (first, last)]
        assert_array_equal(rows(first.x, first.F, shown[0]), rows(last.x, last.F, shown[1]))
    assert_array_equal(result.x, last.x)
    source = dm.load_mesh(painted[0])
    assert_allclose(first.x.mean(axis=0), source.centroid, atol=0.02)
    assert_allclose(np.ptp(first.x, axis=0), 2.0, rtol=0.2)
    for side in ("source", "target"):
        assert_array_equal(result.mesh(side).vertices, source.vertices)


def test_the_mesh_of_a_loop_closes(looped, painted, tmp_path):
    files = sorted(looped[0].export(tmp_path, "obj", topology="target").glob("*.obj"))
    ends = [dm.load_mesh(files[k]).vertices for k in (0, -1)]
    for vertices in ends:
        assert_allclose(vertices, dm.load_mesh(painted[0]).vertices, atol=1e-12)


def test_each_morph_starts_where_the_one_before_ended(chained, painted):
    chain = chained
    assert [leg.summary["target"] for leg in chain.legs] == ["box", "torus"] and not chain.loop
    assert chain.legs[-1].last == len(chain.frames) - 1
    alone = dm.morph(painted[0], painted[1], **TINY)
    count = chain.legs[0].last + 1
    assert count == len(alone.frames)
    to_result = chain.legs[0].to_result
    for one, other in zip(alone.frames, chain.frames, strict=False):
        assert_allclose(to_result(one.x), other.x, atol=1e-5)
        turned = to_result.matrix @ one.F.astype(float) @ to_result.matrix.T
        assert_allclose(turned, other.F, atol=1e-6)
    times = [frame.time for frame in chain.frames]
    assert (np.diff(times) > 0).all()
    steps = [np.abs(b.x - a.x).max() for a, b in zip(chain.frames, chain.frames[1:], strict=False)]
    assert max(steps) < 0.2  # of a body with a diameter of about 1
    # The box is a .glb file with y up, and the torus, whose file has no up axis, follows it.
    assert (chain.placement.source_up, chain.placement.up) == ("y", "y")
    middle = chain.frames[chain.legs[0].last]
    assert_allclose(middle.x.mean(axis=0), dm.load_mesh(painted[2]).centroid, atol=0.05)
    mesh = chain.mesh(1)
    assert_allclose(mesh.bounds.mean(axis=0), dm.load_mesh(painted[2]).centroid, atol=0.05)
    assert_array_equal(chain.mesh("target").vertices, dm.load_mesh(painted[2]).vertices)
    with pytest.raises(dm.ConfigError, match="side: expected source, target or 1 to 1, got 2"):
        chain.mesh(2)


def test_colours_change_from_shape_to_shape(chained):
    chain = chained
    for look in ("arrival", "crossfade"):
        means = [chain.colors(frame, appearance=look).mean(axis=0).argmax() for frame in (0, chain.legs[0].last, -1)]
        assert means == [0, 1, 2]
    assert {chain.colors(k, appearance="source").mean(axis=0).argmax() for k in range(len(chain.frames))} == {0}
    assert {chain.colors(k, appearance="target").mean(axis=0).argmax() for k in range(len(chain.frames))} == {2}


def test_a_saved_chain_is_loaded_again(looped, painted):
    chain, folder = looped
    again = dm.MorphResult.load(folder)
    for one, other in zip(chain.frames, again.frames, strict=True):
        assert_array_equal(one.x, other.x)
        assert_array_equal(one.F, other.F)
    for one, other in zip(chain.legs, again.legs, strict=True):
        assert one.last == other.last and one.to_result == other.to_result
        assert_array_equal(one.rest_color, other.rest_color)
    assert again.loop and again.run.shapes == (*painted, painted[0]) and again.title == chain.title
    assert_allclose(again.colors(-1), chain.colors(-1))


def test_an_interrupted_chain_continues(tmp_path):
    whole = dm.morph_chain(["sphere", "box"], loop=True, **TINY)
    windows = []

    def stop(progress):
        windows.append((progress.source_name, progress.window))
        if windows[-1] == ("box", 2):
            raise KeyboardInterrupt

    part = run_chain(["sphere", "box"], loop=True, out=tmp_path, callback=stop, **TINY)
    assert part.stopped == "interrupted" and len(part.legs) == 2 and not part.loop
    assert dm.MorphResult.load(tmp_path).stopped == "interrupted"
    with pytest.raises(dm.CheckpointError, match="holds an interrupted chain of morphs; continue it with resume=True"):
        dm.morph_chain(["sphere", "box"], loop=True, out=tmp_path, **TINY)
    calls = []
    shapes = ["sphere", "box"]
    result = dm.morph_chain(shapes, loop=True, out=tmp_path, resume=True, callback=calls.append, **TINY)
    assert (calls[0].source_name, calls[0].window) == ("box", 3)
    for one, other in zip(whole.frames, result.frames, strict=True):
        assert_array_equal(one.x, other.x)
    with pytest.raises(dm.OutputError, match="out: expected a folder without a result"):
        dm.morph_chain(["sphere", "box"], loop=True, out=tmp_path, **TINY)
    with pytest.raises(dm.CheckpointError, match="resume: expected the source and target of the interrupted run"):
        dm.morph_chain(["sphere", "heart"], loop=True, out=tmp_path, resume=True, **TINY)


def test_a_chain_of_two_shapes_is_a_morph(tmp_path):
    alone = dm.morph("sphere", "box", **TINY)
    chain = dm.morph_chain(["sphere", "box"], out=tmp_path, **TINY)
    assert chain.legs == () and not (tmp_path / "legs").exists()
    assert_array_equal(alone.x, chain.x)
    assert "legs" not in json.loads((tmp_path / "metrics.json").read_text())
    with pytest.raises(dm.ConfigError, match="shapes: expected two or more, got 1"):
        dm.morph_chain(["sphere"])


def test_shapes_keep_their_places_without_fit():
    box = dm.load_mesh("box").transformed(1.1, (0.5, 0.0, 0.0))
    chain = dm.morph_chain(["sphere", box, "box"], fit=False, **{**TINY, "windows": 2})
    whole = dm.morph("sphere", box, fit=False, **{**TINY, "windows": 2})
    last = chain.legs[0].last
    assert_allclose(chain.frames[last].x, whole.x, atol=1e-6)
    assert np.abs(chain.frames[last + 1].x - chain.frames[last].x).max() < 0.2


def test_positions_alone_make_a_loop():
    result = dm.morph_chain(["sphere", "box"], loop=True, keep="positions", **TINY)
    assert_array_equal(rows(result.frames[0].x), rows(result.frames[-1].x))
    assert result.frames[-1].F is None and result.F.shape == (300, 3, 3)


@pytest.mark.parametrize("count", [1, 40, 1500])
def test_assignment_is_a_permutation_of_near_points(count):
    a, b = (dm.sample("torus", particles=max(8, count), seed=seed).x[:count] for seed in (0, 1))
    index = assign(a, b)
    assert_array_equal(np.sort(index), np.arange(count))
    if count == 1500:
        from scipy.optimize import linear_sum_assignment

        costs = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        best = costs[linear_sum_assignment(costs)].sum()
        assert costs[np.arange(count), index].sum() < 1.1 * best
    shuffled = np.random.default_rng(0).permutation(count)
    assert_array_equal(b[assign(b[shuffled], b)], b[shuffled])
