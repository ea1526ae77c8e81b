# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pinhole cameras in OpenCV axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import Array, as_array, as_positive, axes
from ..errors import ConfigError

MAX_EDGE = 1 << 15  # pixels
NEAR_PLANE = 0.01
"""Near plane [m] of a camera that says nothing else."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole camera: x to the right, y down, z forward; pixel (row r, column s) has its centre at (s + 1/2, r + 1/2).

    Build it with `look_at`, `orbit`, `from_intrinsics`, or read a file with `read_transforms` or `read_colmap`.

    Raises:
        ConfigError: If a matrix is no pose or no intrinsic matrix, or a size is no positive integer.
    """

    viewmat: Array
    """World to camera, shape (4, 4), float64; its last row is (0, 0, 0, 1)."""
    K: Array
    """Intrinsic matrix [px], shape (3, 3), float64: ((fx, 0, cx), (0, fy, cy), (0, 0, 1))."""
    width: int
    """Columns of the image."""
    height: int
    """Rows of the image."""
    name: str = ""
    """Name of the image in the file that the camera was read from."""
    near: float = NEAR_PLANE
    """Distance [m] from the camera's plane below which Gaussians are not drawn, in units of the scene."""

    def __post_init__(self) -> None:
        viewmat = check_viewmats(self.viewmat, "viewmat", ())
        K = check_intrinsics(self.K, "K", ())
        for field, array in (("viewmat", viewmat), ("K", K)):
            copy = array.copy()
            copy.flags.writeable = False
            object.__setattr__(self, field, copy)
        object.__setattr__(self, "width", check_size(self.width, "width"))
        object.__setattr__(self, "height", check_size(self.height, "height"))
        object.__setattr__(self, "near", as_positive(self.near, "near"))

    @property
    def position(self) -> Array:
        """Place of the camera [m], shape (3,), float64."""
        return np.linalg.solve(self.viewmat[:3, :3], -self.viewmat[:3, 3])

    @property
    def fov(self) -> float:
        """Vertical field of view [degrees]."""
        return float(np.degrees(2.0 * np.arctan(0.5 * self.height / self.K[1, 1])))

    def project(self, points: object) -> tuple[Array, Array]:
        """Return pixel positions, shape (N, 2), and depths [m], shape (N,), of points [m], shape (N, 3).

        Raises:
            ConfigError: If the points do not have that shape.
        """
        x = as_array(points, "points", (None, 3), finite=False).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            seen = x @ self.viewmat[:3, :3].T + self.viewmat[:3, 3]
            return seen[:, :2] / seen[:, 2:] * np.diag(self.K)[:2] + self.K[:2, 2], seen[:, 2]

    def resized(self, width: int, height: int) -> Camera:
        """Return the same view with another number of pixels."""
        w, h = check_size(width, "width"), check_size(height, "height")
        return Camera(
            self.viewmat, np.diag([w / self.width, h / self.height, 1.0]) @ self.K, w, h, self.name, self.near
        )

    @staticmethod
    def from_intrinsics(
        viewmat: object,
        width: int,
        height: int,
        *,
        fx: float | None = None,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
        fov: float | None = None,
        name: str = "",
        near: float = NEAR_PLANE,
    ) -> Camera:
        """Build a camera from its pose and either focal lengths or a field of view.

        Args:
            viewmat: World to camera, shape (4, 4), OpenCV axes.
            width: Columns of the image.
            height: Rows of the image.
            fx: Focal length along x [px]; that along y if None.
            fy: Focal length along y [px]; that along x if None.
            cx: Principal point along x [px]; the middle if None.
            cy: Principal point along y [px]; the middle if None.
            fov: Vertical field of view [degrees], instead of focal lengths.
            name: Name of the image.
            near: Distance [m] from the camera's plane below which Gaussians are not drawn.

        Raises:
            ConfigError: If neither or both of field of view and focal lengths are given, or a value does not fit.
        """
        w, h = check_size(width, "width"), check_size(height, "height")
        if (fov is None) == (fx is None and fy is None):
            raise ConfigError("fov: expected either fov or fx and fy, got both or neither; pass one of them")
        if fov is not None:
            if not 0.0 < as_positive(fov, "fov") < 180.0:
                raise ConfigError(f"fov: expected degrees below 180, got {fov:g}")
            fx = fy = 0.5 * h / np.tan(np.radians(fov) / 2.0)
        x = as_positive(fx if fx is not None else fy, "fx")  # type: ignore[arg-type]
        y = as_positive(fy if fy is not None else x, "fy")
        middle = (0.5 * w if cx is None else cx, 0.5 * h if cy is None else cy)
        u, v = (float(as_array(c, name, ())) for c, name in zip(middle, ("cx", "cy"), strict=True))
        K = np.array([[x, 0.0, u], [0.0, y, v], [0.0, 0.0, 1.0]])
        return Camera(as_array(viewmat, "viewmat", (4, 4)), K, w, h, name, near)

    @staticmethod
    def look_at(
        eye: object,
        target: object,
        up: object = (0.0, 0.0, 1.0),
        *,
        width: int,
        height: int,
        fov: float | None = None,
        fx: float | None = None,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
        near: float | None = None,
    ) -> Camera:
        """Build a camera at a point that looks at another one; intrinsics as for `from_intrinsics`.

        Args:
            eye: Place of the camera [m], three numbers.
            target: Point in the middle of the view [m], three numbers.
            up: Direction that is up in the image, three numbers.
            width: Columns of the image.
            height: Rows of the image.
            fov: Vertical field of view [degrees]; 30 if no focal length is given either.
            fx: Focal length along x [px].
            fy: Focal length along y [px].
            cx: Principal point along x [px].
            cy: Principal point along y [px].
            near: Distance [m] from the camera's plane below which Gaussians are not drawn; if None 0.01, or a hundredth
                of the distance to the target where that is less, as in a scene of millimetres.

        Raises:
            ConfigError: If eye and target coincide, `up` is along the view, or a value does not fit.
        """
        place, middle, vertical = (
            as_array(a, name, (3,), np.float64 if not isinstance(a, np.ndarray) else None).astype(np.float64)
            for a, name in ((eye, "eye"), (target, "target"), (up, "up"))
        )
        forward = middle - place
        distance = float(np.linalg.norm(forward))
        if distance == 0.0:
            raise ConfigError(f"target: expected a point away from the eye, got the same one, {tuple(middle.tolist())}")
        forward /= distance
        right = np.cross(forward, vertical)
        length, scale = float(np.linalg.norm(right)), float(np.linalg.norm(vertical))
        if length <= 1e-9 * scale or scale == 0.0:
            raise ConfigError(
                f"up: expected a direction across the view, got {tuple(vertical.tolist())}; choose another one"
            )
        right /= length
        viewmat = np.eye(4)
        viewmat[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        viewmat[:3, 3] = -viewmat[:3, :3] @ place
        if fov is None and fx is None and fy is None:
            fov = 30.0
        if near is None:
            near = min(NEAR_PLANE, 0.01 * distance)
        return Camera.from_intrinsics(viewmat, width, height, fx=fx, fy=fy, cx=cx, cy=cy, fov=fov, near=near)

    @staticmethod
    def orbit(
        target: object = (0.0, 0.0, 0.0),
        *,
        radius: float,
        count: int,
        elevations: float | Sequence[float] = 0.0,
        up: object = (0.0, 0.0, 1.0),
        start: float = 0.0,
        width: int,
        height: int,
        fov: float = 30.0,
    ) -> list[Camera]:
        """Build rings of cameras around a point, ring by ring.

        Args:
            target: Point that all look at [m], three numbers.
            radius: Distance from it [m].
            count: Cameras a ring, evenly spaced.
            elevations: Angle [degrees] of each ring above the plane across `up`, within (-90, 90).
            up: Axis of the rings.
            start: Azimuth [degrees] of the first camera of each ring.
            width: Columns of the image.
            height: Rows of the image.
            fov: Vertical field of view [degrees].

        Raises:
            ConfigError: If a value does not fit.
        """
        distance, cameras = as_positive(radius, "radius"), []
        middle = as_array(target, "target", (3,)).astype(np.float64)
        axis = as_array(up, "up", (3,)).astype(np.float64)
        if np.linalg.norm(axis) == 0.0:
            raise ConfigError("up: expected a direction, got zeros")
        axis = axis / np.linalg.norm(axis)
        side = np.eye(3)[np.argmin(np.abs(axis))]
        side = side - axis * (axis @ side)
        side /= np.linalg.norm(side)
        depth = np.cross(axis, side)
        first = float(as_array(start, "start", ()))
        rings = as_array(elevations, "elevations", (None,) if axes(elevations, "elevations") else ())
        for elevation in np.atleast_1d(rings).tolist():
            if not -90.0 < elevation < 90.0:
                raise ConfigError(f"elevations: expected degrees within (-90, 90), got {elevation:g}")
            phi = np.radians(elevation)
            for n in range(check_size(count, "count")):
                theta = np.radians(first) + 2.0 * np.pi * n / count
                away = np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * axis
                eye = middle + distance * away
                cameras.append(Camera.look_at(eye, middle, axis, width=width, height=height, fov=fov))
        return cameras


def check_size(value: int, name: str) -> int:
    """Return a number of pixels (or cameras) as an integer of at least 1.

    Raises:
        ConfigError: If it is none, or above 32768.
    """
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if isinstance(value, bool) or not 1 <= size <= MAX_EDGE:
        raise ConfigError(f"{name}: expected an integer from 1 to {MAX_EDGE}, got {value!r}")
    return size


def stack_cameras(cameras: Camera | Sequence[Camera]) -> tuple[Array, Array, int, int, float]:
    """Return viewmats (C, 4, 4), Ks (C, 3, 3), width, height and near plane of one camera or several of one size.

    The near plane is the nearest of them.

    Raises:
        ConfigError: If there is none, something else, or the sizes differ.
    """
    several = [cameras] if isinstance(cameras, Camera) else list(cameras)
    if not several or not all(isinstance(c, Camera) for c in several):
        raise ConfigError(f"cameras: expected a Camera or a sequence of them, got {cameras!r}")
    sizes = {(c.width, c.height) for c in several}
    if len(sizes) > 1:
        raise ConfigError(f"cameras: expected one size, got {sorted(sizes)}; call rasterize once a size")
    width, height = sizes.pop()
    return (
        np.stack([c.viewmat for c in several]),
        np.stack([c.K for c in several]),
        width,
        height,
        min(c.near for c in several),
    )


def check_viewmats(value: object, name: str, lead: tuple[int | None, ...]) -> Array:
    """Return world-to-camera matrices, shape (*lead, 4, 4), as float64.

    Raises:
        ConfigError: If shape, values or the last row do not fit.
    """
    viewmats = as_array(value, name, (*lead, 4, 4)).astype(np.float64)
    if not np.allclose(viewmats[..., 3, :], (0.0, 0.0, 0.0, 1.0), rtol=0.0, atol=1e-6):
        raise ConfigError(
            f"{name}: expected a last row of (0, 0, 0, 1), got {viewmats[..., 3, :].tolist()}; "
            "pass world-to-camera matrices that act on columns, not their transposes"
        )
    return viewmats


def check_intrinsics(value: object, name: str, lead: tuple[int | None, ...]) -> Array:
    """Return intrinsic matrices, shape (*lead, 3, 3), as float64.

    Raises:
        ConfigError: If shape or values do not fit: skew is not supported, focal lengths are above 0.
    """
    K = as_array(value, name, (*lead, 3, 3)).astype(np.float64)
    rest = K.copy()
    rest[..., (0, 1, 0, 1), (0, 1, 2, 2)] = 0.0
    rest[..., 2, 2] -= 1.0
    if not np.allclose(rest, 0.0, rtol=0.0, atol=1e-6):
        raise ConfigError(
            f"{name}: expected ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) without skew, got {K.tolist()}; "
            "undistort the images"
        )
    if not ((K[..., 0, 0] > 0).all() and (K[..., 1, 1] > 0).all()):
        raise ConfigError(f"{name}: expected focal lengths > 0, got {K[..., (0, 1), (0, 1)].tolist()}")
    return K
