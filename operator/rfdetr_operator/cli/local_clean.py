"""``rfdetrctl local clean``: forget jobs of this machine. As on a cluster, claims outlive the job."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from rfdetr_operator.api.v1alpha1 import parse_job
from rfdetr_operator.cli.args import Commands, add_command, add_state
from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.core.naming import build_claim_name
from rfdetr_operator.shell.local_store import CLAIMS_DIR, Store, list_stores


def add(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands,
        "clean",
        execute,
        "forget jobs that are not running; checkpoints on claims are kept",
        "rfdetrctl local clean quickstart",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="job to forget (default: all)")
    add_state(parser)


def execute(args: argparse.Namespace) -> int:
    """Remove the state of one job, or of all."""
    stores = [store for store in list_stores(args.state) if args.name in (None, store.key.name)]
    if args.name and not stores:
        known = ", ".join(sorted({store.key.name for store in list_stores(args.state)})) or "none"
        raise UserError(f"no job {args.name!r} in {args.state}; there: {known}")
    for store in stores:
        if holder := store.running():
            raise UserError(f"job {store.key} is being run by process {holder}; stop it first (Ctrl-C saves)")
    for store in stores:
        sys.stdout.write(f"{store.key}: forgotten{remove_claim(args.state, store)}\n")
        store.remove()
    return 0


def remove_claim(root: Path, store: Store) -> str:
    """Remove the job's own claim unless it is retained; what is to be said of it."""
    body = store.load()
    spec = parse_job(body).spec if body else None
    if spec is None or spec.checkpoints.volume_claim_template is None:
        return ""
    folder = root / CLAIMS_DIR / build_claim_name(store.key.name)
    if spec.checkpoints.retain:
        return f"; its claim is kept: {folder}"
    shutil.rmtree(folder, ignore_errors=True)
    return ", and its claim with it"
