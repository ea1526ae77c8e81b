# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What the operators accept: one check for the kernels in Python and for tracing.

The native kernels (cpp/torch) check the same in the same words. Only they, and the core, look at values: the range of
indices, the sign of constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import as_positive
from ..errors import ConfigError

FLOATS = (torch.float32, torch.float64)
_HALF = (torch.float16, torch.bfloat16)

_CONFIG = "int[] whole, float[] real"
_SURFACE = (
    "Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets, Tensor supports, Tensor axes, Tensor normals"
)
SCHEMAS = {
    # No layers stand for the end alone, without an axis of layers.
    "rollout": (
        "(Tensor x, Tensor v, Tensor C, Tensor F, Tensor? Fp, Tensor? control, Tensor mass, Tensor volume, Tensor lam, "
        f"Tensor mu, Tensor? gravity, Tensor? drag, {_CONFIG}, int steps, int stride, int[] layers, "
        "bool motion_gradient, bool differentiable, int memory_budget) "
        "-> (Tensor x, Tensor v, Tensor C, Tensor F, Tensor G, Tensor trajectory)"
    ),
    "rollout_vjp": (
        "(Tensor trajectory, Tensor? adj_x, Tensor? adj_v, Tensor? adj_C, Tensor? adj_F, Tensor? adj_G, int[] layers, "
        "int wrt, SymInt control_layers) -> Tensor[]"
    ),
    "grid_mass": f"(Tensor x, Tensor mass, {_CONFIG}) -> Tensor",
    "grid_mass_vjp": f"(Tensor x, Tensor mass, Tensor adj_grid_mass, {_CONFIG}) -> (Tensor, Tensor)",
    "mass_loss": "(Tensor m, Tensor target, int kind, float m_ref, float outside_weight) -> (Tensor value, Tensor adj)",
    "kinetic_loss": "(Tensor v) -> (Tensor value, Tensor adj)",
    "rasterize": (
        "(Tensor means, Tensor? covars, Tensor? quats, Tensor? scales, Tensor opacities, Tensor colors, "
        "Tensor? backgrounds, Tensor viewmats, Tensor Ks, int width, int height, float near_plane) "
        "-> (Tensor color, Tensor alpha, Tensor depth, Tensor means2d, Tensor radii, Tensor depths, Tensor status, "
        "Tensor entries, Tensor images)"
    ),
    "rasterize_vjp": (
        "(Tensor images, Tensor means, Tensor colors, Tensor? adj_color, Tensor? adj_alpha, Tensor? adj_depth, "
        "int wrt) -> Tensor[]"
    ),
    "surface": f"({_SURFACE}) -> (Tensor means, Tensor covars, Tensor normals, Tensor weights)",
    "surface_vjp": (
        f"({_SURFACE}, Tensor? adj_means, Tensor? adj_covars, Tensor? adj_normals, Tensor? adj_weights) "
        "-> (Tensor, Tensor, Tensor)"
    ),
}
ARGUMENTS = {
    name: tuple(part.split()[-1] for part in schema[1 : schema.index(") ->")].split(","))
    for name, schema in SCHEMAS.items()
}

GRADIENTS = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag")
"""Inputs of `rollout` in the order of the bits of `wrt` and of the gradients that `rollout_vjp` returns."""
RASTER_GRADIENTS = (
    "means", "covars", "quats", "scales", "opacities", "colors", "backgrounds", "viewmats", "means2d",
)  # fmt: skip
"""Likewise for `rasterize_vjp`; the last one is no input but what the means are projected to."""

