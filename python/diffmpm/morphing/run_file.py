# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration files that describe a whole morph."""

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
    """Content of `config.json` in the folder of a morph. `diffmpm morph --config` repeats the morph bit for bit."""

    source: str | None = option(default=None, doc="Path of the source, or name of a built-in shape. None: arrays.")
    target: str | None = option(default=None, doc="Path of the target, or name of a built-in shape. None: arrays.")
    morph: MorphConfig = option(default=MorphConfig(), doc="Options of the morph.")
    guidance: RenderGuidance | None = option(default=None, doc="Guidance by images. None: no guidance.")
    complete: bool = option(
        default=True, doc="Whether the file describes the whole morph: no arrays, images or losses passed in Python."
    )

    @classmethod
    def describe(
        cls, source: MeshLike, target: object, config: MorphConfig, guidance: RenderGuidance | None
    ) -> MorphRun:
        """Return the arguments of `diffmpm.morph` that a file can hold."""
        names = _name(source), _name(target)
        storable = guidance is None or (guidance.views is None and guidance.losses is None)
        return cls(
            source=names[0],
            target=names[1],
            morph=config,
            guidance=guidance if storable else None,
            complete=None not in names and storable,
        )


def read_run(path: str | os.PathLike[str]) -> MorphRun:
    """Read a configuration file, .json or .toml.

    Its keys are the fields of `MorphRun`, and `preset`, which names the preset that `morph` modifies. Paths are
    relative to the file.

    Raises:
        ConfigError: If it cannot be read, a name is unknown or a value is out of range.
    """
    file = Path(path)
    values = _parsed(file)
    preset_name = values.pop("preset", "default")
    refuse_unknown(values, MorphRun.json_schema()["properties"], "a key of a configuration file")
    options = values.pop("morph", {})
    if not isinstance(options, dict):
        raise ConfigError(f"morph: expected a table of options, got {options!r}")
    run = MorphRun.from_dict({**values, "morph": preset(preset_name, **options)})
    return run.replace(source=_resolved(run.source, file), target=_resolved(run.target, file))


def _parsed(file: Path) -> dict[str, Any]:
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
    return values


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
