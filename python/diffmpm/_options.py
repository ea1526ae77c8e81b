# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration classes, whose options are described once: default, range, unit and documentation.

The checks here refuse invalid values by a ConfigError.
"""

from __future__ import annotations

import difflib
import functools
import math
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ._repr import short_repr
from .errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        return lambda cls: cls


SMALLEST, LARGEST = 1e-30, 1e30
"""Magnitudes of numbers other than 0; products of a few beyond them leave the range of float64."""


@dataclass(frozen=True)
class Range:
    """Interval of numbers."""

    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None

    def __contains__(self, value: float | np.integer[Any] | np.floating[Any]) -> bool:
        return bool(
            (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {_plain(self.most)}"
        limits = {">": self.above, ">=": self.least, "<": self.below, "<=": self.most}
        return " and ".join(f"{sign} {_plain(limit)}" for sign, limit in limits.items() if limit is not None)

    def schema(self) -> dict[str, float]:
        """Return the keywords of JSON Schema."""
        keywords = {"above": "exclusiveMinimum", "least": "minimum", "below": "exclusiveMaximum", "most": "maximum"}
        return {keyword: vars(self)[name] for name, keyword in keywords.items() if vars(self)[name] is not None}


ANY = Range()
_RAISES = """
    Raises:
        ConfigError: If a value is outside its range; the message names the field.
