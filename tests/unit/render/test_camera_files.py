# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Camera files of NeRF, Blender and COLMAP are read as they were written."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.render import read_colmap, read_transforms

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
VIEWS = [dm.Camera.look_at(eye, (0.1, 0, 0), width=40, height=30) for eye in ((3, 1, 1), (-2, 2, 0.5), (0, -3, 2))]


def write_transforms(path: Path, frame_keys: dict[str, Any] | None = None, **keys: Any) -> Path:
    frames = [
        {
            "file_path": f"train/r_{n}",
            "transform_matrix": (np.linalg.inv(view.viewmat) @ OPENGL).tolist(),
            **(frame_keys or {}),
        }
        for n, view in enumerate(VIEWS)
    ]
    file = path / "transforms.json"
    file.write_text(json.dumps({**keys, "frames": frames}), encoding="utf-8")
    return file


def quaternion(R: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(
        np.array(
            [
                [np.trace(R), R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]],
                [0, 2 * R[0, 0] - np.trace(R), R[0, 1] + R[1, 0], R[0, 2] + R[2, 0]],
                [0, 0, 2 * R[1, 1] - np.trace(R), R[1, 2] + R[2, 1]],
                [0, 0, 0, 2 * R[2, 2] - np.trace(R)],
            ]
        ),
        UPLO="U",
    )
    return vectors[:, np.argmax(values)]


