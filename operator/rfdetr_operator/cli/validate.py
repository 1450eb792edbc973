"""``rfdetrctl validate``: every mistake of a manifest, and what would be trained."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rfdetr_operator.api.v1alpha1 import parse_job
from rfdetr_operator.cli.args import Commands, add_command
from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.cli.files import read_manifest
from rfdetr_operator.core.run_config import choose_batch, choose_resolution
from rfdetr_operator.shell.local_checks import find_mistakes


def add(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands,
        "validate",
        execute,
        "say what is wrong with a manifest, without running it",
        "rfdetrctl validate examples/quickstart-cpu.yaml",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML file with one RFDETRTrainingJob")


def execute(args: argparse.Namespace) -> int:
    """Print the plan of a right manifest, a sentence for each mistake of a wrong one."""
    body = read_manifest(args.file)
    if found := find_mistakes(body):
        raise UserError(*(f"{args.file}: {sentence}" for sentence in found))
    job = parse_job(body)
    batch, resolution = choose_batch(job), choose_resolution(job.spec)
    sys.stdout.write(
        f"{args.file}: right. {job.metadata.name} trains {job.spec.model.variant} at {resolution.pixels} pixels "
        f"for {job.spec.training.epochs} epochs; ranks {batch.ranks}; "
        f"one step is {batch.per_device} a rank x {batch.accumulation} x {batch.ranks} = {batch.effective} samples.\n"
    )
    if resolution.remark:
        sys.stdout.write(f"{resolution.remark}\n")
    return 0
