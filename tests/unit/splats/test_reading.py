# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Files of Gaussians: what was written is read; what is damaged is refused."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import MissingPackageError, OutputError
from diffmpm.export import Moment, export_moments, write_gaussian_ply, write_ply, write_splat
from diffmpm.export.harmonics import SH_DC
from diffmpm.splats import is_scene, load_splats
from numpy.testing import assert_allclose, assert_array_equal

from .conftest import MakeScene


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_ply_is_read_as_it_was_written(tmp_path: Path, scene: MakeScene, degree: int) -> None:
    splats = scene("sphere", 200, degree)
    path = write_gaussian_ply(tmp_path / "a.ply", splats)
    back = load_splats(path)
    assert back.sh_degree == degree and is_scene(path)
    assert_array_equal(back.means, splats.means)
    for name in ("scales", "quats", "colors", "opacities", "sh_rest"):
        if getattr(splats, name) is not None:
            assert_allclose(getattr(back, name), getattr(splats, name), rtol=2e-6, atol=2e-7, err_msg=name)


def test_coefficients_of_other_degrees_are_left_out_or_zero(tmp_path: Path, scene: MakeScene) -> None:
    splats = scene("sphere", 50, 2)
    fewer = load_splats(write_gaussian_ply(tmp_path / "a.ply", splats, sh_degree=1))
    more = load_splats(write_gaussian_ply(tmp_path / "b.ply", splats, sh_degree=3))
    assert splats.sh_rest is not None and fewer.sh_rest is not None and more.sh_rest is not None
    assert_array_equal(fewer.sh_rest, splats.sh_rest[:, :3])
    assert_array_equal(more.sh_rest[:, :8], splats.sh_rest)
    assert not more.sh_rest[:, 8:].any()


def test_up_axis_and_scale_are_options(tmp_path: Path, scene: MakeScene) -> None:
    """The scene is seen from the turned and scaled point as it was seen from the first one."""
    path = write_gaussian_ply(tmp_path / "a.ply", scene("sphere", 200, 3))
    before, after = load_splats(path), load_splats(path, up="y", scale=2.0)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # y becomes z
    assert_allclose(after.means, 2.0 * before.means @ turn.T, atol=1e-6)
    assert_allclose(after.covariances(), 4.0 * turn @ before.covariances() @ turn.T, atol=1e-6)
    assert (after.quats[:, 0] >= 0.0).all()
    eye = np.array([1.0, -5.0, 2.0])
    assert_allclose(after.colors_from(2.0 * turn @ eye), before.colors_from(eye), atol=1e-5)
    with pytest.raises(dm.ConfigError, match="up: expected x, y or z, got 'w'"):
        load_splats(path, up="w")
    with pytest.raises(dm.ConfigError, match="scale: expected a finite number > 0, got 0"):
        load_splats(path, scale=0.0)


def test_splat_is_read_within_its_precision(tmp_path: Path, scene: MakeScene) -> None:
    splats = scene("sphere", 200, 0)
    back = load_splats(write_splat(tmp_path / "a.splat", splats))
    order = [int(np.argmin(np.square(splats.means - x).sum(axis=1))) for x in back.means]
    assert_allclose(back.colors, splats.colors[order], atol=0.5 / 255)
    assert_allclose(back.opacities, splats.opacities[order], atol=0.5 / 255)
    assert_allclose(np.abs((back.quats * splats.quats[order]).sum(axis=1)), 1.0, atol=1e-4)


