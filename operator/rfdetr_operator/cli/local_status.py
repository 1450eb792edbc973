"""``rfdetrctl local status``: the jobs of this machine, as ``kubectl get rfj`` prints those of a cluster."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from rfdetr_operator.api.v1alpha1 import parse_job
from rfdetr_operator.cli.args import Commands, add_command, add_state
from rfdetr_operator.cli.rows import build_row, build_table
from rfdetr_operator.shell.local_store import list_stores


def add(commands: Commands) -> None:
    """The command's arguments."""
    add_state(add_command(commands, "status", execute, "show the jobs of this machine", "rfdetrctl local status"))


def execute(args: argparse.Namespace) -> int:
    """Print the table, and which process runs what."""
    stores = [(store, body) for store in list_stores(args.state) if (body := store.load())]
    if not stores:
        sys.stdout.write(f"no jobs in {args.state}\n")
        return 0
    now = datetime.now(UTC)
    sys.stdout.write(build_table([build_row(parse_job(body), now) for _, body in stores]) + "\n")
    for store, _ in stores:
        if holder := store.running():
            sys.stdout.write(f"{store.key}: run by process {holder}, logs in {store.logs}\n")
    return 0
