"""The command line: each command is a file with ``add`` (its arguments) and ``execute`` (its exit code)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rfdetr_contract.report import ExitCode
from rfdetr_operator.cli import local_clean, local_run, local_status, validate
from rfdetr_operator.cli.errors import UserError

__all__ = ["main"]


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="rfdetrctl",
        description="Train RF-DETR: the same YAML on this machine and on Kubernetes.",
        epilog="example: rfdetrctl local run examples/quickstart-cpu.yaml",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    validate.add(commands)
    local = commands.add_parser(
        "local",
        help="run jobs on this machine, without a cluster",
        description="Run jobs on this machine: the operator's own planner, with each pod as local processes.",
        epilog="example: rfdetrctl local run examples/quickstart-cpu.yaml",
    )
    locals_ = local.add_subparsers(metavar="COMMAND", required=True)
    local_run.add(locals_)
    local_status.add(locals_)
    local_clean.add(locals_)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what it had to say
        return int(ExitCode.USAGE) if end.code else 0
    try:
        return int(args.execute(args))
    except UserError as error:
        for sentence in error.sentences:
            sys.stderr.write(f"rfdetrctl: {sentence}\n")
        return int(ExitCode.USAGE)
    except KeyboardInterrupt:
        return 130
