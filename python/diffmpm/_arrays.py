# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Check and convert arrays: the only place that does."""

from __future__ import annotations

import copyreg
import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from . import _core
from ._core import DeviceArray as DeviceArray
from ._options import LARGEST, SMALLEST
from .errors import ConfigError, DeviceError

Array = npt.NDArray[Any]
"""NumPy array; where a function takes arrays on a device, also `DeviceArray`, which has what is used of it."""


class SupportsDLPack(Protocol):
    """An array of another library, such as PyTorch, JAX or CuPy."""

    def __dlpack__(self, *, stream: Any = ...) -> Any:
        """Return a capsule with the array."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Return the device, as DLPack numbers it."""


ArrayLike = npt.ArrayLike | SupportsDLPack
"""What a function takes as an array: NumPy, `DeviceArray`, anything with DLPack or a buffer, or nested sequences."""
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_CUDA = 2
"""A CUDA device, as DLPack numbers it."""
ALIGNMENT = 64
"""Bytes; memory on such an address reaches JAX without a copy. The core allocates so, and so does `aligned`."""


def as_array(
    value: object,
    name: str,
    shape: Sequence[int | None],
    dtype: npt.DTypeLike | None = None,
    finite: bool = True,
    device: str = "cpu",
) -> Array:
    """Return `value` as a C-contiguous float array; no copy where it already is one.

    Args:
        value: Anything with DLPack or the buffer protocol, or a nested sequence; of any layout and byte order.
        name: Argument name for messages.
        shape: Expected shape; None stands for any size.
        dtype: float32 or float64. None keeps the dtype of a float array and takes float64 for lists and integers.
        finite: Whether NaN and infinity are refused.
        device: Where it has to be: "cpu", "cuda:N" or "any".

    Raises:
        ConfigError: If kind, shape, dtype or values do not fit, or it is on another device.
    """
    array = _to_host_or_device(value, name, device)
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"{name}: expected numbers, got dtype {array.dtype}; pass float32 or float64")
    given = array.dtype.newbyteorder("=")
    wanted = np.dtype(dtype) if dtype is not None else (given if given in FLOATS else FLOATS[1])
    if wanted not in FLOATS:
        raise ConfigError(f"{name}: expected float32 or float64, got {wanted}")
    typed = not isinstance(value, list | tuple)  # plain numbers have no dtype to differ
    if dtype is not None and typed and given in FLOATS and given != wanted:
        raise ConfigError(f"{name}: expected {wanted}, got {given}; convert it with .astype('{wanted}')")
    if len(array.shape) != len(shape) or any(w is not None and w != g for w, g in zip(shape, array.shape, strict=True)):
        raise ConfigError(
            f"{name}: expected shape {_shape_text(shape)}, got {array.shape}{_remedy(array, shape, name)}"
        )
    if isinstance(array, DeviceArray):
        if finite and not all_finite(array):
            raise ConfigError(f"{name}: expected finite values, got NaN or infinity")
        return array
    if array.dtype != wanted or not (array.flags.c_contiguous and array.flags.aligned):
        array = aligned(array, wanted)
    if finite and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        raise ConfigError(
            f"{name}: expected finite values, got {array[tuple(where)]} at index {tuple(map(int, where))}"
        )
    return array