"""


@dataclass(frozen=True)
class _Option:
    doc: str
    unit: str
    range: Range
    check: Callable[[Any, str], Any] | None
    schema: Mapping[str, Any]
    group: str


def option(
    *,
    default: Any = MISSING,
    doc: str,
    unit: str = "",
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    check: Callable[[Any, str], Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    group: str = "",
) -> Any:
    """Describe one field of a configuration class.

    Accepted types are bool, int, float, str, Literal, a tuple of three numbers, a configuration class, and each of
    these or None.

    Args:
        default: Default value; a field without one is required.
        doc: Effect of the option, in one or two sentences.
        unit: Unit, empty for pure numbers.
        above: Exclusive lower bound.
        least: Smallest value.
        below: Exclusive upper bound.
        most: Largest value.
        check: For other types: function of value and name that returns the value to store or raises a `ConfigError`.
        schema: JSON Schema of such a type.
        group: Heading of this option and the following ones.
    """
    described = _Option(doc, unit, Range(above, least, below, most), check, schema or {}, group)
    return field(default=default, metadata={"option": described})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class Configuration:
    """Base of the configuration classes: frozen dataclasses with checked fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    magnitudes: ClassVar[tuple[float, float]] = (SMALLEST, LARGEST)
    """Smallest and largest magnitude of numbers other than 0."""

    def __init_subclass__(cls, *, kw_only: bool = True) -> None:
        short_repr(dataclass(frozen=True, kw_only=kw_only)(cls))
        cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n{_attributes(cls)}" + (
            "" if "Raises:" in (cls.__doc__ or "") else _RAISES
        )

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for entry in fields(self):
            value = _checked(getattr(self, entry.name), entry, hints[entry.name], self.magnitudes)
            object.__setattr__(self, entry.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields replaced, all checked again.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        refuse_unknown(changes, known, f"a field of {type(self).__name__}")
        return type(self)(**{**known, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types; `from_dict` is the inverse."""
        return {entry.name: _plain_value(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration with these fields, as `to_dict` or a file writes them.

        Raises:
            ConfigError: If a name is unknown, a required field is missing, or a value is out of range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__}: expected a table of options, got {type(values).__name__}")
        entries = {entry.name: entry for entry in fields(cls)}
        refuse_unknown(values, entries, f"a field of {cls.__name__}")
        missing = [n for n, e in entries.items() if e.default is MISSING and n not in values]
        if missing:
            raise ConfigError(f"{missing[0]}: expected a value, got none; {cls.__name__} has no default for it")
        hints = _hints(cls)
        return cls(**{name: _nested(value, hints[name]) for name, value in values.items()})

    @classmethod
    def option_text(cls) -> str:
        """Return the options as text, by group, as the command line lists them."""
        lines: list[str] = []
        for group, options in _grouped(cls):
            lines += [f"{group} options:".lstrip()] if not lines else ["", f"{group} options:"]
            for entry, text in options:
                default = "" if entry.default is MISSING else f" (default {_plain_value(entry.default)})"
                lines.append(f"  {entry.name:<17} ".ljust(20) + "\n".ljust(21).join(textwrap.wrap(text + default, 80)))
        return "\n".join(lines)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of `to_dict`."""
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **object_schema(cls)}


def as_number(
    value: object,
    name: str,
    within: Range = ANY,
    magnitudes: tuple[float, float] = (0.0, math.inf),
) -> float:
    """Return a finite number in a range as a float; refuse anything else."""
    if not is_real(value) or not math.isfinite(value) or value not in within:
        raise ConfigError(f"{name}: expected {f'a finite number {within}'.rstrip()}, got {_shown(value)}")
    if value != 0 and not magnitudes[0] <= abs(value) <= magnitudes[1]:
        raise ConfigError(f"{name}: expected a magnitude from {magnitudes[0]:g} to {magnitudes[1]:g}, got {value!r}")
    return float(value)


def as_integer(value: object, name: str, within: Range = ANY) -> int:
    """Return an integer in a range as an int; refuse anything else, such as 2.0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value not in within:
        raise ConfigError(f"{name}: expected {f'an integer {within}'.rstrip()}, got {_shown(value)}")
    return int(value)


def as_time_step(layer: object, steps: int, name: str = "layer") -> int:
    """Return a time step from 0 to `steps`; negative numbers count from the end."""
    integer = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
    n = int(layer) + (steps + 1 if layer < 0 else 0) if integer else -1  # type: ignore[call-overload, operator]
    if not 0 <= n <= steps:
        raise ConfigError(f"{name}: expected one of -{steps + 1} to {steps}, got {layer}")
    return n


def as_seed(value: object) -> int:
    """Return the seed of a random generator, an integer from 0 to 2^64 - 1; refuse anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 1 << 64:
        raise ConfigError(f"seed: expected an integer from 0 to 2^64 - 1, got {value!r}")
    return int(value)


def as_triple(value: object, name: str, largest: float = LARGEST) -> tuple[float, float, float]:
    """Return three finite numbers up to a magnitude; refuse anything else."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name}: expected three numbers, got {value!r}") from None
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ConfigError(f"{name}: expected three finite numbers, got {value!r}")
    if np.abs(array).max() > largest:
        raise ConfigError(f"{name}: expected magnitudes up to {largest:g}, got {value!r}")
    return float(array[0]), float(array[1]), float(array[2])


def is_real(value: object) -> typing.TypeGuard[float]:
    """Return whether a value is a real number in the range of float64, NaN or infinity, but not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def choice(value: object, name: str, choices: Iterable[str]) -> str:
    """Return the value; refuse it unless it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise a ConfigError with the first unknown name, and the nearest known name or all of them."""
    known = sorted(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            if near:
                raise ConfigError(f"{name}: expected {what}; did you mean {near[0]}?")
            raise ConfigError(f"{name}: expected {what}, one of {', '.join(known)}")


def _hints(cls: type) -> dict[str, Any]:
    return _resolved(typing.cast(Any, cls))


_resolved = functools.cache(typing.get_type_hints)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether it was optional."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        if len(members) == 1:
            return members[0], True
    return hint, False


def _checked(value: Any, entry: Field[Any], hint: Any, magnitudes: tuple[float, float]) -> Any:
    """Return the checked value of a field, converted to its type."""
    name, described = entry.name, entry.metadata["option"]
    hint, optional = _without_none(hint)
    if value is None and optional:
        return None
    if described.check is not None:
        return described.check(value, name)
    if hint is float:
        return as_number(value, name, described.range, magnitudes)
    if hint is int:
        return as_integer(value, name, described.range)
    if hint is bool:
        if not isinstance(value, bool | np.bool_):
            raise ConfigError(f"{name}: expected True or False, got {value!r}")
        return bool(value)
    if typing.get_origin(hint) is Literal:
        return choice(value, name, typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return as_triple(value, name, magnitudes[1])
    if not isinstance(value, hint):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {type(value).__name__}")
    return value


def _nested(value: Any, hint: Any) -> Any:
    """Return a table of options as a configuration if that is the type."""
    hint, _ = _without_none(hint)
    is_table = isinstance(hint, type) and issubclass(hint, Configuration) and isinstance(value, Mapping)
    return hint.from_dict(value) if is_table else value


def _plain_value(value: Any) -> Any:
    if isinstance(value, Configuration):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    return value


def object_schema(cls: type[Configuration]) -> dict[str, Any]:
    """Return the JSON Schema of a configuration within another one."""
    hints = _hints(cls)
    entries: tuple[Field[Any], ...] = fields(cls)
    properties: dict[str, Any] = {}
    group = ""
    for entry in entries:
        group = entry.metadata["option"].group or group
        properties[entry.name] = _field_schema(entry, hints[entry.name]) | ({"group": group} if group else {})
    return {
        "title": cls.__name__,
        "type": "object",
        "properties": properties,
        "required": [entry.name for entry in entries if entry.default is MISSING],
        "additionalProperties": False,
    }


def _field_schema(entry: Field[Any], hint: Any) -> dict[str, Any]:
    described = entry.metadata["option"]
    hint, optional = _without_none(hint)
    schema: dict[str, Any]
    if described.schema:
        schema = dict(described.schema)
    elif typing.get_origin(hint) is Literal:
        schema = {"enum": list(typing.get_args(hint))}
    elif typing.get_origin(hint) is tuple:
        schema = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
    elif issubclass(hint, Configuration):
        schema = object_schema(hint)
    else:
        name = {bool: "boolean", int: "integer", float: "number", str: "string"}[hint]
        schema = {"type": name, **described.range.schema()}
    schema = {"anyOf": [schema, {"type": "null"}]} if optional else schema
    schema["description"] = described.doc
    if described.unit:
        schema["unit"] = described.unit
    if entry.default is not MISSING:
        schema["default"] = _plain_value(entry.default)
    return schema


def _grouped(cls: type[Configuration]) -> list[tuple[str, list[tuple[Field[Any], str]]]]:
    """Return the groups of options; each option with its documentation, unit, range and choices."""
    groups: list[tuple[str, list[tuple[Field[Any], str]]]] = []
    for entry in fields(cls):
        described: _Option = entry.metadata["option"]
        if described.group or not groups:
            groups.append((described.group, []))
        hint, _ = _without_none(_hints(cls)[entry.name])
        choices = f"one of {', '.join(typing.get_args(hint))}" if typing.get_origin(hint) is Literal else ""
        notes = ", ".join(filter(None, (described.unit, str(described.range), choices)))
        groups[-1][1].append((entry, described.doc + (f" [{notes}]" if notes else "")))
    return groups


def _attributes(cls: type[Configuration]) -> str:
    """Return the sections of the docstring that list the options."""
    lines = []
    for group, options in _grouped(cls):
        lines += ["", f"    {group.capitalize()} options:"] if group else []
        lines += ["", "    Attributes:", *(f"        {entry.name}: {text}" for entry, text in options)]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"


def _plain(limit: float) -> str:
    return f"{int(limit)}" if float(limit).is_integer() and abs(limit) < 1e15 else f"{limit:g}"
