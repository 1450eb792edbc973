"""``rfdetrctl local status``: the jobs of this machine, as ``kubectl get rfj`` prints those of a cluster."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from rfdetr_operator.api.v1alpha1 import TrainingJob, parse_job
from rfdetr_operator.cli.args import Commands, add_command, add_state
from rfdetr_operator.cli.rows import build_row, build_table
from rfdetr_operator.shell.local_run import is_finished
from rfdetr_operator.shell.local_store import Store, list_stores


def add(commands: Commands) -> None:
    """The command's arguments."""
    add_state(add_command(commands, "status", execute, "show the jobs of this machine", "rfdetrctl local status"))


def execute(args: argparse.Namespace) -> int:
    """Print the table, then who runs what."""
    jobs = [(store, parse_job(body)) for store in list_stores(args.state) if (body := store.load())]
    if not jobs:
        sys.stdout.write(f"no jobs in {args.state}\n")
        return 0
    now = datetime.now(UTC)
    sys.stdout.write(build_table([build_row(job, now) for _, job in jobs]) + "\n")
    for store, job in jobs:
        if sentence := describe_runner(store, job):
            sys.stdout.write(f"{sentence}\n")
    return 0


def describe_runner(store: Store, job: TrainingJob) -> str:
    """Who runs a job that has not ended."""
    if holder := store.running():
        return f"{store.key}: run by process {holder}, logs in {store.logs}"
    return "" if is_finished(job) else f"{store.key}: not being run; it goes on with: rfdetrctl local run FILE"
