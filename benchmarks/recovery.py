"""A training that is hurt and recovers, measured in the same way on every side: by the marks that its ranks leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import workload
from benchmarks.processes import Program
from trainer_marks import ENV_MARKS, Mark, What, parse_marks, write_plugin

STEPS_BEYOND = 2  # steps after a checkpoint at which a round is hurt: a loss costs something
PAUSE = 0.05
STAGES: tuple[What, ...] = ("built", "setup", "fit", "train", "begin", "done")


@dataclass(slots=True)
class Watch:
    """The marks so far, read once each."""

    file: Path
    marks: list[Mark] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> list[Mark]:
        """All whole lines that are there by now."""
        if self.file.exists():
            with self.file.open() as file:
                file.seek(self._offset)
                text = file.read().rpartition("\n")
            self._offset += len(text[0] + text[1])
            self.marks += parse_marks(text[0])
        return self.marks


def create_watch(folder: Path) -> tuple[Watch, dict[str, str]]:
    """The watch, and the environment in which ranks leave their marks."""
    write_plugin(folder / "plugin")
    file = folder / "marks.jsonl"
    return Watch(file), {ENV_MARKS: str(file), "PYTHONPATH": workload.build_path(folder / "plugin")}


@dataclass(frozen=True, slots=True)
class Side:
    """A training of two ranks: the program that must live, its watch, and when its newest checkpoint became visible."""

    name: str
    program: Program
    watch: Watch
    read_saved: Callable[[], float | None]
    ranks: int = 2


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the kill until the next step begins and is done, the rounds that it took, and the way there."""

    begins: float
    done: float
    rounds: int
    stages: Mapping[str, float]


def choose_ready(marks: Sequence[Mark], ranks: int, saved: float | None) -> dict[int, int] | None:
    """Rank to process, once each rank's newest process saw a checkpoint of its own and did some steps beyond it."""
    newest = {mark.rank: mark.pid for mark in marks}
    if saved is None or len(newest) < ranks:
        return None
    for pid in newest.values():
        own = [mark for mark in marks if mark.pid == pid]
        beyond = [mark for mark in own if mark.what == "done" and mark.time > saved]
        if own[0].time > saved or len(beyond) < STEPS_BEYOND:
            return None
    return newest


def find_worker(watch: Watch, program: Program, rank: int) -> int | None:
    """The rank's process below a program, if it lives and has said something."""
    newest = next((mark.pid for mark in reversed(watch.read()) if mark.rank == rank), None)
    return newest if newest is not None and newest in program.read_tree() else None


def find_first(marks: Sequence[Mark], old: frozenset[int], what: What) -> Mark | None:
    """The first mark of its kind by a process that is not an old one."""
    return next((mark for mark in marks if mark.what == what and mark.pid not in old), None)


def build_recovery(marks: Sequence[Mark], old: frozenset[int], killed: float, before: int) -> Recovery | None:
    """None: no step is done yet. The stages are those of the rank whose step is done first."""
    done = find_first(marks, old, "done")
    if done is None:
        return None
    own = [mark for mark in marks if mark.pid == done.pid]
    stages: dict[str, float] = {
        what: mark.time - killed for what in STAGES if (mark := find_first(own, frozenset(), what)) is not None
    }
    return Recovery(stages["begin"], stages["done"], done.generation - before, stages)


def wait_ready(side: Side, seconds: float = 120) -> dict[int, int]:
    """The processes of a round that may be hurt."""
    return side.program.wait_for(
        "a round with a checkpoint",
        lambda: choose_ready(side.watch.read(), side.ranks, side.read_saved()),
        seconds=seconds,
        pause=PAUSE,
    )


def recover(side: Side, hurt: Callable[[Mapping[int, int]], None], seconds: float = 120) -> Recovery:
    """Hurt a round that is ready, and wait for the next finished step."""
    workers = wait_ready(side)
    old = frozenset(mark.pid for mark in side.watch.marks)
    before = side.watch.marks[-1].generation
    killed = time.time()
    hurt(workers)
    return side.program.wait_for(
        "the next optimizer step",
        lambda: build_recovery(side.watch.read(), old, killed, before),
        seconds=seconds,
        pause=PAUSE,
    )


def describe_stages(name: str, recoveries: Sequence[Recovery]) -> str:
    """The median of each stage's end, in seconds after the kill."""
    words = {"built": "model and data built", "setup": "ranks joined", "fit": "weights restored"}
    words |= {"train": "all restored", "begin": "step begins", "done": "step done"}
    parts = [
        f"{words[stage]} {median(found):.2f}"
        for stage in STAGES
        if (found := [one.stages[stage] for one in recoveries if stage in one.stages])
    ]
    return f"{name}, seconds after the kill: {', '.join(parts)}"
