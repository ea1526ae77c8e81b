# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Array checks, conversions and arithmetic, on the CPU and on CUDA devices. Checks refuse by a ConfigError."""

from __future__ import annotations

import copyreg
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from . import _core
from ._core import DeviceArray as DeviceArray
from ._options import LARGEST, SMALLEST
from .errors import ConfigError, DeviceError

Array = npt.NDArray[Any]
"""A NumPy array or, in functions that support CUDA, a `DeviceArray`."""


class SupportsDLPack(Protocol):
    """An array of another library, such as PyTorch, JAX or CuPy."""

    def __dlpack__(self, *, stream: Any = ...) -> Any:
        """Return a capsule with the array."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Return the device in DLPack's numbering."""


ArrayLike = npt.ArrayLike | SupportsDLPack
"""An array argument: NumPy, `DeviceArray`, an object with DLPack or the buffer protocol, or nested sequences."""
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_DLPACK_CUDA = 2
ALIGNMENT = 64
"""Bytes; JAX takes memory at such an address without a copy. The core and `aligned_copy` allocate so."""


def as_array(
    value: object,
    name: str,
    shape: Sequence[int | None],
    dtype: npt.DTypeLike | None = None,
    finite: bool = True,
    device: str = "cpu",
) -> Array:
    """Return `value` as a C-contiguous float array, without a copy where it is one already.

    Args:
        value: Object with DLPack or the buffer protocol, or a nested sequence; any layout and byte order.
        name: Argument name for messages.
        shape: Expected shape; None stands for any size.
        dtype: float32 or float64. None keeps the dtype of a float array and converts lists and integers to float64.
        finite: Whether NaN and infinity are refused.
        device: Expected device: "cpu", "cuda:N" or "any".

    Raises:
        ConfigError: If shape, dtype, device or values do not fit.
    """
    array = _to_host_or_device(value, name, device)
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"{name}: expected numbers, got dtype {array.dtype}; pass float32 or float64")
    native = array.dtype.newbyteorder("=")
    target = np.dtype(dtype) if dtype is not None else (native if native in FLOATS else FLOATS[1])
    if target not in FLOATS:
        raise ConfigError(f"{name}: expected float32 or float64, got {target}")
    typed = not isinstance(value, list | tuple)  # Python numbers have no dtype that could differ
    if dtype is not None and typed and native in FLOATS and native != target:
        raise ConfigError(f"{name}: expected {target}, got {native}; convert it with .astype('{target}')")
    if len(array.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        raise ConfigError(f"{name}: expected shape {shape_text(shape)}, got {array.shape}{_remedy(array, shape, name)}")
    if isinstance(array, DeviceArray):
        if finite and _core.count_not_finite(array) > 0:
            raise ConfigError(f"{name}: expected finite values, got NaN or infinity")
        return array
    if array.dtype != target or not (array.flags.c_contiguous and array.flags.aligned):
        array = aligned_copy(array, target)
    if finite and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        raise ConfigError(
            f"{name}: expected finite values, got {array[tuple(where)]} at index {tuple(map(int, where))}"
        )
    return array


def aligned_copy(array: Array, dtype: npt.DTypeLike | None = None) -> Array:
    """Return a C-contiguous copy of an array, in `dtype`, at an address that every framework takes without a copy."""
    target = np.dtype(dtype if dtype is not None else array.dtype)
    memory = np.empty(array.size * target.itemsize + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    out = memory[start : start + array.size * target.itemsize].view(target).reshape(array.shape)
    with np.errstate(over="ignore"):  # infinity is for the caller to judge
        out[...] = array
    return out


def contiguous(array: Array) -> Array:
    """Return an array in C order."""
    return np.asarray(array, order="C") if isinstance(array, np.ndarray) else array


def dot(a: Array, b: Array) -> float:
    """Return the sum of products in float64; unlike that of a BLAS it has equal bits for any number of threads."""
    return _core.dot(*_alike(a, b))


def norm(a: Array) -> float:
    """Return the L2 norm; squares of tiny float32 numbers do not underflow."""
    return _core.norm(contiguous(a))


def scaled(a: Array, factor: float) -> Array:
    """Return an array times a number."""
    return _core.scaled(contiguous(a), factor)


def add(a: Array, b: Array) -> Array:
    """Return the sum of two arrays."""
    return add_scaled(a, 1.0, b)


def add_scaled(a: Array, factor: float, b: Array) -> Array:
    """Return a + factor * b."""
    a, b = _alike(a, b)
    return _core.add_scaled(a, factor, b)


def _alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Return two arrays in C order; refuse them if shape, dtype or device differ."""
    a, b = contiguous(a), contiguous(b)
    first, second = ((x.shape, x.dtype, device_of(x)) for x in (a, b))
    if first != second:
        texts = (f"{shape} {dtype} on {device}" for shape, dtype, device in (first, second))
        raise ConfigError(
            f"arrays: expected one shape, dtype and device, got {' and '.join(texts)}; convert one with .astype, "
            "or move it with diffmpm.to_device"
        )
    return a, b


def device_of(a: object) -> str:
    """Return the device of an array: "cpu" or "cuda:N"."""
    return a.device if isinstance(a, DeviceArray) else "cpu"


def device_index(a: object) -> int:
    """Return the number of the CUDA device of an array, -1 for the CPU."""
    return a.device_index if isinstance(a, DeviceArray) else -1


def check_device_name(name: object, *, auto: bool = False) -> str:
    """Return a device name: "cpu", "cuda", "cuda:N" or, if `auto` is set, "auto"; refuse any other value."""
    if name in ("cpu", "cuda") or (auto and name == "auto"):
        return str(name)
    if not (isinstance(name, str) and re.fullmatch(r"cuda:\d{1,4}", name)):
        raise ConfigError(f"device: expected cpu, cuda, cuda:N{' or auto' if auto else ''}, got {name!r}")
    return name


def resolve_device(name: str) -> str:
    """Return the device of a name as "cpu" or "cuda:N".

    Args:
        name: "cpu", "cuda:N", "cuda" for the current CUDA device, or "auto": the current CUDA device if there is one.

    Raises:
        ConfigError: If the name is invalid.
        DeviceError: If there is no such device.
    """
    check_device_name(name, auto=True)
    count = _core.cuda_device_count()
    if name == "cpu" or (name == "auto" and count == 0):
        return "cpu"
    if count == 0:
        raise DeviceError(f"device: expected a usable CUDA device, got none ({_core.cuda_status()}); pass cpu or auto")
    number = int(name[5:]) if name.startswith("cuda:") else int(_core.current_device())
    if number >= count:
        raise DeviceError(f"device: expected one of the {count} CUDA devices from cuda:0 on, got cuda:{number}")
    return f"cuda:{number}"


def move_to(array: Array, device: str) -> Array:
    """Return an array on a device; a copy if it is on another one."""
    return to_host(array) if device == "cpu" else to_device(array, device=device)


def concatenate(a: Array, b: Array) -> Array:
    """Join two arrays of one device along the first axis."""
    return _core.concatenate(contiguous(a), contiguous(b))


def identities(like: Array) -> Array:
    """Return an identity matrix per row of `like`, with its dtype and on its device, shape (N, 3, 3)."""
    eye = np.broadcast_to(np.eye(3, dtype=like.dtype), (like.shape[0], 3, 3))
    return move_to(np.ascontiguousarray(eye), device_of(like))


def read_only(array: Array) -> Array:
    """Return a read-only NumPy array: `array` itself if it is one, else a copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


class InputGuard:
    """Detect whether the caller has changed input arrays that an adjoint reads again.

    Arrays on a CUDA device are not checked, which would wait for the device.

    Args:
        result: What was computed from the arrays, for messages.
        **arrays: The arrays by argument name, or None.
    """

    def __init__(self, result: str, **arrays: Array | None) -> None:
        self._result = result
        self._arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
        self._fingerprints = {name: _core.fingerprint(array) for name, array in self._arrays.items()}

    def check(self) -> None:
        """Refuse arrays whose values have changed."""
        for name, array in self._arrays.items():
            if _core.fingerprint(array) != self._fingerprints[name]:
                raise ConfigError(
                    f"{name}: expected the values that the {self._result} were computed from, got others; call vjp "
                    "before writing into the array, or pass a copy of it"
                )


class DeviceCopies:
    """A NumPy array with a copy on each device and in each dtype that needs it, made once."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self._copies = {("cpu", array.dtype): array}

    def on(self, device: str, dtype: np.dtype[Any] | None = None) -> Array:
        """Return the array on "cpu" or "cuda:N", in its own dtype if None."""
        key = device, self.array.dtype if dtype is None else dtype
        if key not in self._copies:
            array = np.ascontiguousarray(self.array, dtype=dtype)
            self._copies[key] = array if device == "cpu" else _upload(array, device)
        return self._copies[key]


def to_device(value: object, name: str = "array", device: str = "cuda") -> Array:
    """Copy an array to a CUDA device; an array that is already there is returned as it is.

    Args:
        value: Array, float32 or float64. From one device to another it goes through the CPU.
        name: Argument name for messages.
        device: "cuda:N", or "cuda" for the current CUDA device of this thread.

    Raises:
        ConfigError: If `value` is not a float array, or the device name is invalid.
        DeviceError: If there is no such device.
        MemoryError: If the device is out of memory.
    """
    array = _to_host_or_device(value, name, "any")
    target = resolve_device(device)
    if target == "cpu":
        raise ConfigError("device: expected a CUDA device, got cpu; use to_host, or array.numpy()")
    if isinstance(array, DeviceArray):
        if array.device == target:
            return array
        array = array.numpy()
    return _upload(as_array(array, name, (None,) * array.ndim, finite=False), target)


def _upload(array: Array, device: str) -> Array:
    return _core.to_device(array, int(device[5:]))


copyreg.pickle(DeviceArray, lambda a: (to_device, (a.numpy(), "array", a.device)))  # back to the device of that number


def to_host(array: Array) -> Array:
    """Return an array as a NumPy array; a `DeviceArray` is copied, which waits for the device."""
    return array.numpy() if isinstance(array, DeviceArray) else array


def refuse_pickle(message: str, *classes: type) -> None:
    """Let pickling and copying of native objects raise a TypeError."""

    def refuse(_: object) -> NoReturn:
        raise TypeError(message)

    for cls in classes:
        copyreg.pickle(cls, refuse)


def refuse_grad(value: object, name: str) -> None:
    """Refuse a tensor that requires grad, which only the functions of `diffmpm.torch` support."""
    if getattr(value, "requires_grad", False):
        raise ConfigError(
            f"{name}: the tensor requires grad, and this function would drop it; use diffmpm.torch (rollout, "
            "grid_mass, log_mass, ...), or pass tensor.detach()"
        )


def as_positive(value: float, name: str, *, zero: bool = False) -> float:
    """Return `value` as a finite float > 0, or >= 0 if `zero` is set; refuse any other value."""
    refuse_grad(value, name)
    try:
        if isinstance(value, str | bytes) or np.ndim(value) > 0:
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name}: expected a number, got {value!r}") from None
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ConfigError(f"{name}: expected a finite number {'>= 0' if zero else '> 0'}, got {number:g}")
    return number


def as_points(value: object, name: str, device: str = "cpu") -> Array:
    """Return positions of at least one point, shape (N, 3), whose squares and cubes float64 can represent.

    The extent is not checked on a device: code that divides by it runs on the CPU.

    Raises:
        ConfigError: If shape, dtype, device or values do not fit.
    """
    points = as_array(value, name, (None, 3), device=device)
    if points.shape[0] == 0:
        raise ConfigError(f"{name}: expected at least one point, got shape (0, 3)")
    if isinstance(points, DeviceArray):
        largest = max(map(abs, _core.value_range(points)))
        if largest > LARGEST:
            raise ConfigError(f"{name}: expected coordinates below {LARGEST:g}, got {largest:g}")
        return points
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    largest, extent = float(np.maximum(-low, high).max()), float((high - low).max())
    if largest > LARGEST or 0.0 < extent < SMALLEST:
        raise ConfigError(
            f"{name}: expected coordinates below {LARGEST:g} and a size above {SMALLEST:g}, got {largest:g} and "
            f"{extent:g}; leave out stray points or scale them all"
        )
    return points


def as_triangles(value: object, count: int) -> Array:
    """Return triangles, shape (T, 3), of indices of `count` vertices; refuse anything else."""
    faces = np.asarray(value)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ConfigError(f"triangles: expected integers of shape (T, 3), got {faces.dtype} of shape {faces.shape}")
    if faces.size and not 0 <= faces.min() <= faces.max() < count:
        raise ConfigError(f"triangles: expected indices below {count}, got {faces.min()} to {faces.max()}")
    return faces


def points_on_host(x: object) -> Array:
    """Return the points `x` as a NumPy array; see `as_points`."""
    return as_points(to_host(as_array(x, "x", (None, 3), finite=False, device="any")), "x")


def as_names(value: object, name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple; refuse unknown names."""
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for item in names:
        if not isinstance(item, str) or item not in known:
            raise ConfigError(f"{name}: expected names from {', '.join(known)}, got {item!r}")
    return names


def ndim(value: object, name: str) -> int:
    """Return the number of axes of an array; refuse anything else."""
    return _to_host_or_device(value, name, "any").ndim


def _to_host_or_device(value: object, name: str, device: str) -> Array:
    """Return a NumPy array or, if `device` allows it, a `DeviceArray`, without a copy."""
    if not (isinstance(value, DeviceArray) or _dlpack_device_type(value) == _DLPACK_CUDA):
        if device not in ("cpu", "any"):
            raise ConfigError(
                f"{name}: expected an array on the device, as the others are, got {type(value).__name__} on the CPU; "
                "upload it with diffmpm.to_device"
            )
        return _to_numpy(value, name)
    if device == "cpu":
        raise ConfigError(f"{name}: expected a CPU array, got one on another device; copy it to the CPU first")
    array = value if isinstance(value, DeviceArray) else _from_dlpack(value, name)
    if device not in ("any", array.device):
        raise ConfigError(
            f"{name}: expected an array on {device}, as the others are, got one on {array.device}; move it with "
            f"diffmpm.to_device(..., device='{device}')"
        )
    return array


def _from_dlpack(value: object, name: str) -> Any:
    refuse_grad(value, name)
    try:
        return _core.from_dlpack(value)
    except (TypeError, BufferError) as error:
        raise ConfigError(f"{name}: expected a C-contiguous float array on a device: {error}") from None


def _dlpack_device_type(value: object) -> int:
    """Return the DLPack device type of another library's array; 0 for other objects."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return 0
    try:
        return int(value.__dlpack_device__()[0])
    except Exception:
        return 0


def _to_numpy(value: object, name: str) -> Array:
    if isinstance(value, np.ndarray):
        if np.ma.is_masked(value):
            raise ConfigError(f"{name}: expected an array without masked values; fill or remove them")
        return np.asarray(value)
    refuse_grad(value, name)
    try:
        if not hasattr(value, "__dlpack__"):
            return np.asarray(value)
        if getattr(value, "__dlpack_device__", lambda: (1, 0))()[0] == 1:
            return np.from_dlpack(value)
    except Exception as error:
        raise ConfigError(f"{name}: expected an array, got {type(value).__name__}: {error}") from None
    raise ConfigError(f"{name}: expected a CPU array, got one on another device; copy it to the CPU first")


def shape_text(shape: Iterable[int | None]) -> str:
    """Return a shape as messages show it."""
    names = ["N" if s is None else str(s) for s in shape]
    return "(" + ", ".join(names) + ("," if len(names) == 1 else "") + ")"


def _remedy(array: Array, shape: Sequence[int | None], name: str) -> str:
    if array.ndim == 2 and len(shape) == 2 and array.shape[0] == shape[1] and array.shape[1] != shape[1]:
        return f"; pass {name}.T.copy()"
    return ""
