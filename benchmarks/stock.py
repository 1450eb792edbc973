"""The peer of the crash benchmark: stock torchrun at its best settings, driven by the marks that its script leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import workload
from benchmarks.ours import choose_ports
from benchmarks.processes import Program

MARKS = "marks.jsonl"


@dataclass(frozen=True, slots=True)
class Mark:
    """A finished optimizer step of one process; ``saved`` is when the newest checkpoint became visible."""

    time: float
    pid: int
    rank: int
    step: int
    saved: float | None


def read_marks(folder: Path) -> list[Mark]:
    """The whole lines of the file; the last one may still be on its way."""
    file = folder / MARKS
    if not file.exists():
        return []
    return [Mark(**json.loads(line)) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def choose_ready(marks: Sequence[Mark], ranks: int) -> dict[int, int] | None:
    """Rank to process id, once every rank's newest process saw a new checkpoint and two steps beyond it."""
    newest = {mark.rank: mark.pid for mark in marks}
    for pid in newest.values():
        own = [mark for mark in marks if mark.pid == pid]
        if own[-1].saved is None or own[-1].saved == own[0].saved or len(own) < 3 or own[-3].saved != own[-1].saved:
            return None
    return newest if len(newest) == ranks else None


def choose_first_step(marks: Sequence[Mark], old: Sequence[int]) -> Mark | None:
    """The first step that a process not among ``old`` finished."""
    return next((mark for mark in marks if mark.pid not in old), None)


def build_command(dataset: Path, folder: Path) -> list[str]:
    """The c10d rendezvous re-admits a restarted world; static flags do not."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes=1",
        "--nproc-per-node=2",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{choose_ports(1)[0]}",
        "--max-restarts=1000",
        str(workload.REPOSITORY / "benchmarks" / "peers" / "stock_torchrun.py"),
        str(dataset),
        str(folder),
    ]


def build_env() -> dict[str, str]:
    """Without sharing, a restarted round gets a store of its own instead of the dead round's keys."""
    return workload.build_env(TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")


def wait_ready(program: Program, folder: Path) -> dict[int, int]:
    return program.wait_for(
        "a round with a checkpoint", lambda: choose_ready(read_marks(folder), ranks=2), seconds=120, pause=0.05
    )


def wait_stepped(program: Program, folder: Path, old: Sequence[int]) -> Mark:
    return program.wait_for(
        "the next optimizer step", lambda: choose_first_step(read_marks(folder), old), seconds=120, pause=0.05
    )
