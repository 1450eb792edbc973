"""A two-node training of ours whose lost pods are replaced at once, as the operator replaces them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks import ours
from benchmarks.processes import Program
from benchmarks.recovery import Watch, create_watch
from benchmarks.result import WentWrong
from rfdetr_contract.report import ExitCode
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.manifest import RunFolder
from trainer_marks import Mark

T = TypeVar("T")
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Saved:
    """A durable checkpoint, and when it became one."""

    generation: int
    step: int
    time: float


@dataclass(slots=True)
class Pods:
    """The pods that run now, by node rank."""

    nodes: tuple[ours.Node, ...]
    watch: Watch
    stack: ExitStack
    programs: dict[int, Program] = field(default_factory=dict)
    made: int = 0

    def start(self, rank: int) -> None:
        """A pod for this rank, the first or a replacement."""
        self.programs[rank] = self.stack.enter_context(self.nodes[rank].start(incarnation=self.made))
        self.made += 1

    def read_saved(self) -> Saved | None:
        """The newest checkpoint, by its manifest."""
        folder = RunFolder(self.nodes[0].output / self.nodes[0].run.output).checkpoints
        found = [(json.loads(file.read_text()), file.stat().st_mtime) for file in folder.glob("*.json")]
        sets = [Saved(fields["generation"], fields["step"], when) for fields, when in found]
        return max(sets, key=lambda one: (one.generation, one.step), default=None)

    def wait(self, what: str, read: Callable[[], T | None], seconds: float) -> T:
        """The first answer that is not None."""
        deadline = time.monotonic() + seconds
        while (answer := read()) is None:
            codes = {program.exit_code for program in self.programs.values()}
            if codes - {None, ExitCode.OK, ExitCode.PREEMPTED}:
                raise WentWrong(f"a pod failed before {what}: {self.read_last_lines()}")
            if time.monotonic() > deadline:
                raise WentWrong(f"no sign of {what} in {seconds:.0f} s: {self.read_last_lines()}")
            time.sleep(PAUSE)
        return answer

    def wait_left(self, rank: int, seconds: float) -> None:
        """A pod that was told to stop has ended, and says that it was preempted."""
        code = self.wait(f"the end of pod {rank}", lambda: self.programs[rank].exit_code, seconds)
        if code != ExitCode.PREEMPTED:
            raise WentWrong(f"pod {rank} was told to stop and ended with code {code}: {self.read_last_lines()}")

    def read_last_lines(self) -> str:
        return " | ".join(
            line for program in self.programs.values() for line in program.log.read_text().splitlines()[-3:]
        )


def find_step(marks: list[Mark]) -> int:
    """The furthest step that was ever finished."""
    return max((mark.step for mark in marks if mark.what == "done"), default=0)


@contextmanager
def open_pods(run: RunConfig, dataset: Path, folder: Path) -> Iterator[Pods]:
    """Both pods, started; nothing of them is left after the block."""
    folder.mkdir(parents=True)
    watch, env = create_watch(folder)
    with ExitStack() as stack:
        pods = Pods(ours.build_nodes(run, dataset, folder, env), watch, stack)
        for rank in range(run.topology.nodes):
            pods.start(rank)
        yield pods
