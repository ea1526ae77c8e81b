# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cameras from NeRF, Blender and COLMAP files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._arrays import Array
from .._files import read_file
from .._placement import rotations
from ..errors import ConfigError
from .camera import Camera, check_size

# OpenGL camera axes (x right, y up, z backward) to OpenCV's.
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])

# COLMAP models by number: name, number of parameters, number of parameters before those of the distortion.
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3, 3),
    1: ("PINHOLE", 4, 4),
    2: ("SIMPLE_RADIAL", 4, 3),
    3: ("RADIAL", 5, 3),
    4: ("OPENCV", 8, 4),
    5: ("OPENCV_FISHEYE", 8, 4),
    6: ("FULL_OPENCV", 12, 4),
    7: ("FOV", 5, 4),
    8: ("SIMPLE_RADIAL_FISHEYE", 4, 3),
    9: ("RADIAL_FISHEYE", 5, 3),
    10: ("THIN_PRISM_FISHEYE", 12, 4),
}
_BY_NAME = {name: (name, count, plain) for name, count, plain in _MODELS.values()}
_PERSPECTIVE = {"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"}


def read_transforms(
    path: str | os.PathLike[str], *, width: int | None = None, height: int | None = None
) -> list[Camera]:
    """Read the cameras of a `transforms.json` file of NeRF, Blender or instant-ngp.

    Args:
        path: The file.
        width: Columns of the images; if None, `w` in the file or that of the image of the frame.
        height: Rows of the images; if None, `h` in the file or that of the image of the frame.

    Returns:
        One camera per frame, in the order of the file, named by `file_path`.

    Raises:
        ConfigError: If the file cannot be read, a key is missing, or a value is invalid.
    """
    file = Path(path)
    for size, name in ((width, "width"), (height, "height")):
        if size is not None:
            check_size(size, name)
    try:
        data = json.loads(read_file(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"path: expected a readable JSON file, got {file}: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("frames"), list):
        raise ConfigError(f"path: expected a JSON file with a list 'frames', got {file} without one")
    cameras = []
    for number, frame in enumerate(data["frames"]):
        with _errors_name("complete cameras", f"frame {number} of {file}"):
            cameras.append(_frame(file.parent, data, frame, width, height))
    return cameras


@contextmanager
def _errors_name(expected: str, source: str) -> Iterator[None]:
    """Raise errors of the block as a ConfigError that names the file."""
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, ConfigError) else repr(error)
        if text.startswith("path: "):
            raise ConfigError(f"{text} ({source})") from None
        raise ConfigError(f"path: expected {expected}, got {source}: {text}") from error


def _frame(
    folder: Path, data: Mapping[str, Any], frame: Mapping[str, Any], width: int | None, height: int | None
) -> Camera:
    values = {**data, **frame}
    name = str(values.get("file_path", ""))
    if "transform_matrix" not in values:
        raise ConfigError(f"path: expected 'transform_matrix' in every frame, got {name!r} without it")
    w, h = width or values.get("w"), height or values.get("h")
    if w is None or h is None:
        w, h = _image_size(folder / name, name)
    if any(float(values.get(key, 0.0)) != 0.0 for key in ("k1", "k2", "k3", "k4", "p1", "p2")):
        raise ConfigError(f"path: expected images without distortion, got {name!r} with it; undistort the images")
    w, h = int(w), int(h)
    # Intrinsics are in pixels of the size in the file; another size scales them.
    scale_x, scale_y = w / float(values.get("w", w)), h / float(values.get("h", h))
    fx, fy = _focal(values, "x", w, scale_x), _focal(values, "y", h, scale_y)
    if fx is None:
        raise ConfigError("path: expected 'fl_x' or 'camera_angle_x', got neither")
    if fy is None:
        fy = fx * scale_y / scale_x
    pose = np.eye(4)
    matrix = np.asarray(values["transform_matrix"], np.float64)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise ConfigError(f"path: expected 'transform_matrix' of shape (4, 4), got {matrix.shape}")
    pose[: matrix.shape[0]] = matrix
    cx = float(values["cx"]) * scale_x if "cx" in values else None
    cy = float(values["cy"]) * scale_y if "cy" in values else None
    return Camera.from_intrinsics(np.linalg.inv(pose @ _OPENGL), w, h, fx=fx, fy=fy, cx=cx, cy=cy, name=name)


def _focal(values: Mapping[str, Any], axis: str, size: int, scale: float) -> float | None:
    if f"fl_{axis}" in values:
        return float(values[f"fl_{axis}"]) * scale
    angle = values.get(f"camera_angle_{axis}")
    return None if angle is None else float(0.5 * size / np.tan(0.5 * float(angle)))


def _image_size(image: Path, name: str) -> tuple[int, int]:
    from PIL import Image

    for candidate in (image, image.with_name(image.name + ".png"), image.with_name(image.name + ".jpg")):
        if candidate.is_file():
            with Image.open(candidate) as picture:
                return picture.width, picture.height
    raise ConfigError(
        f"width: expected the size of {name!r} in the file or its image, got neither; pass width and height"
    )


def read_colmap(path: str | os.PathLike[str]) -> list[Camera]:
    """Read the cameras of a COLMAP model: `cameras` and `images`, `.bin` or `.txt`.

    Args:
        path: Folder with the two files, or a project folder that has them in `sparse/0` or `sparse`.

    Returns:
        One camera per image, sorted by image name.

    Raises:
        ConfigError: If the files are missing or damaged, or a camera has distortion.
    """
    root = Path(path)
    for folder in (root, root / "sparse" / "0", root / "sparse"):
        for suffix, cameras_of, images_of in (
            (".bin", _binary_cameras, _binary_images),
            (".txt", _text_cameras, _text_images),
        ):
            files = folder / f"cameras{suffix}", folder / f"images{suffix}"
            if not all(file.is_file() for file in files):
                continue
            with _errors_name("a complete COLMAP model", str(folder)):
                cameras, images = cameras_of(files[0]), images_of(files[1])
                result = [_colmap_camera(cameras[image[1]], image) for image in images]
            return sorted(result, key=lambda camera: camera.name)
    raise ConfigError(f"path: expected a folder with cameras and images of COLMAP (.bin or .txt), got {root}")


_Intrinsics = tuple[str, int, int, Array]  # model, width, height, parameters
_Image = tuple[str, int, Array, Array]  # name, camera, quaternion wxyz, translation


def _colmap_camera(camera: _Intrinsics, image: _Image) -> Camera:
    model, width, height, parameters = camera
    _, _, plain = _BY_NAME[model]
    if model not in _PERSPECTIVE or np.any(parameters[plain:] != 0.0):
        raise ConfigError(
            f"path: expected cameras without distortion, got {model} with {parameters[plain:].tolist()}; "
            "undistort the images (colmap image_undistorter)"
        )
    fx, fy, cx, cy = parameters[[0, 0, 1, 2] if plain == 3 else [0, 1, 2, 3]]
    name, _, quat, translation = image
    length = float(np.linalg.norm(quat))
    if not 0.0 < length < np.inf:
        raise ValueError(f"the orientation {quat.tolist()} of {name!r}")
    viewmat = np.eye(4)
    viewmat[:3, :3] = rotations(quat[None] / length)[0]
    viewmat[:3, 3] = translation
    return Camera.from_intrinsics(viewmat, width, height, fx=fx, fy=fy, cx=cx, cy=cy, name=name)


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def _text_cameras(file: Path) -> dict[int, _Intrinsics]:
    out = {}
    for words in (line.split() for line in _lines(file)):
        if words:
            out[int(words[0])] = (words[1], int(words[2]), int(words[3]), _parameters(words[1], words[4:]))
    return out


def _parameters(model: str, values: Sequence[object]) -> Array:
    _, count, _ = _BY_NAME[model]
    parameters = np.asarray(values, np.float64)
    if len(parameters) != count:
        raise ValueError(f"{model} with {len(parameters)} parameters instead of {count}")
    return parameters


def _text_images(file: Path) -> list[_Image]:
    out = []
    for line in _lines(file)[::2]:  # every other line lists 2D points
        words = line.split(maxsplit=9)
        if words:
            pose = np.array(words[1:8], np.float64)
            out.append((words[9].strip(), int(words[8]), pose[:4], pose[4:]))
    return out


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))


def _binary_cameras(path: Path) -> dict[int, _Intrinsics]:
    out = {}
    with path.open("rb") as file:
        for _ in range(_unpack(file, "Q")[0]):
            number, model, width, height = _unpack(file, "iiQQ")
            name, count, _ = _MODELS[model]
            out[number] = (name, width, height, _parameters(name, _unpack(file, f"{count}d")))
    return out


def _binary_images(path: Path) -> list[_Image]:
    out = []
    with path.open("rb") as file:
        for _ in range(_unpack(file, "Q")[0]):
            pose = _unpack(file, "i7di")
            name = b"".join(iter(lambda: _character(file), b"\0")).decode("utf-8")
            file.seek(24 * _unpack(file, "Q")[0], os.SEEK_CUR)  # 2D points
            out.append((name, pose[8], np.array(pose[1:5]), np.array(pose[5:8])))
    return out


def _character(file: BinaryIO) -> bytes:
    one = file.read(1)
    if not one:
        raise ValueError("unterminated name")
    return one