def aligned(array: Array, dtype: npt.DTypeLike | None = None) -> Array:
    """Return a C-contiguous copy of an array, in `dtype`, on an address that every framework takes without a copy."""
    kind = np.dtype(dtype if dtype is not None else array.dtype)
    memory = np.empty(array.size * kind.itemsize + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    out = memory[start : start + array.size * kind.itemsize].view(kind).reshape(array.shape)
    with np.errstate(over="ignore"):  # infinity is for the caller to judge
        out[...] = array
    return out


def dot(a: Array, b: Array) -> float:
    """Return the sum of the products of two arrays of one shape, summed in float64.

    The same for any number of threads, which that of a BLAS (numpy.dot, numpy.vdot) is not.
    """
    if isinstance(a, DeviceArray):
        return _core.dot(a, b)
    return float(np.sum(a * b, dtype=np.float64))


def peak(a: Array) -> float:
    """Return the largest absolute value, 0 without any, NaN where one is."""
    return _core.peak(a) if isinstance(a, DeviceArray) else float(np.max(np.abs(a), initial=0.0))


def all_finite(a: Array) -> bool:
    """Say whether no value is NaN or infinite."""
    return _core.count_not_finite(a) == 0 if isinstance(a, DeviceArray) else bool(np.isfinite(a).all())


def count_inverted(F: Array) -> int:
    """Return how many matrices of shape (N, 3, 3) have a determinant that is not above 0."""
    if isinstance(F, DeviceArray):
        return int(_core.count_inverted(F))
    return int(np.count_nonzero(~(determinants(F) > 0.0)))


def determinants(F: Array) -> Array:
    """Return the determinant of each 3x3 matrix of a NumPy array, shape (N,), float64."""
    a, b, c = (np.asarray(F[:, k], np.float64) for k in range(3))
    det: Array = np.einsum("pi,pi->p", a, np.cross(b, c))
    return det


def zeros_like(a: Array) -> Array:
    """Return zeros of the shape, dtype and device of an array."""
    return _core.zeros_like(a) if isinstance(a, DeviceArray) else np.zeros_like(a)


def device_of(a: object) -> str:
    """Return where an array is: "cpu" or "cuda:N"."""
    return a.device if isinstance(a, DeviceArray) else "cpu"


def check_device_name(name: object, *, auto: bool = False) -> str:
    """Return the name of a device: "cpu", "cuda", "cuda:N" or, where allowed, "auto".

    Raises:
        ConfigError: If it is none of them.
    """
    if name in ("cpu", "cuda") or (auto and name == "auto"):
        return str(name)
    if not (isinstance(name, str) and re.fullmatch(r"cuda:\d{1,4}", name)):
        raise ConfigError(f"device: expected cpu, cuda, cuda:N{' or auto' if auto else ''}, got {name!r}")
    return name


def chosen_device(name: str) -> str:
    """Return the device, "cpu" or "cuda:N", that a name stands for.

    Args:
        name: "cpu", "cuda:N", "cuda" for the current CUDA device, or "auto" for that where there is one.

    Raises:
        ConfigError: If it is no such name.
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


def place(array: Array, device: str) -> Array:
    """Return an array on a device; a copy if it is elsewhere."""
    return to_host(array) if device == "cpu" else to_device(array, device=device)


def append(a: Array, b: Array) -> Array:
    """Return two arrays of one device one after the other along the first axis."""
    return _core.append(a, b) if isinstance(a, DeviceArray) else np.concatenate([a, b])


def frozen(array: Array) -> Array:
    """Return a NumPy array that nobody can write into: itself if it is read-only, else a copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


class Kept:
    """Arrays of the caller that an adjoint reads again, and how to tell whether they were changed in between.

    Arrays on a device are not looked at, which would wait for it.

    Args:
        whose: What was computed from them, for messages.
        **arrays: The arrays by the names of the arguments; None where there is none.
    """

    def __init__(self, whose: str, **arrays: Array | None) -> None:
        self._whose = whose
        self._arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
        self._marks = {name: _core.fingerprint(array) for name, array in self._arrays.items()}

    def check(self) -> None:
        """Refuse arrays with other values than at first.

        Raises:
            ConfigError: If there are some.
        """
        for name, array in self._arrays.items():
            if _core.fingerprint(array) != self._marks[name]:
                raise ConfigError(
                    f"{name}: expected the values that the {self._whose} were computed from, got others; call vjp "
                    "before writing into the array, or pass a copy of it"
                )


class Rows:
    """Rows of arrays along their first axis, none of them twice; copied to a device where they are first used.

    Args:
        indices: Whole numbers, shape (R,).
    """

    def __init__(self, indices: Array) -> None:
        self.indices = indices
        self._there: dict[int, Any] = {}  # by the number of the device

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, a: Array) -> Array:
        """Return these rows of an array."""
        return _core.take_rows(a, self._uploaded(a)) if isinstance(a, DeviceArray) else a[self.indices]

    def add(self, a: Array, values: Array) -> None:
        """Add to these rows of an array."""
        if isinstance(a, DeviceArray):
            _core.add_rows(a, self._uploaded(a), values)
        else:
            a[self.indices] += values

    def _uploaded(self, a: DeviceArray) -> Any:
        device = a.device_index
        if device not in self._there:
            self._there[device] = _core.upload_rows(np.ascontiguousarray(self.indices, dtype=np.int32), device)
        return self._there[device]


class Constant:
    """An array that is copied to a device once.

    Args:
        array: NumPy array.
    """

    def __init__(self, array: Array) -> None:
        self._copies = {"cpu": array}

    def on(self, device: str) -> Array:
        """Return the array on a device."""
        if device not in self._copies:
            self._copies[device] = place(self._copies["cpu"], device)
        return self._copies[device]