@pytest.mark.parametrize("version", [2, 3])
def test_spz_is_decoded(tmp_path: Path, version: int) -> None:
    """One Gaussian at (1, -2, 0.5), scales e^-2, e^-1, e^0, turned by 90 degrees about z, harmonics of degree 1."""
    head = struct.pack("<IIIBBBB", 0x5053474E, version, 1, 1, 12, 0, 0)
    position = b"".join(struct.pack("<i", round(c * 4096))[:3] for c in (1.0, -2.0, 0.5))
    half = np.sqrt(0.5)
    if version == 2:
        turn = bytes([128, 128, round((half + 1.0) * 127.5)])
    else:  # the largest component is w: index 3; x, y, z follow with 10 bits each
        word = 3 << 30 | 0 << 20 | 0 << 10 | 511
        turn = struct.pack("<I", word)
    body = position + bytes([204]) + bytes([255, 128, 0]) + bytes([128, 144, 160]) + turn + bytes(range(124, 133))
    path = tmp_path / "a.spz"
    path.write_bytes(gzip.compress(head + body))
    splats = load_splats(path)
    assert_allclose(splats.means, [[1.0, -2.0, 0.5]], atol=1e-3)
    assert_allclose(splats.scales, np.exp([[-2.0, -1.0, 0.0]]), rtol=1e-6)
    assert_allclose(splats.opacities, [0.8], rtol=1e-6)
    assert_allclose(splats.colors[0], 0.5 + SH_DC / 0.15 * (np.array([255, 128, 0]) / 255 - 0.5), rtol=1e-5)
    assert_allclose(splats.quats, [[half, 0, 0, half]], atol=1e-2)
    assert splats.sh_rest is not None
    assert_allclose(splats.sh_rest[0], (np.arange(124, 133).reshape(3, 3) - 128) / 128)
    path.write_bytes(gzip.compress(head + body[:-1]))
    with pytest.raises(dm.MeshError, match="truncated"):
        load_splats(path)
    path.write_bytes(struct.pack("<II", 0x5053474E, 4) + bytes(24))
    with pytest.raises(dm.MeshError, match=r"expected an .spz file of version 2 or 3, got version 4"):
        load_splats(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(dm.MeshError, match="damaged"):
        load_splats(path)


def program(folder: Path, text: str) -> str:
    """Return a PATH on which splat-transform is a shell script."""
    script = folder / "splat-transform"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(os.name == "nt", reason="the program of this test is a shell script")
def test_sog_files_pass_through_the_program(tmp_path: Path, scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that only copies: its last two arguments are the source and the target. It fails without a CPU."""
    copy = 'for a in "$@"; do from=$to; to=$a; done; [ "$3" = --gpu ] || exit 1; cp "$from" "$to"'
    monkeypatch.setenv("PATH", program(tmp_path, copy))
    splats = scene("sphere", 30, 2)
    moment = Moment(0.0, splats.means, None, None, splats)
    folder = export_moments([moment, moment], tmp_path / "out", "sog")
    assert sorted(p.name for p in folder.iterdir()) == ["morph_0000.sog", "morph_0001.sog"]
    assert is_scene(folder / "morph_0001.sog")
    assert_allclose(load_splats(folder / "morph_0001.sog").means, splats.means)
    monkeypatch.setenv("PATH", program(tmp_path, "echo no such format >&2; exit 1"))
    with pytest.raises(dm.MeshError, match=r"morph_0000.sog: expected an .sog file, .* failed .no such format"):
        load_splats(folder / "morph_0000.sog")
    with pytest.raises(OutputError, match=r"splat-transform failed .no such format"):
        export_moments([moment], tmp_path / "out", "sog")
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPackageError, match=r"splat-transform: needed for .sog files and not installed"):
        load_splats(folder / "morph_0000.sog")


def test_other_files_are_refused(tmp_path: Path, scene: MakeScene) -> None:
    particles = write_ply(tmp_path / "p.ply", np.zeros((2, 3)))
    assert not is_scene(particles) and not is_scene("sphere") and not is_scene(tmp_path / "none.ply")
    for path, message in (
        (particles, "expected Gaussians, got no f_dc_0"),
        (tmp_path / "none.ply", "expected a readable file"),
        (tmp_path / "a.txt", "expected a file with suffix .ply .splat .spz"),
    ):
        with pytest.raises(dm.MeshError, match=message):
            load_splats(path)
    path = write_gaussian_ply(tmp_path / "a.ply", scene("sphere", 20, 1))
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(dm.MeshError, match="truncated"):
        load_splats(path)
    path.write_bytes(content.replace(b"f_rest_8", b"f_else_8"))
    with pytest.raises(dm.MeshError, match="expected 0, 9, 24 or 45 properties f_rest"):
        load_splats(path)
    path.write_bytes(content[:-4] + struct.pack("<f", np.nan))
    with pytest.raises(dm.MeshError, match="finite numbers, got another in quats of Gaussian 19"):
        load_splats(path)
    with pytest.raises(dm.MeshError, match="opacity of at least 2, got none"):
        load_splats(write_gaussian_ply(tmp_path / "b.ply", scene("sphere", 20, 1)), min_opacity=2.0)