# Shapes of the tensors, in the order in which they are checked; equal letters are equal sizes.
_VECTOR, _MATRIX = ("n", 3), ("n", 3, 3)
_BODY = {"x": _VECTOR, "F": _MATRIX, "sigma0": ()}
_BINDING = {
    "parents": ("m", "k"), "offsets": ("m", "k", 3), "supports": ("m",), "axes": ("m", 3, 3), "normals": ("m", 3),
}  # fmt: skip
_SHAPES: dict[str, dict[str, tuple[Any, ...]]] = {
    "rollout": {
        "x": _VECTOR, "v": _VECTOR, "C": _MATRIX, "F": _MATRIX, "Fp": _MATRIX, "control": ("l", *_MATRIX),
        "mass": ("n",), "volume": ("n",), "lam": ("n",), "mu": ("n",), "gravity": (3,), "drag": (),
    },
    "rollout_vjp": {"adj_x": _VECTOR, "adj_v": _VECTOR, "adj_C": _MATRIX, "adj_F": _MATRIX, "adj_G": _MATRIX},
    "grid_mass": {"x": _VECTOR, "mass": ("n",)},
    "grid_mass_vjp": {"x": _VECTOR, "mass": ("n",), "adj_grid_mass": ("a", "b", "c")},
    "kinetic_loss": {"v": _VECTOR},
    "rasterize": {
        "means": _VECTOR, "viewmats": ("c", 4, 4), "covars": _MATRIX, "quats": ("n", 4), "scales": _VECTOR,
        "opacities": ("n",), "colors": ("n", "k"), "backgrounds": ("c", "k"), "Ks": ("c", 3, 3),
    },
    "rasterize_vjp": {
        "means": _VECTOR, "colors": ("n", "k"), "adj_color": ("c", "h", "w", "k"), "adj_alpha": ("c", "h", "w"),
        "adj_depth": ("c", "h", "w"),
    },
    "surface": {**_BODY, **_BINDING},
    "surface_vjp": {
        **_BODY, **_BINDING, "adj_means": ("m", 3), "adj_covars": ("m", 3, 3), "adj_normals": ("m", 3),
        "adj_weights": ("m", "k"),
    },
}  # fmt: skip
_DTYPES = {"viewmats": torch.float64, "Ks": torch.float64, "parents": torch.int32}

_MOST_STEPS = 1 << 53
_MOST_EDGE = _MOST_CHANNELS = 1 << 15
_MOST_CAMERAS = 1 << 20
_MOST_NUMBERS = 1 << 50
_MOST_SAMPLES = 10_000_000


def checked(
    value: Tensor,
    name: str,
    shape: Sequence[int | None],
    like: Tensor | None = None,
    *,
    of: str = "x",
    dtype: torch.dtype | None = None,
    anywhere: bool = False,
    autocast: bool = True,
) -> Tensor:
    """Return a tensor after checks of kind, device, dtype and shape; None in `shape` stands for any size.

    It has to be where `like` is, of its dtype; without that on the CPU or, with `anywhere`, on a CUDA device that the
    core can use. `of` is the name of `like`. With `dtype` it has that one, whatever `like` has. Under autocast, with
    `autocast`, half precision becomes float32.

    Raises:
        ConfigError: If one does not fit.
    """
    if not isinstance(value, Tensor):
        raise ConfigError(f"{name}: expected a torch.Tensor, got {type(value).__name__}; use torch.as_tensor")
    wanted = dtype if dtype is not None or like is None else like.dtype
    dense = value.layout is torch.strided
    if dense and like is not None and value.dtype is wanted and value.device == like.device and _fits(value, shape):
        return value
    if not dense:
        raise ConfigError(f"{name}: expected a dense tensor, got {value.layout}; pass {name}.to_dense()")
    if like is not None and not like.is_cpu and value.device != like.device and not (anywhere and value.is_cpu):
        raise ConfigError(f"{name}: expected a tensor on {like.device}, as the others are, got one on {value.device}")
    elsewhere = anywhere and value.is_cuda and _core.cuda_device_count() > 0 if like is None else not like.is_cpu
    if not value.is_cpu and not elsewhere:
        raise ConfigError(f"{name}: expected a CPU tensor, got one on {value.device}; pass {name}.cpu()")
    if autocast and dtype is None and value.dtype in _HALF and torch.is_autocast_enabled(value.device.type):
        value = value.float()
    if dtype is None:
        check_float(value, name)
    if wanted is not None and value.dtype != wanted:
        expected, remedy = (f"{wanted}, the dtype of {of}", f"{of}.dtype") if dtype is None else (wanted, wanted)
        raise ConfigError(f"{name}: expected {expected}, got {value.dtype}; pass {name}.to({remedy})")
    if not _fits(value, shape):
        raise ConfigError(f"{name}: expected shape {_text(shape)}, got {_text(value.shape)}")
    return value


