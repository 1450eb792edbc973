"""The torchrun flags of a pod: which are honoured, and that they agree with the run. Parsing is torchrun's own."""

from __future__ import annotations

from dataclasses import dataclass

from rfdetr_contract.report import FailureReason
from rfdetr_contract.run import Topology
from rfdetr_trainer.errors import ConfigError, RunError
from rfdetr_trainer.launch.wire import Parsed

HONOURED = ("nnodes", "nproc_per_node", "node_rank", "master_addr", "master_port")
CHOICES = ", ".join(f"--{name.replace('_', '-')}" for name in HONOURED)
HELP = f"""\
usage: python -m rfdetr_trainer.launch {CHOICES.replace(",", "")}

Starts the RF-DETR training processes of one node, as torchrun does, and keeps them together with those of the other
nodes. The run itself is read from the file that $RFDETR_RUN_CONFIG names."""


class UsageError(ConfigError):
    """The command line is wrong."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Where this launcher stands in the world. ``master_port`` is rank 0's launcher's, not the store's."""

    nnodes: int
    nproc: int
    node_rank: int
    master_addr: str
    master_port: int


def build_flags(parsed: Parsed) -> Flags:
    """The flags, or a sentence about the first one that is missing, unknown or no number."""
    if parsed.error is not None:
        raise UsageError(f"torchrun flags: {parsed.error}")
    values = {key: value for key, value in parsed.values.items() if key != "training_script_args"}
    script = values.pop("training_script", "worker")
    if script != "worker":
        raise UsageError(f"'{script}' is no flag: the launcher starts RF-DETR's own training and takes no script")
    for name in values.keys() - set(HONOURED):
        raise UsageError(f"--{name.replace('_', '-')} has no effect here; allowed: {CHOICES}")
    for name in HONOURED:
        if name not in values:
            raise UsageError(f"--{name.replace('_', '-')} is missing; needed: {CHOICES}")
    flags = Flags(
        nnodes=_number("nnodes", values["nnodes"], 1),
        nproc=_number("nproc_per_node", values["nproc_per_node"], 1),
        node_rank=_number("node_rank", values["node_rank"], 0),
        master_addr=values["master_addr"],
        master_port=_number("master_port", values["master_port"], 0),
    )
    if flags.node_rank >= flags.nnodes:
        raise UsageError(f"--node-rank={flags.node_rank} must be below --nnodes={flags.nnodes}")
    return flags


def _number(name: str, value: str, least: int) -> int:
    if not value.isdecimal() or int(value) < least:
        raise UsageError(f"--{name.replace('_', '-')}={value} must be a whole number, {least} or more")
    return int(value)


def check_world(flags: Flags, topology: Topology) -> None:
    """The flags say the world that the run was planned for.

    Raises:
        RunError: they do not; training would silently use another effective batch.

    """
    if (flags.nnodes, flags.nproc) == (topology.nodes, topology.processes_per_node):
        return
    raise RunError(
        FailureReason.WORLD_SIZE_MISMATCH,
        f"--nnodes={flags.nnodes} x --nproc-per-node={flags.nproc} is not the planned world of "
        f"{topology.nodes} nodes x {topology.processes_per_node} processes",
    )
