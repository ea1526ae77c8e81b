# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Renamed public names: the old ones work for one more minor version, with a `DeprecationWarning`."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Target = TypeVar("Target", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type[Any])


def renamed_arguments(**renamed: str) -> Callable[[Target], Target]:
    """Let a function, or the constructor of a class, also accept old names of arguments: old="new"."""

    def decorate(target: Target) -> Target:
        if isinstance(target, type):
            target.__init__ = decorate(target.__init__)  # type: ignore[misc]
            return target

        @functools.wraps(target)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, new in renamed.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{new}: expected one value, got another one as {old}")
                    _warn(old, new)
                    kwargs[new] = kwargs.pop(old)
            return target(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_attributes(**renamed: str) -> Callable[[Class], Class]:
    """Let the instances of a class also have old names of attributes: old="new"."""

    def decorate(cls: Class) -> Class:
        for old, new in renamed.items():
            setattr(cls, old, property(functools.partial(_read, old=old, new=new), doc=f"Deprecated; use `{new}`."))
        return cls

    return decorate


def renamed_names(module: str, **renamed: str) -> Callable[..., Any]:
    """Return the `__getattr__` of a module that also has old names: old="new"."""

    def get(name: str, stacklevel: int = 3) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", renamed[name], stacklevel)
        return getattr(sys.modules[module], renamed[name])

    return get


def _read(instance: object, *, old: str, new: str) -> Any:
    _warn(f"{type(instance).__name__}.{old}", new)
    return getattr(instance, new)


def _warn(old: str, new: str, stacklevel: int = 3) -> None:
    warnings.warn(
        f"{old} is deprecated and will be removed in the next minor version; use {new}",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
