# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Command line: ``diffmpm COMMAND``.

Each command is a module with a function ``register(subparsers)``, which adds its parser and sets the default ``run``, a
function from the parsed arguments to the exit status. Only the module of the requested command is imported, so that
``diffmpm info`` starts quickly.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "morph": "morph one solid shape into another",
    "view": "show a morph in the browser (extra viewer)",
    "render": "render images and films of a morph",
    "export": "export a morph as Gaussians, meshes or particles",
    "shapes": "list or draw the built-in shapes",
    "info": "show version, backends and optional packages, or facts about a mesh or result",
}
"""Name of each command and its module, and its line in ``diffmpm --help``."""
INTERRUPTED = 130
_VALUE = re.compile(r"-(\.?[0-9]|([xyz]|radial)$)")
"""Beginning of a value that is no option: a negative number, or a direction of --start-sweep."""


class _Parser(argparse.ArgumentParser):
    """Parser whose errors are one line, without the usage of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def _parser(command: str | None) -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the parser, complete only for one command, and the options of that command."""
    parser = _Parser(prog="diffmpm", description="Differentiable MPM: morph one solid shape into another.")
    parser.add_argument("--version", action="version", version=f"diffmpm {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, text in COMMANDS.items():
        if name == command:
            importlib.import_module(f".{name}", __name__).register(subparsers)
        else:
            subparsers.add_parser(name, help=text, add_help=False)
    options = subparsers.choices[command]._option_string_actions if command in COMMANDS else {}
    return parser, [name for name in options if name.startswith("--")]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments. Unknown ones end the program with one line."""
    arguments = _joined(arguments)
    command = next((item for item in arguments if not item.startswith("-")), None)
    parser, options = _parser(command)
    if command is not None and command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {near[0]}" if near else f"the commands are {', '.join(COMMANDS)}"
        parser.error(f"unknown command {command!r}; {hint}")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        near = difflib.get_close_matches(unknown[0].partition("=")[0], options, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        text = " ".join(unknown)
        parser.exit(2, f"diffmpm {command}: unknown arguments: {text}; {hint}see 'diffmpm {command} --help'\n")
    return args


def _joined(arguments: Sequence[str]) -> list[str]:
    """Write an option and a value such as -60,15 or -z, which begins with a minus, as one argument."""
    joined: list[str] = []
    for item in arguments:
        if joined and re.fullmatch("--[a-z-]+", joined[-1]) and _VALUE.match(item):
            joined[-1] += f"={item}"
        else:
            joined.append(item)
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program name; those of the process by default.

    Returns:
        Exit status: 0 on success, 2 after an error with a message, 1 if memory or the reader of the output is gone,
        130 after an interruption.
    """
    from ..errors import DiffMPMError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the encoding of the terminal lacks
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parse(arguments or ["--help"])

    shown: set[str] = set()

    def warn(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) in shown:  # Python shows it again after any change of the filters
            return
        shown.add(str(message))
        print(f"diffmpm {args.command}: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warn
            status = int(args.run(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader is gone, as in 'diffmpm info | head'. Nothing more can be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DiffMPMError as error:
        print(f"diffmpm {args.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"diffmpm {args.command}: out of memory: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"diffmpm {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
