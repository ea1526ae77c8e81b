# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration files that describe a whole morph."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._files import read_file
from .._options import Configuration, choice, option, refuse_unknown
from ..errors import ConfigError
from ..export import FORMATS
from ..geometry import shapes
from ..view.config import RenderConfig
from ..view.film import FORMATS as FILM_FORMATS
from ..view.timeline import Timeline
from .config import PRESETS, MorphConfig, preset
from .guidance import RenderGuidance


def _shapes(value: object, name: str) -> tuple[str, ...]:
    """Return a list of shapes; refuse anything else."""
    if not isinstance(value, list | tuple) or not all(isinstance(shape, str) for shape in value):
        raise ConfigError(f"{name}: expected a list of mesh files or built-in shapes, got {value!r}")
    return tuple(value)


def _outputs(value: object, name: str) -> tuple[str, ...]:
    """Return a list of formats of films and exports; refuse anything else."""
    names = value if isinstance(value, list | tuple) else (value,)
    return tuple(choice(item, name, (*FILM_FORMATS, *FORMATS)) for item in names)


class MorphRun(Configuration):
    """A morph and the shot that shows it: content of a shot file, and of `config.json` in the folder of a morph.

    `diffmpm morph --config` repeats the morph bit for bit.
    """

    source: str | None = option(default=None, doc="Path of the source, or name of a built-in shape. None: arrays.")
    via: tuple[str, ...] = option(
        default=(),
        doc="Shapes between source and target, likewise, which the body takes one after the other.",
        check=_shapes,
        schema={"type": "array", "items": {"type": "string"}},
    )
    target: str | None = option(default=None, doc="Path of the target, or name of a built-in shape. None: arrays.")
    loop: bool = option(default=False, doc="Whether the body returns from the target to the source.")
    morph: MorphConfig = option(default=MorphConfig(), doc="Options of the morph.")
    guidance: RenderGuidance | None = option(default=None, doc="Guidance by images. None: no guidance.")
    image: RenderConfig | None = option(
        default=None, doc="Appearance and camera of films, images and exports. None: the defaults of each command."
    )
    timeline: Timeline | None = option(
        default=None, doc="Timeline of films and exports. None: the defaults of each command."
    )
    outputs: tuple[str, ...] = option(
        default=(),
        doc='Films and exports that `diffmpm morph` writes after the morph: "png", "gif", "webp", "mp4", or formats of '
        "`diffmpm export`.",
        check=_outputs,
        schema={"type": "array", "items": {"enum": [*FILM_FORMATS, *FORMATS]}},
    )
    complete: bool = option(
        default=True, doc="Whether the file describes the whole morph: no arrays, images or losses passed in Python."
    )

    @property
    def shapes(self) -> tuple[str | None, ...]:
        """All shapes from the first to the last, which is the first one again in a loop."""
        return (self.source, *self.via, self.target, *([self.source] if self.loop else []))

    @classmethod
    def describe(
        cls,
        shapes: Sequence[object],
        config: MorphConfig,
        guidance: RenderGuidance | None = None,
        *,
        loop: bool = False,
    ) -> MorphRun:
        """Return the arguments of `diffmpm.morph` or `diffmpm.morph_chain` that a file can hold."""
        names = [_name(shape) for shape in shapes]
        storable = guidance is None or (guidance.views is None and guidance.losses is None)
        known = None not in names
        if len(names) > 2 and not known:  # a chain is known as a whole or not at all
            names = [None, None]
        return cls(
            source=names[0],
            via=tuple(name for name in names[1:-1] if name is not None),
            target=names[-1],
            loop=loop,
            morph=config,
            guidance=guidance if storable else None,
            complete=known and storable,
        )


