# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pinhole cameras in OpenCV axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, ArrayLike, as_array, as_positive, ndim
from .._options import Range, as_integer
from .._repr import short_repr
from ..errors import ConfigError

MAX_EDGE = 1 << 15
"""Largest width or height [px]."""
NEAR_PLANE = 0.01
"""Default near plane [m]."""


@short_repr
@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole camera: x right, y down, z forward; the centre of the pixel in row r, column s is (s + 1/2, r + 1/2).

    Build it with `look_at`, `orbit` or `from_intrinsics`, or read files with `read_transforms` or `read_colmap`.

    Raises:
        ConfigError: If a matrix is not a pose or an intrinsic matrix, or a size is not a positive integer.
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
    """Name of the image in the file of the camera."""
    near: float = NEAR_PLANE
    """Depth [m] below which Gaussians are not drawn."""

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
        """Camera position [m], shape (3,), float64."""
        return np.linalg.solve(self.viewmat[:3, :3], -self.viewmat[:3, 3])

    @property
    def fov(self) -> float:
        """Vertical field of view [degrees]."""
        return float(np.degrees(2.0 * np.arctan(0.5 * self.height / self.K[1, 1])))

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Return pixel positions, shape (N, 2), and depths [m], shape (N,), of points [m], shape (N, 3).

        Raises:
            ConfigError: If the points have another shape.
        """
        x = as_array(points, "points", (None, 3), finite=False).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            p = x @ self.viewmat[:3, :3].T + self.viewmat[:3, 3]
            return p[:, :2] / p[:, 2:] * np.diag(self.K)[:2] + self.K[:2, 2], p[:, 2]

    def resized(self, width: int, height: int) -> Camera:
        """Return the same view in another resolution."""
        w, h = check_size(width, "width"), check_size(height, "height")
        return replace(self, K=np.diag([w / self.width, h / self.height, 1.0]) @ self.K, width=w, height=h)

    @staticmethod
    def from_intrinsics(
        viewmat: ArrayLike,
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
            fx: Focal length along x [px]; equal to fy if None.
            fy: Focal length along y [px]; equal to fx if None.
            cx: Principal point along x [px]; the image centre if None.
            cy: Principal point along y [px]; the image centre if None.
            fov: Vertical field of view [degrees], instead of focal lengths.
            name: Name of the image.
            near: Depth [m] below which Gaussians are not drawn.

        Raises:
            ConfigError: If both or neither of `fov` and focal lengths are passed, or a value is invalid.
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
        u = 0.5 * w if cx is None else float(as_array(cx, "cx", ()))
        v = 0.5 * h if cy is None else float(as_array(cy, "cy", ()))
        K = np.array([[x, 0.0, u], [0.0, y, v], [0.0, 0.0, 1.0]])
        return Camera(as_array(viewmat, "viewmat", (4, 4)), K, w, h, name, near)

    @staticmethod
    def look_at(
        eye: ArrayLike,
        target: ArrayLike,
        up: ArrayLike = (0.0, 0.0, 1.0),
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
            eye: Camera position [m], three numbers.
            target: Point at the image centre [m], three numbers.
            up: Direction that is up in the image, three numbers.
            width: Columns of the image.
            height: Rows of the image.
            fov: Vertical field of view [degrees]; 30 if there is no focal length either.
            fx: Focal length along x [px].
            fy: Focal length along y [px].
            cx: Principal point along x [px].
            cy: Principal point along y [px].
            near: Depth [m] below which Gaussians are not drawn. None: 0.01, or a hundredth of the distance to the
                target if that is less, as in a scene of millimetres.

        Raises:
            ConfigError: If eye and target coincide, `up` is along the view, or a value is invalid.
        """
        position, center, vertical = (
            as_array(a, name, (3,), np.float64 if not isinstance(a, np.ndarray) else None).astype(np.float64)
            for a, name in ((eye, "eye"), (target, "target"), (up, "up"))
        )
        forward = center - position
        distance = float(np.linalg.norm(forward))
        if distance == 0.0:
            raise ConfigError(f"target: expected a point away from the eye, got the same one, {tuple(center.tolist())}")
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
        viewmat[:3, 3] = -viewmat[:3, :3] @ position
        if fov is None and fx is None and fy is None:
            fov = 30.0
        if near is None:
            near = min(NEAR_PLANE, 0.01 * distance)
        return Camera.from_intrinsics(viewmat, width, height, fx=fx, fy=fy, cx=cx, cy=cy, fov=fov, near=near)

    @staticmethod
    def orbit(
        target: ArrayLike = (0.0, 0.0, 0.0),
        *,
        radius: float,
        count: int,
        elevations: float | Sequence[float] = 0.0,
        up: ArrayLike = (0.0, 0.0, 1.0),
        start: float = 0.0,
        width: int,
        height: int,
        fov: float = 30.0,
    ) -> list[Camera]:
        """Build rings of cameras around a point, ring by ring.

        Args:
            target: Point that the cameras look at [m], three numbers.
            radius: Distance of the cameras from it [m].
            count: Cameras per ring, evenly spaced.
            elevations: Angle [degrees] of each ring above the plane normal to `up`, within (-90, 90).
            up: Axis of the rings.
            start: Azimuth [degrees] of the first camera of each ring.
            width: Columns of the images.
            height: Rows of the images.
            fov: Vertical field of view [degrees].

        Raises:
            ConfigError: If a value is invalid.
        """
        distance, cameras = as_positive(radius, "radius"), []
        center = as_array(target, "target", (3,)).astype(np.float64)
        axis = as_array(up, "up", (3,)).astype(np.float64)
        if np.linalg.norm(axis) == 0.0:
            raise ConfigError("up: expected a direction, got zeros")
        axis = axis / np.linalg.norm(axis)
        side = np.eye(3)[np.argmin(np.abs(axis))]
        side = side - axis * (axis @ side)
        side /= np.linalg.norm(side)
        depth = np.cross(axis, side)
        first = float(as_array(start, "start", ()))
        rings = as_array(elevations, "elevations", (None,) if ndim(elevations, "elevations") else ())
        for elevation in np.atleast_1d(rings).tolist():
            if not -90.0 < elevation < 90.0:
                raise ConfigError(f"elevations: expected degrees within (-90, 90), got {elevation:g}")
            phi = np.radians(elevation)
            for n in range(check_size(count, "count")):
                theta = np.radians(first) + 2.0 * np.pi * n / count
                direction = np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * axis
                eye = center + distance * direction
                cameras.append(Camera.look_at(eye, center, axis, width=width, height=height, fov=fov))
        return cameras