def write_colmap(path: Path, binary: bool, model: int = 1, extra: tuple[float, ...] = ()) -> None:
    """Two intrinsics, three images whose names are not sorted, the second with points."""
    names = {0: "SIMPLE_PINHOLE", 1: "PINHOLE", 2: "SIMPLE_RADIAL", 4: "OPENCV", 5: "OPENCV_FISHEYE"}
    parameters = ((50.0, 20.0, 15.0) if model in (0, 2) else (50.0, 55.0, 20.0, 15.0)) + extra
    cameras = [(7, 0, 64, 32, (33.0, 30.0, 17.0)), (2, model, 40, 30, parameters)]
    images = [(n + 1, (2, 7, 2)[n], ("b 1.png", "c.png", "a.png")[n], VIEWS[n].viewmat) for n in range(3)]
    if not binary:
        lines = [f"{i} {names[m]} {w} {h} {' '.join(map(repr, p))}" for i, m, w, h, p in cameras]
        (path / "cameras.txt").write_text("# a comment\n" + "\n".join(lines) + "\n", encoding="utf-8")
        text = "# a comment\n"
        for i, camera, name, view in images:
            pose = " ".join(repr(float(v)) for v in (*quaternion(view[:3, :3]), *view[:3, 3]))
            text += f"{i} {pose} {camera} {name}\n" + ("1.0 2.0 -1\n" if i == 2 else "\n")
        (path / "images.txt").write_text(text, encoding="utf-8")
        return
    with (path / "cameras.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(cameras)))
        for i, m, w, h, p in cameras:
            file.write(struct.pack(f"<iiQQ{len(p)}d", i, m, w, h, *p))
    with (path / "images.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(images)))
        for i, camera, name, view in images:
            file.write(struct.pack("<i7di", i, *quaternion(view[:3, :3]), *view[:3, 3], camera) + name.encode() + b"\0")
            points = [(1.0, 2.0, -1)] * (i == 2)
            file.write(struct.pack("<Q", len(points)) + b"".join(struct.pack("<ddq", *p) for p in points))


def test_blender_angle_with_a_given_size(tmp_path: Path) -> None:
    cameras = read_transforms(write_transforms(tmp_path, camera_angle_x=0.69), width=40, height=30)
    assert [c.name for c in cameras] == ["train/r_0", "train/r_1", "train/r_2"]
    for camera, view in zip(cameras, VIEWS, strict=True):
        np.testing.assert_allclose(camera.viewmat, view.viewmat, atol=1e-12)
        focal = 20 / np.tan(0.345)
        np.testing.assert_allclose(camera.K, [[focal, 0, 20], [0, focal, 15], [0, 0, 1]])


def test_size_from_the_image(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "train").mkdir()
    for n in range(3):
        Image.new("RGB", (24, 18)).save(tmp_path / "train" / f"r_{n}.png")
    cameras = read_transforms(write_transforms(tmp_path, camera_angle_x=0.69))
    assert {(c.width, c.height) for c in cameras} == {(24, 18)}


def test_intrinsics_of_file_and_frame(tmp_path: Path) -> None:
    file = write_transforms(tmp_path, {"fl_y": 90.0}, fl_x=80.0, cx=19.0, cy=16.0, w=40, h=30)
    np.testing.assert_allclose(read_transforms(file)[1].K, [[80, 0, 19], [0, 90, 16], [0, 0, 1]])
    half = read_transforms(file, width=20, height=15)[1]
    np.testing.assert_allclose(half.K, [[40, 0, 9.5], [0, 45, 8], [0, 0, 1]])
    file = write_transforms(tmp_path, camera_angle_x=0.6, camera_angle_y=0.5, w=40, h=30)
    np.testing.assert_allclose(np.diag(read_transforms(file)[0].K)[:2], [20 / np.tan(0.3), 15 / np.tan(0.25)])


@pytest.mark.parametrize("folder", ["", "sparse", "sparse/0"])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("model", "extra"), [(0, ()), (1, ()), (2, (0.0,)), (4, (0.0,) * 4)])
def test_colmap(tmp_path: Path, model: int, extra: tuple[float, ...], binary: bool, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    write_colmap(tmp_path / folder, binary, model, extra)
    cameras = read_colmap(tmp_path)
    assert [c.name for c in cameras] == ["a.png", "b 1.png", "c.png"]
    for camera, n in zip(cameras, (2, 0, 1), strict=True):
        np.testing.assert_allclose(camera.viewmat, VIEWS[n].viewmat, atol=1e-12)
    fy = 50.0 if model in (0, 2) else 55.0
    np.testing.assert_array_equal(cameras[1].K, [[50, 0, 20], [0, fy, 15], [0, 0, 1]])
    assert (cameras[1].width, cameras[1].height) == (40, 30)
    np.testing.assert_array_equal(cameras[2].K, [[33, 0, 30], [0, 33, 17], [0, 0, 1]])
    assert (cameras[2].width, cameras[2].height) == (64, 32)


def test_errors_of_transforms(tmp_path: Path) -> None:
    def check(file: Path, message: str, **size: Any) -> None:
        with pytest.raises(dm.ConfigError, match=message):
            read_transforms(file, **size)

    check(tmp_path / "none.json", r"path: expected a readable JSON file")
    bad = tmp_path / "bad.json"
    bad.write_text("{", encoding="utf-8")
    check(bad, r"path: expected a readable JSON file")
    bad.write_text("{}", encoding="utf-8")
    check(bad, r"path: expected a JSON file with a list 'frames'")
    bad.write_text('{"frames": [{"file_path": "a"}]}', encoding="utf-8")
    check(bad, r"path: expected 'transform_matrix' in every frame, got 'a' without it \(frame 0 of .*bad.json\)")
    bad.write_text('{"fl_x": 1, "frames": [{"transform_matrix": [[1]]}]}', encoding="utf-8")
    check(bad, r"path: expected 'transform_matrix' of shape \(4, 4\), got \(1, 1\)", width=4, height=4)
    check(write_transforms(tmp_path, camera_angle_x=0.7), r"width: expected the size of 'train/r_0'")
    check(write_transforms(tmp_path, w=4, h=4), r"path: expected 'fl_x' or 'camera_angle_x'")
    check(write_transforms(tmp_path, w=4, h=4, fl_x=3, k1=0.1), r"path: expected images without distortion")


def test_errors_of_colmap(tmp_path: Path) -> None:
    with pytest.raises(dm.ConfigError, match=r"path: expected a folder with cameras and images of COLMAP"):
        read_colmap(tmp_path)
    write_colmap(tmp_path, True, 2, (0.1,))
    with pytest.raises(
        dm.ConfigError, match=r"path: expected cameras without distortion, got SIMPLE_RADIAL with \[0.1\]"
    ):
        read_colmap(tmp_path)
    write_colmap(tmp_path, True, 5, (0.0,) * 4)
    with pytest.raises(dm.ConfigError, match=r"path: expected cameras without distortion, got OPENCV_FISHEYE"):
        read_colmap(tmp_path)
    whole = (tmp_path / "images.bin").read_bytes()
    for size in (4, 60, 78, len(whole) - 3):
        (tmp_path / "images.bin").write_bytes(whole[:size])
        with pytest.raises(dm.ConfigError, match=r"path: expected a complete COLMAP model|cameras without distortion"):
            read_colmap(tmp_path)
    for file in tmp_path.glob("*.bin"):
        file.unlink()
    write_colmap(tmp_path, False, 1, (1.0,))
    with pytest.raises(dm.ConfigError, match=r"path: expected a complete COLMAP model, got .* parameters instead of 4"):
        read_colmap(tmp_path)
