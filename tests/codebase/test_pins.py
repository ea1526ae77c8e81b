# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tools and actions are pinned to the same version everywhere."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REQUIREMENTS = ROOT / ".github" / "requirements"


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
    for path in (*WORKFLOWS, *REQUIREMENTS.glob("*.in"), *(ROOT / name for name in files)):
        for tool, pin in re.findall(
            r"\b(cibuildwheel|abi3audit|auditwheel|ruff|mypy)==([\w.]+)", path.read_text("utf-8")
        ):
            pins[tool].add(pin)
    assert set(pins) == {"cibuildwheel", "abi3audit", "auditwheel", "ruff", "mypy"}
    assert {tool: pin for tool, pin in pins.items() if len(pin) > 1} == {}


def test_wheels_are_built_with_the_pytorch_of_the_tests() -> None:
    tested = re.search(r"\{TORCH:-(torch==[\d.]+)\}", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert tested is not None
    assert tested[1] in (REQUIREMENTS / "torch.in").read_text("utf-8").split()


def test_build_requirements_are_pinned_by_hash() -> None:
    """Direct requirements and their dependencies have one version for each Python."""
    names = set()
    for path in sorted(REQUIREMENTS.glob("*.in")):
        requested = re.findall(r"^([\w-]+)", path.read_text("utf-8"), re.MULTILINE)
        entries = re.split(r"\n(?=[\w-])", path.with_suffix(".txt").read_text("utf-8"))[1:]
        pinned = [re.match(r"([\w.-]+)==\S+( ; .+)? \\\n +--hash=sha256:[0-9a-f]{64}", entry) for entry in entries]
        assert requested and all(pinned), path.name
        assert set(requested) <= {match[1] for match in pinned if match}, path.name
        names |= set(requested)
    required = re.search(r"^requires = \[(.*)\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert required is not None
    assert set(re.findall(r'"([\w-]+)', required[1])) <= names


def test_published_wheels_are_built_from_pinned_requirements() -> None:
    wheels = (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8")
    builds = wheels.partition("\n  test:")[0]
    commands = re.findall(r"pip install (.+)", builds)
    assert commands
    for command in commands:
        assert command.startswith("--require-hashes -r .github/requirements/") or command == "dist/diffmpm-*.tar.gz", (
            command
        )
    uploaded, tested = builds.index("path: dist/*.tar.gz"), builds.index("pip install dist/")
    assert uploaded < tested  # packages installed to test the sdist cannot change it
    settings = (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.cibuildwheel]")[2]
    installs = re.findall(r'"pip install (.+?)"', settings)
    assert len(installs) == 5 and all(line.startswith("--require-hashes ") for line in installs)
    assert 'build-frontend = { name = "pip", args = ["--no-build-isolation"] }' in settings


def test_containers_are_pinned_by_digest() -> None:
    images = [
        image
        for path in WORKFLOWS
        for image in re.findall(r"^ +(?:container|image): (.+)", path.read_text("utf-8"), re.M)
    ]
    assert images
    assert all(re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", image) for image in images)


def test_the_pytorch_index_is_used_only_for_pytorch() -> None:
    """A second index could replace any other package."""
    files = [*WORKFLOWS, *(ROOT / name for name in (".ci/run", "pyproject.toml", "tools/check_wheel.py"))]
    for path in files:
        text = path.read_text("utf-8")
        assert not re.search(r"extra.index", text, re.IGNORECASE), path.name
        for line in re.findall(r".*--index-url.*", text):
            assert "--no-deps" in line and re.search(r'("\$TORCH"|"torch>=[\d.]+"|, torch\))', line), line


def test_wheels_are_tested_on_every_python() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert f'requires-python = ">={versions[0]}"' in text
    tested = re.search(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8"))
    assert tested is not None
    assert re.findall(r'"([\d.]+)"', tested[1]) == versions
    versions_here = re.search(r"^VERSIONS = \((.*)\)", (ROOT / "tools" / "check_wheel.py").read_text("utf-8"), re.M)
    assert versions_here is not None
    assert re.findall(r'"([\d.]+)"', versions_here[1]) == versions
