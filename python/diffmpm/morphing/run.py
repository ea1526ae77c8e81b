# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""All that a morph is made from, in one file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .._files import read_file
from .._options import Configuration, option, refuse_unknown
from ..errors import ConfigError
from ..geometry import MeshLike, shapes
from .config import MorphConfig, preset
from .guidance import RenderGuidance


class MorphRun(Configuration):
    """What `config.json` of a morph's folder holds. `diffmpm morph --config` repeats it bit for bit.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    source: str | None = option(default=None, doc="Path of the source, or name of a built-in shape. None: arrays.")
    target: str | None = option(default=None, doc="Path of the target, or name of a built-in shape. None: arrays.")
    morph: MorphConfig = option(default=MorphConfig(), doc="Options of the morph.")
    guidance: RenderGuidance | None = option(default=None, doc="Guidance by images. None: without.")
    complete: bool = option(
        default=True, doc="Whether this is all: not where arrays, images or losses were passed in Python."
    )

    @classmethod
    def describe(
        cls, source: MeshLike, target: object, config: MorphConfig, guidance: RenderGuidance | None
    ) -> MorphRun:
        """Return what a file can hold of the arguments of `diffmpm.morph`."""
        begin, end = _text(source), _text(target)
        written = guidance is None or (guidance.views is None and guidance.losses is None)
        complete = begin is not None and end is not None and written
        return cls(source=begin, target=end, morph=config, guidance=guidance if written else None, complete=complete)


def read_run(path: str | os.PathLike[str]) -> MorphRun:
    """Read a configuration file, .json or .toml.

    Its keys are the fields of `MorphRun`, and `preset`, which names the options that `morph` starts from. Paths are
    relative to the file.

    Raises:
        ConfigError: If it cannot be read, a name is unknown or a value is out of range.
    """
    place = Path(path)
    values = _parsed(place)
    named = values.pop("preset", "default")
    refuse_unknown(values, MorphRun.json_schema()["properties"], "a key of a configuration file")
    options = values.pop("morph", {})
    if not isinstance(options, dict):
        raise ConfigError(f"morph: expected a table of options, got {options!r}")
    run = MorphRun.from_dict({**values, "morph": preset(named, **options)})
    return run.replace(source=_beside(place, run.source), target=_beside(place, run.target))


def _parsed(place: Path) -> dict[str, Any]:
    kind = place.suffix.lower()
    if kind not in (".json", ".toml"):
        raise ConfigError(f"config: expected a file ending in .json or .toml, got {str(place)!r}")
    try:
        text = read_file(place).decode("utf-8")
        values = json.loads(text) if kind == ".json" else _toml(text)
    except (OSError, ValueError, RecursionError) as error:  # TOML errors are ValueErrors
        raise ConfigError(f"config: expected a readable {kind} file, got {str(place)!r}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"config: expected a table in {str(place)!r}, got {type(values).__name__}")
    return values


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    return tomllib.loads(text)


def _text(shape: object) -> str | None:
    """Return a shape as a file names it: absolute paths, so that the file may be used anywhere."""
    if isinstance(shape, str) and shape in shapes.names():
        return shape
    return os.path.abspath(os.fsdecode(shape)) if isinstance(shape, str | os.PathLike) else None


def _beside(file: Path, shape: str | None) -> str | None:
    if shape is None or shape in shapes.names():
        return shape
    return str(file.parent / shape)
