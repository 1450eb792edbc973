"""kill -9 of one of two workers until the next finished optimizer step: our launcher against stock torchrun."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import ours, stock, workload
from benchmarks.processes import kill, running
from benchmarks.result import Benchmark, Measured, Say, WentWrong

GOAL = 4.0


@dataclass(slots=True)
class Kills:
    """What was measured so far."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def hurt_ours(dataset: Path, folder: Path, kills: int, say: Say) -> Kills:
    """Each kill takes the other rank than the one before; a recovery that takes more than one round is a fault."""
    done = Kills()
    (node,) = ours.build_nodes(ours.build_run(1, 2, dataset.name), dataset, folder)
    with node.start() as program:
        report = ours.wait_ready(program, node)
        for number in range(kills):
            workers = ours.choose_workers(program.pid)
            if len(workers) != 2:
                raise WentWrong(f"expected 2 workers below the launcher, found {len(workers)}")
            killed = time.monotonic()
            kill([workers[1 - number % 2]])
            now = ours.wait_stepped(program, node, report)
            done.seconds.append(time.monotonic() - killed)
            rounds = ours.find_rounds(report, now)
            say(f"ours: rank {1 - number % 2} killed, next step after {done.seconds[-1]:.2f} s, rounds {rounds}")
            if rounds != 1:
                done.faults.append(f"kill {number + 1} of ours took {rounds} rounds, not one")
            if number + 1 < kills:
                report = ours.wait_ready(program, node, after=report.generation)
    return done


def hurt_stock(dataset: Path, folder: Path, kills: int, say: Say) -> Kills:
    done = Kills()
    folder.mkdir(parents=True)
    with running(stock.build_command(dataset, folder), stock.build_env(), folder / "torchrun.log") as program:
        for number in range(kills):
            workers = stock.wait_ready(program, folder)
            old = {mark.pid for mark in stock.read_marks(folder)}
            killed = time.time()
            kill([workers[1 - number % 2]])
            mark = stock.wait_stepped(program, folder, sorted(old))
            done.seconds.append(mark.time - killed)
            say(f"stock torchrun: rank {1 - number % 2} killed, next step after {done.seconds[-1]:.2f} s")
    return done


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    blocks, kills = (1, 2) if short else (4, 3)
    mine, theirs = Kills(), Kills()
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        workload.create_dataset(folder / "digits")
        say("data set made; each side trains, is killed and recovers in turn")
        for block in range(blocks):
            sides = [(mine, hurt_ours, f"ours-{block}"), (theirs, hurt_stock, f"stock-{block}")]
            # The order turns, so that a machine that grows busier favours neither side.
            for total, hurt, place in sides if block % 2 == 0 else reversed(sides):
                done = hurt(folder / "digits", folder / place, kills, say)
                total.seconds += done.seconds
                total.faults += done.faults
    return Measured(
        ours=tuple(mine.seconds),
        peer=tuple(theirs.seconds),
        unit="s",
        goal=GOAL,
        against="stock torchrun c10d",
        faults=tuple(mine.faults),
        notes=(
            "kill -9 to the next finished optimizer step; two gloo ranks on this machine, RF-DETR, 260 MB checkpoint",
        ),
    )


BENCHMARK = Benchmark(
    "worker_crash", "kill -9 of one of two workers to the next step, against stock torchrun at its best", measure
)
