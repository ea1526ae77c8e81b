# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tools and actions are pinned, and to the same version wherever they are named."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actions_are_pinned_to_one_commit_each() -> None:
    pins = defaultdict(set)
    for path in WORKFLOWS:
        for action, pin in re.findall(r"uses: ([^@\s]+)@(.+)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{path.name}: {action}@{pin}"
            pins[action].add(pin)
    assert pins
    assert {action: pin for action, pin in pins.items() if len(pin) > 1} == {}


def test_tools_have_one_version_each() -> None:
    pins = defaultdict(set)
    files = (".pre-commit-config.yaml", "pyproject.toml", ".ci/run")
    for path in (*WORKFLOWS, *(ROOT / name for name in files)):
        for tool, pin in re.findall(
            r"\b(cibuildwheel|abi3audit|auditwheel|ruff|mypy)==([\w.]+)", path.read_text("utf-8")
        ):
            pins[tool].add(pin)
    assert set(pins) == {"cibuildwheel", "abi3audit", "auditwheel", "ruff", "mypy"}
    assert {tool: pin for tool, pin in pins.items() if len(pin) > 1} == {}


def test_wheels_are_built_beside_the_pytorch_of_the_tests() -> None:
    tested = re.search(r"\{TORCH:-(torch==[\d.]+)\}", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert tested is not None
    built = re.findall(r"--target \S+ .*(torch==[\d.]+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert built == [tested[1]]


def test_wheels_are_tested_on_every_python() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert f'requires-python = ">={versions[0]}"' in text
    tested = re.search(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8"))
    assert tested is not None
    assert re.findall(r'"([\d.]+)"', tested[1]) == versions
    found_here = re.search(r"^VERSIONS = \((.*)\)", (ROOT / "tools" / "check_wheel.py").read_text("utf-8"), re.M)
    assert found_here is not None
    assert re.findall(r'"([\d.]+)"', found_here[1]) == versions
