"""How every command describes itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rfdetr_operator.shell.local_store import DEFAULT_ROOT

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object


def add_command(
    commands: Commands, name: str, execute: Callable[[argparse.Namespace], int], summary: str, example: str
) -> argparse.ArgumentParser:
    """A command with its one-line summary and its one example."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
    )
    parser.set_defaults(execute=execute)
    return parser


def add_state(parser: argparse.ArgumentParser) -> None:
    """The folder of local jobs."""
    parser.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="DIR",
        help=f"folder of local jobs and claims (default: {DEFAULT_ROOT})",
    )
