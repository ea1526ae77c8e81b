# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Legacy renderer of Gaussians, on top of `diffmpm.rasterize`.

Matrices are transposed, as in the INRIA rasteriser: a row vector times view_T is in OpenCV camera axes, and times
proj_T (view and projection) in clip space. Use `diffmpm.Camera`, `diffmpm.rasterize` and `diffmpm.torch.rasterize` in
new code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_positive
from ..errors import ConfigError
from ..render import Camera, rasterize, shade

__all__ = ["GSRenderer3DGS", "make_matrices_from_yaml"]

_INTRINSICS = ("fov", "fx", "fy", "cx", "cy")
_KEYS = ("width", "height", *_INTRINSICS, "znear", "zfar", "lookat", "c2w")
_GREY = 0.75
"""Default colour of Gaussians, in each channel."""
_FOCAL_TOLERANCE = 1e-3
"""Largest relative difference between the focal lengths of tanfov and projmatrix."""


def make_matrices_from_yaml(cfg: Mapping[str, Any]) -> tuple[int, int, float, float, Array, Array, Array]:
    """Return the arguments of `GSRenderer3DGS` from a dictionary, as a YAML file holds it.

    Args:
        cfg: width and height [px]; fov, the vertical field of view [degrees], or fx, fy [px]; optionally cx, cy [px]
            (image centre) and znear, zfar [m] (0.01 and 100); and either lookat: {eye, target, up} or c2w, the
            camera-to-world matrix in OpenCV axes, shape (4, 4) or (3, 4).

    Returns:
        W, H, tanfovx, tanfovy, view_T (4, 4), proj_T (4, 4) and campos (3,), float32.

    Raises:
        ConfigError: If a key is unknown or missing, or a value is invalid.
    """
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"cfg: expected a dictionary, got {type(cfg).__name__}")
    for key in cfg:
        if key not in _KEYS:
            raise ConfigError(f"cfg: expected keys among {', '.join(_KEYS)}, got {key!r}")
    for key in ("width", "height"):
        if key not in cfg:
            raise ConfigError(f"cfg: expected the key {key!r}, got none of that name")
    intrinsics = {name: cfg[name] for name in _INTRINSICS if name in cfg}
    camera = Camera.from_intrinsics(_viewmat(cfg), cfg["width"], cfg["height"], **intrinsics)
    near, far = as_positive(cfg.get("znear", 0.01), "znear"), as_positive(cfg.get("zfar", 100.0), "zfar")
    if near >= far:
        raise ConfigError(f"zfar: expected more than znear {near:g}, got {far:g}")
    K = camera.K
    tan_x, tan_y = camera.width / (2.0 * K[0, 0]), camera.height / (2.0 * K[1, 1])
    P = np.zeros((4, 4))
    P[0, 0], P[0, 2] = 1.0 / tan_x, 2.0 * K[0, 2] / camera.width - 1.0
    P[1, 1], P[1, 2] = 1.0 / tan_y, 2.0 * K[1, 2] / camera.height - 1.0
    P[2, 2], P[2, 3], P[3, 2] = far / (far - near), -far * near / (far - near), 1.0
    view_T, proj_T = camera.viewmat.T, (P @ camera.viewmat).T
    matrices = (np.ascontiguousarray(a, dtype=np.float32) for a in (view_T, proj_T, camera.position))
    return camera.width, camera.height, float(tan_x), float(tan_y), *matrices  # type: ignore[return-value]


def _viewmat(cfg: Mapping[str, Any]) -> Array:
    """Return the world-to-camera matrix of `lookat` or `c2w`."""
    if ("lookat" in cfg) == ("c2w" in cfg):
        raise ConfigError("cfg: expected either lookat or c2w, got both or neither")
    if "lookat" in cfg:
        view = cfg["lookat"]
        if not isinstance(view, Mapping) or not {"eye", "target"} <= set(view) <= {"eye", "target", "up"}:
            raise ConfigError(f"lookat: expected a dictionary of eye, target and up, got {view!r}")
        options = {"up": (0.0, 1.0, 0.0), **view}
        return Camera.look_at(**options, width=cfg["width"], height=cfg["height"]).viewmat
    matrix = np.asarray(cfg["c2w"], dtype=np.float64)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise ConfigError(f"c2w: expected shape (4, 4) or (3, 4), got {matrix.shape}")
    c2w = np.eye(4)
    c2w[: matrix.shape[0]] = matrix
    viewmat = np.linalg.inv(c2w)
    viewmat[3] = (0.0, 0.0, 0.0, 1.0)
    return viewmat