def check_float(value: Tensor, name: str) -> None:
    """Refuse a tensor of another dtype than the operators have.

    Raises:
        ConfigError: If it is one.
    """
    if value.dtype not in FLOATS:
        raise ConfigError(f"{name}: expected torch.float32 or torch.float64, got {value.dtype}; pass {name}.float()")


def integer(value: object, name: str, least: int, most: int | None = None) -> int:
    """Return an integer within limits.

    Raises:
        ConfigError: If it is none, or outside them.
    """
    whole = isinstance(value, int | np.integer | torch.SymInt) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        limits = f">= {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{name}: expected an integer {limits}, got {value!r}")
    return value if isinstance(value, torch.SymInt) else int(value)  # type: ignore[call-overload,return-value]


def check(operator: str, args: Sequence[Any], **sizes: int) -> dict[str, Any]:
    """Check the arguments of an operator, and return the sizes that its shapes name.

    Args:
        operator: Name of the operator.
        args: All of its arguments.
        **sizes: Sizes that are known from elsewhere: those of what an adjoint belongs to.

    Raises:
        ConfigError: If an argument does not fit.
    """
    given = dict(zip(ARGUMENTS[operator], args, strict=True))
    known: dict[str, Any] = dict(sizes)
    like, of = None, ""
    lead: tuple[str, ...] = ()
    if operator == "rollout_vjp" and given["layers"]:
        lead, known["layers"] = ("layers",), len(given["layers"])
    if operator == "grid_mass_vjp":
        check_config(given["whole"], given["real"])
        known |= zip("abc", given["whole"], strict=False)
    shapes = _SHAPES[operator] if operator != "mass_loss" else {n: tuple(given["m"].shape) for n in ("m", "target")}
    for name, axes in shapes.items():
        value = given[name]
        if value is None:
            continue
        per_camera = name == "colors" and known.get("axes_of_colors", value.dim()) == 3
        axes = ("c", *axes) if per_camera else (*lead, *axes)
        shape = tuple(known.get(axis) if isinstance(axis, str) else axis for axis in axes)
        if like is None:
            like, of = value, name
            check_float(value, name)
        kind, alone = _DTYPES.get(name), name == "sigma0"  # a number may stay on the CPU
        checked(value, name, shape, like, of=of, dtype=kind, anywhere=alone, autocast=False)
        known |= {axis: size for axis, size in zip(axes, value.shape, strict=True) if isinstance(axis, str)}
    if like is None:
        raise ConfigError("adj_x: expected at least one cotangent, got none")
    if "whole" in given:
        check_config(given["whole"], given["real"])
    if operator in _COUNTS:
        _COUNTS[operator](given, known)
    return known


def check_config(whole: list[int], real: list[float]) -> Any:
    """Return native options from the two lists that an operator takes.

    Raises:
        ConfigError: If one of them is outside its limits.
    """
    try:
        return _core.unpack_params(whole, real)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _layers(given: dict[str, Any], steps: int) -> None:
    for layer in given["layers"]:
        integer(layer, "layers", 0, steps)


def _rollout(given: dict[str, Any], known: dict[str, Any]) -> None:
    if known["n"] == 0:
        raise ConfigError("x: expected at least one particle, got shape (0, 3)")
    steps, stride = integer(given["steps"], "steps", 0, _MOST_STEPS), integer(given["stride"], "stride", 1)
    _layers(given, steps)
    integer(given["memory_budget"], "memory_budget", 0)
    check_control(given["control"], steps, stride)