def read_run(path: str | os.PathLike[str]) -> MorphRun:
    """Read a configuration or shot file, .json or .toml.

    Its keys are the fields of `MorphRun`, and `preset`, which names the preset that `morph` modifies. Paths are
    relative to the file.

    Raises:
        ConfigError: If it cannot be read, a name is unknown or a value is out of range; the message has line and key.
    """
    file = Path(path)
    text, values = _parsed(file)

    def at(*keys: str) -> str:
        return f"config: {file}, line {line_of(text, keys, file.suffix.lower())}: {'.'.join(keys)}"

    tables: dict[str, type[Configuration]] = {
        "morph": MorphConfig,
        "guidance": RenderGuidance,
        "image": RenderConfig,
        "timeline": Timeline,
    }
    with _located(at):
        refuse_unknown(values, [*MorphRun.json_schema()["properties"], "preset"], "a key of a configuration file")
        parts: dict[str, Any] = {name: value for name, value in values.items() if name not in (*tables, "preset")}
        base = preset(choice(values.get("preset", "default"), "preset", PRESETS))
    for name, cls in tables.items():
        table = values.get(name)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise ConfigError(f"{at(name)}: expected a table of options, got {table!r}")
        with _located(at, name):
            parts[name] = base.replace(**table) if cls is MorphConfig else cls.from_dict(table)
    with _located(at):
        run = MorphRun.from_dict({"morph": base, **parts})
    ends = {"source": _resolved(run.source, file), "target": _resolved(run.target, file)}
    via = tuple(str(_resolved(shape, file)) for shape in run.via)
    timeline = run.timeline
    if timeline is not None and timeline.start_sweep is not None and Path(timeline.start_sweep).suffix:
        timeline = timeline.replace(start_sweep=os.path.abspath(file.parent / timeline.start_sweep))
    return run.replace(**ends, via=via, timeline=timeline)


@contextmanager
def _located(at: Callable[..., str], *table: str) -> Iterator[None]:
    """Add line and key to the message of a ConfigError, which begins with the key."""
    try:
        yield
    except ConfigError as error:
        key, _, message = str(error).partition(":")
        raise ConfigError(f"{at(*table, key)}:{message}") from None


def line_of(text: str, keys: Sequence[str], suffix: str) -> int:
    """Return the line of a key in a TOML or JSON text, counted from 1; that of its table if it is not found."""
    lines, first = text.splitlines(), 0
    for depth, key in enumerate(keys):
        name = re.escape(key)
        patterns = [rf'\s*"{name}"\s*:'] if suffix == ".json" else [rf"\s*[\"']?{name}[\"']?\s*[=.]"]
        if suffix == ".toml":
            path = r"\s*\.\s*".join(re.escape(part) for part in keys[: depth + 1])
            patterns.insert(0, rf"\s*\[+\s*{path}\s*\]+")
        for pattern in patterns:
            match = next((n for n in range(first, len(lines)) if re.match(pattern, lines[n])), None)
            if match is None and suffix == ".json":
                match = next((n for n in range(first, len(lines)) if re.search(rf'"{name}"\s*:', lines[n])), None)
            if match is not None:
                first = match
                break
    return first + 1


def _parsed(file: Path) -> tuple[str, dict[str, Any]]:
    suffix = file.suffix.lower()
    if suffix not in (".json", ".toml"):
        raise ConfigError(f"config: expected a file ending in .json or .toml, got {str(file)!r}")
    try:
        text = read_file(file).decode("utf-8")
        values = json.loads(text) if suffix == ".json" else _toml(text)
    except (OSError, ValueError, RecursionError) as error:  # TOML errors are ValueErrors
        raise ConfigError(f"config: expected a readable {suffix} file, got {str(file)!r}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"config: expected a table in {str(file)!r}, got {type(values).__name__}")
    return text, values


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    return tomllib.loads(text)


def _name(shape: object) -> str | None:
    """Return the name or the absolute path of a shape, None for arrays."""
    if isinstance(shape, str) and shape in shapes.names():
        return shape
    return os.path.abspath(os.fsdecode(shape)) if isinstance(shape, str | os.PathLike) else None


def _resolved(shape: str | None, file: Path) -> str | None:
    """Return a shape with its path relative to the file resolved."""
    return shape if shape is None or shape in shapes.names() else str(file.parent / shape)