class GSRenderer3DGS:
    """A renderer for one view.

    Args:
        width: Columns of the image.
        height: Rows of the image.
        tanfovx: Tangent of half the horizontal field of view.
        tanfovy: Tangent of half the vertical field of view.
        viewmatrix: World to camera, transposed, shape (4, 4).
        projmatrix: View and projection, transposed, shape (4, 4); gives the principal point.
        campos: Camera position [m], shape (3,).
        bg: Background colour, three numbers.
        device: "cpu".

    Raises:
        ConfigError: If an argument is invalid, or the matrices contradict each other.
    """

    def __init__(
        self,
        width: int,
        height: int,
        tanfovx: float,
        tanfovy: float,
        viewmatrix: Any,
        projmatrix: Any,
        campos: Any,
        bg: Any = (0.0, 0.0, 0.0),
        device: str = "cpu",
    ) -> None:
        if str(device) != "cpu":
            raise ConfigError(f"device: expected 'cpu', got {device!r}; use diffmpm.torch.rasterize for CUDA tensors")
        view_T = as_array(viewmatrix, "viewmatrix", (4, 4)).astype(np.float64)
        proj_T = as_array(projmatrix, "projmatrix", (4, 4)).astype(np.float64)
        fx = 0.5 * width / as_positive(tanfovx, "tanfovx")
        fy = 0.5 * height / as_positive(tanfovy, "tanfovy")
        P = np.linalg.solve(view_T, proj_T).T
        for name, focal, scale, size in (("tanfovx", fx, P[0, 0], width), ("tanfovy", fy, P[1, 1], height)):
            if abs(0.5 * scale * size - focal) > _FOCAL_TOLERANCE * focal:
                raise ConfigError(
                    f"projmatrix: expected the focal length {focal:g} px of {name}, got {0.5 * scale * size:g}; pass "
                    "the transposed product of projection and view, as make_matrices_from_yaml returns it"
                )
        K = [[fx, 0.0, 0.5 * width * (1.0 + P[0, 2])], [0.0, fy, 0.5 * height * (1.0 + P[1, 2])], [0.0, 0.0, 1.0]]
        self.camera = Camera(view_T.T, np.array(K), width, height)
        self.campos = as_array(campos, "campos", (3,))
        self.bg = as_array(bg, "bg", (3,)).astype(np.float64)

    def render(
        self,
        xyz: Any,
        cov: Any,
        rgb: Any = None,
        opacity: Any = None,
        normals: Any = None,
        return_torch: bool = False,
        render_normal_map: bool = False,
    ) -> dict[str, Any]:
        """Draw Gaussians.

        Args:
            xyz: Centres [m], shape (N, 3); NumPy array or CPU tensor, float32 or float64. Differentiable, as are all
                arrays. The result and the other arrays get its dtype.
            cov: Covariances [m^2], shape (N, 3, 3).
            rgb: Colours, shape (N, 3); grey if None, shaded if there are normals.
            opacity: Opacities, shape (N,) or (N, 1); 1 if None.
            normals: Normals, shape (N, 3).
            return_torch: Whether to return tensors with history instead of NumPy arrays.
            render_normal_map: Whether to draw the normals, too.

        Returns:
            image (H, W, 3), alpha (H, W), depth (H, W), the expected depth [m], and normal_map (H, W, 3), the sum of
            weighted normals, or None.

        Raises:
            ConfigError: If an argument is invalid.
            ImportError: If `return_torch` is set and PyTorch is not installed.
        """
        if render_normal_map and normals is None:
            raise ConfigError("normals: expected normals for a normal map, got None; pass them")
        values = {"xyz": xyz, "cov": cov, "rgb": rgb, "opacity": opacity, "normals": normals}
        draw = self._draw_tensors if return_torch else self._draw_arrays
        color, alpha, depth = draw(values, render_normal_map)
        normal_map = color[..., 3:] if render_normal_map else None
        return {"image": color[..., :3], "alpha": alpha, "depth": depth, "normal_map": normal_map}

    def _draw_arrays(self, values: dict[str, Any], normal_map: bool) -> tuple[Any, Any, Any]:
        a = {name: value.detach() if hasattr(value, "detach") else value for name, value in values.items()}
        x, rgb, normals, opacity = as_array(a["xyz"], "xyz", (None, 3)), a["rgb"], a["normals"], a["opacity"]
        if rgb is None:
            rgb = np.full_like(x, _GREY) if normals is None else shade(normals, albedo=(_GREY,) * 3).color
        features, background = as_array(rgb, "rgb", x.shape).astype(x.dtype, copy=False), self.bg.astype(x.dtype)
        if normal_map:
            features = np.concatenate([features, as_array(normals, "normals", x.shape).astype(x.dtype)], axis=1)
            background = np.concatenate([background, np.zeros(3, x.dtype)])
        raster = rasterize(
            x,
            self.camera,
            covars=as_array(a["cov"], "cov", (len(x), 3, 3)).astype(x.dtype, copy=False),
            opacities=None if opacity is None else np.asarray(opacity, x.dtype).reshape(-1),
            colors=features,
            backgrounds=background,
        )
        return raster.color, raster.alpha, raster.expected_depth

    def _draw_tensors(self, values: dict[str, Any], normal_map: bool) -> tuple[Any, Any, Any]:
        import torch

        from ..torch import rasterize as rasterize_tensors
        from ..torch import shade as shade_tensors

        t: dict[str, Any] = {
            name: value if value is None or isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
            for name, value in values.items()
        }
        t |= {name: value.to(t["xyz"].dtype) for name, value in t.items() if value is not None}
        x, rgb, normals, opacity = t["xyz"], t["rgb"], t["normals"], t["opacity"]
        if rgb is None:
            rgb = torch.full_like(x, _GREY)
            if normals is not None:
                rgb = shade_tensors(normals, x, albedo=rgb)
        background = torch.as_tensor(self.bg, dtype=x.dtype)
        if normal_map:
            rgb, background = torch.cat([rgb, normals], 1), torch.cat([background, background.new_zeros(3)])
        color, alpha, _ = rasterize_tensors(
            x,
            covars=t["cov"],
            opacities=None if opacity is None else opacity.reshape(-1),
            colors=rgb,
            cameras=self.camera,
            backgrounds=background[None],
            render_mode="RGB+ED",
        )
        return color[0, ..., :-1], alpha[0, ..., 0], color[0, ..., -1]
