# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""How objects show themselves: short `repr` texts, and pictures in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T", bound=type)

LONGEST = 290
"""Most characters of a text."""
_LONGEST_VALUE = 60
"""Most characters of one value."""
_PLAIN = (bool, int, float, str, type(None))


def short_repr(cls: T) -> T:
    """Give a class a short `repr`, with the fields of a dataclass that differ from their defaults.

    A class variable `_shown` names the attributes of another class. Apply the decorator after `dataclass`.
    """
    cls.__repr__ = _repr  # type: ignore[assignment]
    return cls


def pictured(draw: str) -> Callable[[T], T]:
    """Give a class a picture in notebooks, drawn by the function of `diffmpm.view.notebook` with this name."""

    def decorate(cls: T) -> T:
        def _repr_png_(self: Any) -> bytes | None:
            from .view import notebook

            return notebook.encoded(getattr(notebook, draw), self)

        cls._repr_png_ = _repr_png_  # type: ignore[attr-defined]
        return cls

    return decorate


def _repr(self: Any) -> str:
    parts = []
    for name, value, default in _attributes(self):
        if isinstance(value, (*_PLAIN, tuple)) and type(value) is type(default) and value == default:
            continue
        parts.append(f"{name}={_value(value)}")
    name = type(self).__name__
    return f"{name}({_cut(', '.join(parts), LONGEST - len(name) - 2)})"


def _attributes(self: Any) -> list[tuple[str, Any, Any]]:
    """Return name, value and default of the attributes to show."""
    names = getattr(type(self), "_shown", None) or getattr(type(self), "_fields", None)
    if names is not None:
        return [(name, getattr(self, name), MISSING) for name in names]
    if is_dataclass(self):
        return [(f.name, getattr(self, f.name), f.default) for f in fields(self) if f.repr and f.name[0] != "_"]
    return [(name, value, MISSING) for name, value in vars(self).items() if name[0] != "_"]


def _value(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape and dtype is not None:
        return f"<{str(dtype).removeprefix('torch.')} {tuple(shape)}>"
    if isinstance(value, Mapping) and not _is_plain(value.values()):
        return f"<{len(value)} entries>"
    if isinstance(value, tuple | list) and not _is_plain(value):
        return f"<{len(value)} {type(value[0]).__name__}>"
    text = repr(value)
    if isinstance(value, str) or len(text) <= _LONGEST_VALUE:
        return _cut(text, _LONGEST_VALUE)
    if isinstance(value, tuple | list | Mapping):
        return f"<{len(value)} entries>"
    return f"{type(value).__name__}(...)"


def _is_plain(values: Any) -> bool:
    return all(isinstance(value, _PLAIN) for value in values)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
