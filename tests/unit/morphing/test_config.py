# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import json
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.errors import ConfigError
from diffmpm.morphing import PRESETS, MorphConfig, preset


def test_presets_build_and_differ():
    configs = {name: preset(name) for name in PRESETS}
    assert configs["default"] == MorphConfig()
    assert len(set(configs.values())) == len(configs)
    assert configs["xu"].schedule == "layered"
    assert configs["xu"].optimizer == "gradient_descent"


def test_every_field_is_checked():
    for field in fields(MorphConfig):
        with pytest.raises(ConfigError, match=f"{field.name}: expected"):
            MorphConfig(**{field.name: None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"particles": 0}, "particles: expected an integer >= 8, got 0"),
        ({"particles": 10.5}, "particles: expected an integer >= 8, got 10.5"),
        ({"windows": -1}, "windows: expected an integer >= 1, got -1"),
        ({"time_step": -0.1}, "time_step: expected a finite number > 0, got -0.1"),
        ({"time_step": float("nan")}, "time_step: expected a finite number > 0, got nan"),
        ({"lam": -1.0}, "lam: expected a finite number >= 0, got -1"),
        ({"density": 0}, "density: expected a finite number > 0, got 0"),
        ({"smoothing": 1.0}, r"smoothing: expected a finite number >= 0 and < 1, got 1.0"),
        ({"velocity_kept": 1.5}, r"velocity_kept: expected a finite number from 0 to 1, got 1.5"),
        ({"shrink": 0.0}, r"shrink: expected a finite number > 0 and < 1, got 0"),
        ({"material": "jelly"}, "material: expected one of fixed_corotated, neo_hookean.*, got 'jelly'"),
        ({"optimizer": "sgd"}, "optimizer: expected one of adam, gradient_descent, lbfgs, got 'sgd'"),
        ({"fit": 1}, "fit: expected True or False, got 1"),
        ({"colour": 3}, "colour: expected a field of MorphConfig, one of .*smoothing"),
    ],
)
def test_bad_values_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        preset("default", **change)


def test_unknown_preset_is_named():
    with pytest.raises(ConfigError, match="preset: expected one of default, fast, quality, xu, got 'slow'"):
        preset("slow")


def test_is_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        MorphConfig().steps = 3
    with pytest.raises(TypeError):
        MorphConfig(100)


def test_control_steps_round_up():
    assert MorphConfig(steps=10, control_stride=4).control_steps == 3


def test_numpy_numbers_become_json_numbers():
    config = MorphConfig(particles=np.int64(300), step=np.float32(0.5), lam=3)
    assert json.loads(json.dumps(config.to_dict()))["particles"] == 300
    assert type(config.lam) is float


def test_numbers_beyond_64_bits_are_named():
    with pytest.raises(ConfigError, match="lam: expected a finite number >= 0, got 10000"):
        MorphConfig(lam=10**400)


def test_command_line_help_lists_the_options_by_group(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["morph", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for heading in ("shape", "simulation", "objective", "optimizer", "schedule", "output"):
        assert f"\n{heading} options:\n" in text
    assert "[>= 0 and < 1]" in text and "[one of quadratic, cubic] (default cubic)" in text
