"""The memory of a pod with two ranks, fork server included, against torchrun with two ranks that import for themselves.

Proportional set size: a page that several processes share is divided among them, so the sum is what the pod takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import workload
from benchmarks.processes import Program, read_parents
from benchmarks.recovery import Side, wait_ready
from benchmarks.result import Benchmark, Measured, Say
from benchmarks.worker_crash import open_ours, open_stock

GOAL = 1.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of PSS by process id, and what is below the program: its children and their children."""

    program: int
    sizes: Mapping[int, float]
    parents: Mapping[int, int]

    @property
    def total(self) -> float:
        return sum(self.sizes.values())

    def read_level(self, level: int) -> tuple[float, ...]:
        """The sizes of all processes that are so many forks below the program."""
        return tuple(size for pid, size in self.sizes.items() if self._count_forks(pid) == level)

    def _count_forks(self, pid: int) -> int:
        count = 0
        while pid != self.program:
            pid, count = self.parents[pid], count + 1
        return count


def parse_pss(rollup: str) -> float:
    """MiB of PSS in the text of /proc/PID/smaps_rollup."""
    line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024 / MIB


def read_memory(program: Program) -> Memory:
    """Of the program and of all that descends from it."""
    tree = program.read_tree()
    sizes = {pid: parse_pss(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in tree}
    return Memory(program.pid, sizes, read_parents())


def measure_side(opened: AbstractContextManager[Side], say: Say) -> Memory:
    """A training that has made a checkpoint and stepped on."""
    with opened as side:
        wait_ready(side)
        memory = read_memory(side.program)
    say(f"{side.name}: {memory.total:.0f} MiB in {len(memory.sizes)} processes")
    return memory


def describe(name: str, memory: Memory, roles: tuple[str, ...]) -> str:
    """The share of each role."""
    shares = (
        f"{role} {' + '.join(f'{size:.0f}' for size in memory.read_level(level))}" for level, role in enumerate(roles)
    )
    return f"{name}, MiB: {', '.join(shares)}"


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    mine, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        data = Path(name) / "digits"
        workload.create_dataset(data)
        for number in range(1 if short else 3):
            folders = Path(name) / f"ours-{number}", Path(name) / f"stock-{number}"
            for folder in folders:
                folder.mkdir()
            mine.append(measure_side(open_ours(data, folders[0], {}), say))
            theirs.append(measure_side(open_stock(data, folders[1]), say))
    return Measured(
        ours=tuple(memory.total for memory in mine),
        peer=tuple(memory.total for memory in theirs),
        unit="MiB",
        goal=GOAL,
        against="torchrun c10d",
        notes=(
            describe("ours", choose_middle(mine), ("launcher", "fork server", "ranks")),
            describe("torchrun", choose_middle(theirs), ("agent", "ranks")),
        ),
    )


def choose_middle(found: list[Memory]) -> Memory:
    """The run whose total is the median."""
    middle = median(memory.total for memory in found)
    return min(found, key=lambda memory: abs(memory.total - middle))


BENCHMARK = Benchmark("fork_memory", "memory (PSS) of two ranks with their fork server, against torchrun", measure)