def check_control(control: Tensor | None, steps: int, stride: int) -> None:
    """Refuse more control layers than act in a rollout.

    Raises:
        ConfigError: If there are more.
    """
    most = -(-steps // stride)
    if control is not None and control.shape[0] > most:
        raise ConfigError(
            f"control: expected at most {most} layers ({steps} steps, stride {stride}), got {control.shape[0]}"
        )


def _rollout_vjp(given: dict[str, Any], known: dict[str, Any]) -> None:
    _layers(given, known.get("steps", _MOST_STEPS))
    integer(given["wrt"], "wrt", 0, (1 << len(GRADIENTS)) - 1)


def _mass_loss(given: dict[str, Any], known: dict[str, Any]) -> None:
    integer(given["kind"], "kind", 0, 1)
    check_weights(given["m_ref"], given["outside_weight"], given["m"].dtype)


def check_weights(m_ref: object, outside_weight: object, dtype: torch.dtype) -> tuple[float, float]:
    """Return the numbers of a mass loss, which have to be numbers in a dtype too.

    Raises:
        ConfigError: If one is none, or has the wrong sign.
    """
    largest, numbers = torch.finfo(dtype).max, []
    for name, value, sign in (("m_ref", m_ref, ">"), ("outside_weight", outside_weight, ">=")):
        real = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
        number = float(value) if real else -1.0  # type: ignore[arg-type]
        least = torch.finfo(dtype).smallest_normal if sign == ">" else 0.0
        if not least <= number <= largest:
            raise ConfigError(f"{name}: expected a number {sign} 0, got {value if real else repr(value)}")
        numbers.append(number)
    return numbers[0], numbers[1]


def _kinetic_loss(given: dict[str, Any], known: dict[str, Any]) -> None:
    if known["n"] == 0:
        raise ConfigError("v: expected at least one particle, got shape (0, 3)")


def _rasterize(given: dict[str, Any], known: dict[str, Any]) -> None:
    check_forms(given["covars"], given["quats"], given["scales"])
    integer(known["k"], "channels of colors", 1, _MOST_CHANNELS)
    integer(known["c"], "cameras", 1, _MOST_CAMERAS)
    width, height = integer(given["width"], "width", 1, _MOST_EDGE), integer(given["height"], "height", 1, _MOST_EDGE)
    as_positive(given["near_plane"], "near_plane")
    if known["c"] * height * width * (known["k"] + 1) > _MOST_NUMBERS:
        raise MemoryError(
            f"images: expected a shape that fits into memory, got {_text((known['c'], height, width, known['k']))}"
        )


def check_forms(covars: Tensor | None, quats: Tensor | None, scales: Tensor | None) -> None:
    """Refuse Gaussians that have not one of their two forms.

    Raises:
        ConfigError: If there are others than covars, or quats and scales.
    """
    if (covars is None) == (quats is None) or (quats is None) != (scales is None):
        raise ConfigError(
            "covars: expected either covars or quats and scales, got another combination; pass one of them"
        )


def _rasterize_vjp(given: dict[str, Any], known: dict[str, Any]) -> None:
    integer(given["wrt"], "wrt", 0, (1 << len(RASTER_GRADIENTS)) - 1)


def _surface(given: dict[str, Any], known: dict[str, Any]) -> None:
    integer(known["k"], "parents of a sample", 1, int(_core.MAX_PARENTS))
    integer(known["m"], "samples", 0, _MOST_SAMPLES)


_COUNTS = {
    "rollout": _rollout, "rollout_vjp": _rollout_vjp, "mass_loss": _mass_loss, "kinetic_loss": _kinetic_loss,
    "rasterize": _rasterize, "rasterize_vjp": _rasterize_vjp, "surface": _surface, "surface_vjp": _surface,
}  # fmt: skip


def _fits(value: Tensor, shape: Sequence[int | None]) -> bool:
    """Say whether a tensor has a shape; sizes that are symbols are compared one by one, and held as they are."""
    if value.dim() != len(shape):
        return False
    for want, size in zip(shape, value.shape, strict=True):
        if want is not None and want != size:
            return False
    return True


def _text(shape: Sequence[Any]) -> str:
    names = ["N" if size is None else str(size) for size in shape]
    return "(" + ", ".join(names) + ("," if len(names) == 1 else "") + ")"