def to_device(value: object, name: str = "array", device: str = "cuda") -> Array:
    """Copy an array into the memory of a CUDA device; one that is there already is returned.

    Args:
        value: Array, float32 or float64. From one device to another it goes through the CPU.
        name: Argument name for messages.
        device: "cuda:N", or "cuda" for the device that is current in this thread.

    Raises:
        ConfigError: If it is no array of numbers, or the name that of no device.
        DeviceError: If there is no such device.
        MemoryError: If the memory of the device is full.
    """
    array = _to_host_or_device(value, name, "any")
    target = chosen_device(device)
    if target == "cpu":
        raise ConfigError("device: expected a CUDA device, got cpu; use to_host, or array.numpy()")
    if isinstance(array, DeviceArray):
        if array.device == target:
            return array
        array = array.numpy()
    return _core.to_device(as_array(array, name, (None,) * array.ndim, finite=False), int(target[5:]))


copyreg.pickle(DeviceArray, lambda a: (to_device, (a.numpy(), "array", a.device)))  # onto the device of that number


def to_host(array: Array) -> Array:
    """Return an array as a NumPy array; one on a device is copied, which waits for the device."""
    return array.numpy() if isinstance(array, DeviceArray) else array


def refuse_grad(value: object, name: str) -> None:
    """Refuse a tensor that requires grad, which only the functions of `diffmpm.torch` carry on.

    Raises:
        ConfigError: If it does.
    """
    if getattr(value, "requires_grad", False):
        raise ConfigError(
            f"{name}: the tensor requires grad, and this function would drop it; use diffmpm.torch (rollout, "
            "grid_mass, log_mass, ...), or pass tensor.detach()"
        )


def as_positive(value: float, name: str, *, zero: bool = False) -> float:
    """Return `value` as a float that is finite and above zero (or at least zero).

    Raises:
        ConfigError: If it is not.
    """
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
    """Return positions of at least one point, shape (N, 3), of a size that float64 can square and cube.

    On a device the largest coordinate is checked, and not the extent: what divides by it runs on the CPU.

    Raises:
        ConfigError: If kind, shape, dtype or values do not fit.
    """
    points = as_array(value, name, (None, 3), device=device)
    if points.shape[0] == 0:
        raise ConfigError(f"{name}: expected at least one point, got shape (0, 3)")
    if isinstance(points, DeviceArray):
        if peak(points) > LARGEST:
            raise ConfigError(f"{name}: expected coordinates below {LARGEST:g}, got {peak(points):g}")
        return points
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    largest, extent = float(np.maximum(-low, high).max()), float((high - low).max())
    if largest > LARGEST or 0.0 < extent < SMALLEST:
        raise ConfigError(
            f"{name}: expected coordinates below {LARGEST:g} and a size above {SMALLEST:g}, got {largest:g} and "
            f"{extent:g}; leave out stray points or scale them all"
        )
    return points


def as_names(value: object, name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple.

    Raises:
        ConfigError: If one of them is unknown.
    """
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for item in names:
        if not isinstance(item, str) or item not in known:
            raise ConfigError(f"{name}: expected names from {', '.join(known)}, got {item!r}")
    return names


def axes(value: object, name: str) -> int:
    """Return the number of axes of an array.

    Raises:
        ConfigError: If it is none.
    """
    return _to_host_or_device(value, name, "any").ndim


def _to_host_or_device(value: object, name: str, device: str) -> Array:
    """Return a NumPy array or, where `device` allows one, a DeviceArray; neither is a copy of what is there already."""
    on_device = isinstance(value, DeviceArray) or _dlpack_kind(value) == _CUDA
    if not on_device:
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


def _dlpack_kind(value: object) -> int:
    """Return the kind of device, as DLPack numbers it, of an array of another library; 0 if it has none."""
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


def _shape_text(shape: Sequence[int | None]) -> str:
    names = ["N" if s is None else str(s) for s in shape]
    return "(" + ", ".join(names) + ("," if len(names) == 1 else "") + ")"


def _remedy(array: Array, shape: Sequence[int | None], name: str) -> str:
    if array.ndim == 2 and len(shape) == 2 and array.shape[0] == shape[1] and array.shape[1] != shape[1]:
        return f"; pass {name}.T.copy()"
    return ""
