# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration classes: one description of a field gives check, schema, documentation and file form."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import ConfigError
from diffmpm._options import Configuration, option
from diffmpm.morphing import RenderGuidance
from diffmpm.view import RenderConfig

CLASSES: list[type[Configuration]] = [dm.SimConfig, dm.MorphConfig, dm.SurfaceConfig, RenderConfig, RenderGuidance]
REQUIRED: dict[type[Configuration], dict[str, Any]] = {dm.SimConfig: {"dx": 0.5, "dt": 1e-3}}

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def numbers(cls: type[Configuration]) -> list[tuple[str, str, float]]:
    """Field, keyword of JSON Schema and limit of every limit of a class."""
    keywords = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    properties = cls.json_schema()["properties"].items()
    return [(name, key, entry[key]) for name, entry in properties for key in keywords if key in entry]


@each_class
def test_files_hold_what_the_class_holds(cls: type[Configuration]) -> None:
    config = cls(**REQUIRED.get(cls, {}))
    assert cls.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@each_class
def test_schema_and_documentation_list_every_field(cls: type[Configuration]) -> None:
    schema = cls.json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert list(schema["properties"]) == [entry.name for entry in fields(cls)]
    assert schema["required"] == list(REQUIRED.get(cls, {}))
    assert schema["additionalProperties"] is False
    for name, entry in schema["properties"].items():
        assert entry["description"].endswith((".", ")")), name
        assert f"        {name}: {entry['description']}" in (cls.__doc__ or "")


@each_class
def test_limits_of_the_schema_are_those_of_the_class(cls: type[Configuration]) -> None:
    for name, key, limit in numbers(cls):
        whole = cls.json_schema()["properties"][name]["type"] == "integer"
        inside, outside = (limit + 1, limit - 1) if "inimum" in key else (limit - 1, limit + 1)
        if not whole:
            inside, outside = (limit + 1e-3, limit - 1e-3) if "inimum" in key else (limit - 1e-3, limit + 1e-3)
        on_limit = limit if key in ("minimum", "maximum") else inside
        number_type = int if whole else float
        cls(**REQUIRED.get(cls, {}) | {name: number_type(on_limit)})
        refused = [outside] if key in ("minimum", "maximum") else [outside, limit]
        for value in refused:
            with pytest.raises(ConfigError, match=f"^{name}: expected"):
                cls(**REQUIRED.get(cls, {}) | {name: number_type(value)})


def test_numpy_scalars_become_plain_numbers() -> None:
    config = dm.MorphConfig(particles=np.int64(100), drag=np.float32(0.25), fit=np.bool_(False))
    assert (type(config.particles), type(config.drag), type(config.fit)) == (int, float, bool)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 3, "windws": 4}, r"windws: expected a field of MorphConfig; did you mean windows\?"),
        ([1], "MorphConfig: expected a table of options, got list"),
    ],
)
def test_wrong_tables_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dm.MorphConfig.from_dict(values)


def test_missing_fields_are_named() -> None:
    with pytest.raises(ConfigError, match="dt: expected a value, got none; SimConfig has no default for it"):
        dm.SimConfig.from_dict({"dx": 1.0})


def test_tables_inside_of_tables() -> None:
    floor = {"point": [0, 0, 0], "normal": [0, 0, 2], "mode": "slip"}
    config = dm.SimConfig.from_dict({"dx": 1, "dt": 1e-3, "colliders": [floor, {"center": [0, 0, 1], "radius": 2}]})
    assert config.colliders == (dm.HalfSpace((0, 0, 0), (0, 0, 1), "slip"), dm.Sphere((0, 0, 1), 2))
    assert RenderConfig.from_dict({"surface": {"parents": 4}}).surface.parents == 4
    with pytest.raises(ConfigError, match="parents: expected an integer from 1 to"):
        RenderConfig.from_dict({"surface": {"parents": 0}})


def test_a_class_needs_nothing_but_its_fields() -> None:
    class Spring(Configuration):
        """Spring."""

        stiffness: float = option(doc="Force per length.", unit="N/m", above=0)
        rest: float | None = option(default=None, doc="Rest length.", unit="m", least=0)

    assert Spring(stiffness=2).replace(rest=1).to_dict() == {"stiffness": 2.0, "rest": 1.0}
    assert "stiffness: Force per length. [N/m, > 0]" in (Spring.__doc__ or "")
    with pytest.raises(ConfigError, match="rest: expected a finite number >= 0, got -1"):
        Spring(stiffness=1, rest=-1)
    with pytest.raises(ConfigError, match="stiffness: expected a magnitude from 1e-30 to 1e"):
        Spring(stiffness=1e-31)


def test_docstring_and_help_list_the_groups_of_the_schema() -> None:
    properties = dm.MorphConfig.json_schema()["properties"]
    groups = list(dict.fromkeys(entry["group"] for entry in properties.values()))
    assert groups == ["shape", "simulation", "objective", "optimizer", "schedule", "output"]
    text, doc = dm.MorphConfig.option_text(), dm.MorphConfig.__doc__ or ""
    for group in groups:
        assert f"{group} options:\n" in text
        assert f"    {group.capitalize()} options:\n\n    Attributes:\n" in doc
    for name, entry in properties.items():
        assert f"\n  {name} " in text
        if "enum" in entry:
            assert f"[one of {', '.join(entry['enum'])}]" in doc