def check_size(value: int, name: str) -> int:
    """Return a number of pixels or cameras, from 1 to 32768, as an int."""
    return as_integer(value, name, Range(least=1, most=MAX_EDGE))


def stack_cameras(cameras: Camera | Sequence[Camera]) -> tuple[Array, Array, int, int, float]:
    """Return viewmats (C, 4, 4), Ks (C, 3, 3), width, height and nearest near plane of cameras of one size."""
    several = [cameras] if isinstance(cameras, Camera) else list(cameras)
    if not several or not all(isinstance(c, Camera) for c in several):
        raise ConfigError(f"cameras: expected a Camera or a sequence of them, got {cameras!r}")
    sizes = {(c.width, c.height) for c in several}
    if len(sizes) > 1:
        raise ConfigError(f"cameras: expected one size, got {sorted(sizes)}; call rasterize once per size")
    width, height = sizes.pop()
    views, intrinsics = np.stack([c.viewmat for c in several]), np.stack([c.K for c in several])
    return views, intrinsics, width, height, min(c.near for c in several)


def check_viewmats(value: ArrayLike, name: str, lead: tuple[int | None, ...]) -> Array:
    """Return world-to-camera matrices, shape (*lead, 4, 4), as float64; refuse another last row."""
    viewmats = as_array(value, name, (*lead, 4, 4)).astype(np.float64)
    if not np.allclose(viewmats[..., 3, :], (0.0, 0.0, 0.0, 1.0), rtol=0.0, atol=1e-6):
        raise ConfigError(
            f"{name}: expected a last row of (0, 0, 0, 1), got {viewmats[..., 3, :].tolist()}; "
            "pass world-to-camera matrices that act on columns, not their transposes"
        )
    return viewmats


def check_intrinsics(value: ArrayLike, name: str, lead: tuple[int | None, ...]) -> Array:
    """Return intrinsic matrices, shape (*lead, 3, 3), as float64; refuse skew and focal lengths not above 0."""
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
