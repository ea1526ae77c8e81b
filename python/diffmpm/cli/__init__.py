# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Command line: ``diffmpm COMMAND``.

Each command is a module of this package with a function ``register(subparsers)`` that adds its parser and sets the
default ``run``, a function from the parsed arguments to the exit status. Only the module of the command that is
asked for is imported, so that ``diffmpm info`` starts at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from .. import __version__

__all__ = ["COMMANDS", "main"]

# Command (and module) name -> the line that 'diffmpm --help' shows.
COMMANDS: dict[str, str] = {
    "morph": "turn one solid shape into another",
    "view": "look at a morph in the browser (extra viewer)",
    "render": "draw pictures and films of a morph",
    "export": "write a morph as Gaussians, meshes or particles for other programs",
    "info": "show version, backends and what is missing",
}


def _command_of(arguments: Sequence[str]) -> str | None:
    """Find the command in the arguments: the first one that is no option."""
    return next((item for item in arguments if not item.startswith("-")), None)


def _parser(command: str | None) -> tuple[argparse.ArgumentParser, list[str]]:
    """Build the parser, complete only for the command that is asked for; return the options of that one too."""
    parser = argparse.ArgumentParser(
        prog="diffmpm", description="Differentiable MPM: morph one solid shape into another."
    )
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
    """Parse the arguments; end the program with one line if some are not known."""
    command = _command_of(arguments)
    parser, options = _parser(command)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        near = difflib.get_close_matches(unknown[0].partition("=")[0], options, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        text = " ".join(unknown)
        parser.exit(2, f"diffmpm {command}: unknown arguments: {text}; {hint}see 'diffmpm {command} --help'\n")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program name; those of the process by default.

    Returns:
        Exit status: 0 on success, 1 after an error that was reported, 130 after an interruption.
    """
    from ..errors import DiffMPMError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal's encoding does not have
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parse(arguments or ["--help"])
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader went away, as in 'diffmpm info | head'; nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DiffMPMError as error:
        print(f"diffmpm {args.command}: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"diffmpm {args.command}: out of memory: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"diffmpm {args.command}: interrupted", file=sys.stderr)
        return 130
