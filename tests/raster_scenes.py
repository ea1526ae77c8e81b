# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Small scenes of Gaussians for tests of the rasteriser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scenes import host, on

SCENES = ("plain", "opaque", "grazing", "crowd")
FORMS = ("covars", "quats")
OUTPUTS = ("color", "alpha", "depth")
WIDTH, HEIGHT = 41, 27  # not multiples of the tile or cell size


@dataclass(frozen=True)
class GaussianScene:
    """Inputs of `rasterize` (float64), intrinsics, image size, and cotangents of the images."""

    inputs: dict[str, np.ndarray]
    K: np.ndarray
    cotangents: dict[str, np.ndarray]
    width: int = WIDTH
    height: int = HEIGHT

    def with_inputs(self, **changes: np.ndarray) -> GaussianScene:
        return replace(self, inputs={**self.inputs, **changes})


def poses(rng: np.random.Generator, count: int, distance: float = 3.0) -> np.ndarray:
    """Return world-to-camera matrices of cameras at random positions that look at the origin."""
    from diffmpm.render import Camera

    away = rng.standard_normal((count, 3))
    away *= distance / np.linalg.norm(away, axis=1, keepdims=True)
    views = [Camera.look_at(eye, rng.uniform(-0.1, 0.1, 3), width=8, height=8).viewmat for eye in away]
    return np.stack(views)


def make_scene(
    rng: np.random.Generator, case: str = "plain", form: str = "covars", *, cameras: int = 2, channels: int = 3
):
    """Return 40 Gaussians in front of two cameras; `case` selects special cases.

    opaque: opacities of one or more, so that pixels clamp and terminate; grazing: close to the cameras and beside the
    image, so that the point of the Jacobian is clamped, some behind the near plane; crowd: many large Gaussians, so
    that most pixels terminate.
    """
    n = 90 if case == "crowd" else 40
    spread = {"plain": 0.5, "opaque": 0.35, "grazing": 1.3, "crowd": 0.3}[case]
    means = spread * rng.standard_normal((n, 3))
    quats, scales = rng.standard_normal((n, 4)), rng.uniform(0.03, 0.3, (n, 3))
    opacities = rng.uniform(0.3, 0.9, n)
    if case == "opaque":
        opacities[::2], opacities[1::4] = 1.0, 1.5
    distance = 1.6 if case == "grazing" else 3.0
    inputs = {
        "means": means,
        "opacities": opacities,
        "colors": rng.uniform(-0.2, 1.0, (n, channels)),
        "backgrounds": rng.uniform(0.0, 1.0, (cameras, channels)),
        "viewmats": poses(rng, cameras, distance),
    }
    if form == "quats":
        inputs |= {"quats": quats, "scales": scales}
    else:
        inputs["covars"] = covariances(quats, scales)
    K = np.array([[38.0, 0.0, 21.3], [0.0, 41.0, 12.6], [0.0, 0.0, 1.0]])
    shapes = {
        "color": (cameras, HEIGHT, WIDTH, channels),
        "alpha": (cameras, HEIGHT, WIDTH),
        "depth": (cameras, HEIGHT, WIDTH),
    }
    return GaussianScene(inputs, K, {name: rng.standard_normal(shape) for name, shape in shapes.items()})


def covariances(quats: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return covariances from quaternions (w, x, y, z) and scales."""
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    R = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    M = R * scales[:, None, :]
    return M @ M.transpose(0, 2, 1)


def run(scene: GaussianScene, dtype: Any = np.float64, device: str = "cpu") -> Any:
    """Rasterize the scene."""
    import diffmpm as dm

    inputs = {name: a if name == "viewmats" else on(device, a.astype(dtype)) for name, a in scene.inputs.items()}
    return dm.rasterize(inputs.pop("means"), Ks=scene.K, width=scene.width, height=scene.height, **inputs)


def pull_back(raster: Any, scene: GaussianScene, dtype: Any = np.float64, wrt: Any = "all") -> dict[str, np.ndarray]:
    """Return the gradients of the scene's objective by input."""
    device = getattr(raster.alpha, "device", "cpu")
    adjoints = {f"adj_{name}": on(device, a.astype(dtype)) for name, a in scene.cotangents.items()}
    grads = raster.vjp(**adjoints, wrt=wrt)
    return {name: host(g) for name in scene.inputs if (g := getattr(grads, name)) is not None}


def objective(raster: Any, scene: GaussianScene) -> float:
    """Return the inner product of images and cotangents."""
    return float(sum(np.vdot(getattr(raster, name).astype(np.float64), a) for name, a in scene.cotangents.items()))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Return |a - b| / |b| in L2."""
    return float(np.linalg.norm(np.asarray(a, np.float64) - b) / np.linalg.norm(b))
