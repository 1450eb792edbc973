"""The whole process tree of node rank 1 is killed and started again at once, until the next optimizer step.

The bound is what a replacement cannot avoid, the import of a fresh process, and 3 seconds. Imports are measured in the
same run, before and after the losses, while nothing else of the benchmark runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ours, workload
from benchmarks.result import Benchmark, Measured, Say

ALLOWANCE = 3.0  # seconds beyond the import
GOAL = 1.0


def measure_import(say: Say) -> float:
    """Seconds that a fresh process takes to import what a worker needs."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import rfdetr.training"], env=workload.build_env(), check=True, capture_output=True
    )
    seconds = time.monotonic() - started
    say(f"import in a fresh process: {seconds:.2f} s")
    return seconds


def lose_pods(dataset: Path, folder: Path, losses: int, say: Say) -> tuple[list[float], list[str]]:
    """Seconds of each recovery, and recoveries that took more than one round."""
    seconds: list[float] = []
    faults: list[str] = []
    first, second = ours.build_nodes(ours.build_run(2, 1, dataset.name), dataset, folder)
    with ExitStack() as stack:
        survivor = stack.enter_context(first.start())
        lost = stack.enter_context(second.start())
        report = ours.wait_ready(survivor, first)
        for number in range(losses):
            killed = time.monotonic()
            lost.kill_tree()
            lost = stack.enter_context(second.start(incarnation=number + 1))
            now = ours.wait_stepped(survivor, first, report)
            seconds.append(time.monotonic() - killed)
            rounds = ours.find_rounds(report, now)
            say(f"node rank 1 lost, next step after {seconds[-1]:.2f} s, rounds {rounds}")
            if rounds != 1:
                faults.append(f"loss {number + 1} took {rounds} rounds, not one")
            if number + 1 < losses:
                report = ours.wait_ready(survivor, first, after=report.generation)
    return seconds, faults


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    blocks, losses = (1, 2) if short else (3, 2)
    seconds: list[float] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        workload.create_dataset(folder / "digits")
        imports = [measure_import(say)]
        for block in range(blocks):
            more, wrong = lose_pods(folder / "digits", folder / f"block-{block}", losses, say)
            seconds += more
            faults += wrong
            imports.append(measure_import(say))
    return Measured(
        ours=tuple(seconds),
        peer=tuple(each + ALLOWANCE for each in imports),
        unit="s",
        goal=GOAL,
        against=f"bound: import + {ALLOWANCE:.0f} s",
        faults=tuple(faults),
        notes=(
            "process tree of node rank 1 killed and started again at once, to the next optimizer step of the world",
        ),
    )


BENCHMARK = Benchmark(
    "node_loss", "loss of a pod that is replaced at once to the next step, against import time + 3 s", measure
)
