# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm info` and the general options of the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import diffmpm
import pytest
from diffmpm import _build_info, cli
from diffmpm.cli import info


def test_info_lists_features(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert f"diffmpm {diffmpm.__version__}" in text
    for row in ("backends", "instruction set", "threads", "torch support", "extras", "cuda"):
        assert f"\n  {row}" in text


def test_info_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["version"] == diffmpm.__version__
    assert facts["instruction_set"] in _build_info.INSTRUCTION_SETS
    assert facts["threads"] == diffmpm.get_num_threads() >= 1
    assert facts["torch_support"] is _build_info.TORCH_SUPPORT


def test_extras_are_listed_with_the_command_that_installs_them() -> None:
    assert set(info.collect()["extras"]) == set(info.EXTRAS)
    line = info._extras_line({"gltf": "1.2", "video": None, "usd": None, "viewer": "3.4"})
    assert line == "gltf (DracoPy 1.2), viewer (viser 3.4); pip install 'diffmpm[video,usd]' adds video, usd"
    assert info._extras_line({"gltf": "1.2"}) == "gltf (DracoPy 1.2)"
    assert info._extras_line({"usd": None}) == "none; pip install 'diffmpm[usd]' adds usd"
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    for extra, package in info.EXTRAS.items():
        assert re.search(rf'^{extra} = \["{package}>=', text, re.MULTILINE)


@pytest.mark.parametrize("support", [True, False])
@pytest.mark.parametrize("installed", [True, False])
def test_torch_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, support: bool, installed: bool) -> None:
    monkeypatch.setattr(_build_info, "TORCH_SUPPORT", support)
    monkeypatch.setattr(info.importlib.util, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(info.importlib.metadata, "version", lambda name: "9.9")
    line = info._torch_line()
    assert line.startswith("yes") == (support and installed)
    assert ("pip install" in line) == (not (support and installed))
    assert ("DIFFMPM_WITH_TORCH=ON pip install .'" in line) == (not support)  # without build isolation pip finds PyTorch


def test_cuda_line_states_why_the_backend_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_build_info, "CUDA_NOTE", "no CUDA compiler was found")
    for compiled in (True, False):
        core = SimpleNamespace(cuda_compiled=lambda compiled=compiled: compiled, cuda_status=lambda: "a status")
        monkeypatch.setattr(info, "_core", core)
        assert info._cuda_line() == ("a status" if compiled else "a status (no CUDA compiler was found)")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"diffmpm {diffmpm.__version__}\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())  # lines wrap at the terminal width
    for name, line in cli.COMMANDS.items():
        assert name in text
        assert line in text


def test_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["dance"])
    assert stop.value.code == 2
    assert "unknown command 'dance'; the commands are morph" in capsys.readouterr().err


def test_a_similar_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["rendr", "spot"])
    error = "diffmpm: unknown command 'rendr'; did you mean render; see 'diffmpm --help'\n"
    assert capsys.readouterr().err == error


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 0
    assert cli.COMMANDS["morph"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("morph", ["--particel", "9"], "unknown arguments: --particel 9; did you mean --particles?"),
        ("morph", ["--resumee=1"], "unknown arguments: --resumee=1; did you mean --resume?"),
        ("render", ["cube"], "unknown arguments: cube;"),
    ],
)
def test_unknown_option_suggests_the_closest(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "sphere", *arguments])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"diffmpm {command}: {message} see 'diffmpm {command} --help'\n"


def test_module_runs_as_a_program() -> None:
    result = subprocess.run([sys.executable, "-m", "diffmpm", "info"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("diffmpm ")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="pipes of this system behave differently")
def test_closed_pipe_causes_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "diffmpm", "info"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert process.returncode == 1
    assert process.stderr == b""


@pytest.mark.parametrize("count", [0, -1, 1.5, "two", True])
def test_bad_thread_count(count: object) -> None:
    with pytest.raises(diffmpm.ConfigError, match="count: expected an integer from 1 to 4096"):
        diffmpm.set_num_threads(count)  # type: ignore[arg-type]


def test_thread_count_is_set_and_reset() -> None:
    default = diffmpm.get_num_threads()
    try:
        diffmpm.set_num_threads(3)
        assert diffmpm.get_num_threads() == 3
    finally:
        diffmpm.set_num_threads(None)
    assert diffmpm.get_num_threads() == default
