"""A step of our trainer against one of a plain DDP loop with the same network, losses, optimizer and EMA."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import stock, workload
from benchmarks.processes import read_last_lines, running
from benchmarks.result import Benchmark, Measured, Say, WentWrong
from benchmarks.short_training import Training, create_start

GOAL: Final = 0.99
WARM_UP: Final = 3
SCRIPT: Final = stock.PEERS / "plain_ddp.py"


def time_ours(data: Path, folder: Path, weights: Path) -> float:
    """The median step of the slowest rank, in milliseconds: what callbacks, metrics and agreement cost is in it."""
    training = Training("ours", data, folder, weights, epochs=2)
    training.go()
    return max(float(median(file["steps_ns"])) for file in training.read().last) / 1e6


def time_plain(data: Path, folder: Path, weights: Path) -> float:
    """The same of the loop."""
    agent = stock.Stock("plain", folder, [str(SCRIPT), str(data), str(folder), str(weights)], static=True)
    folder.mkdir()
    command = [word for word in agent.build_command(0) if not word.startswith("--max-restarts")]
    with running(command, workload.build_env(), folder / "log") as program:
        if program.wait_end(150):
            raise WentWrong(f"the plain loop failed: {read_last_lines(folder / 'log')}")
    spans = [json.loads(file.read_text())[WARM_UP:] for file in folder.glob("plain-*.json")]
    return max(float(median(each)) for each in spans) / 1e6


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    mine: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        data, weights = create_start(Path(name))
        for block in range(1 if short else 4):
            sides = [(mine, time_ours, f"ours-{block}"), (theirs, time_plain, f"plain-{block}")]
            # The order turns, so that a machine that grows busier favours neither side.
            for found, run, place in sides if block % 2 == 0 else reversed(sides):
                found.append(run(data, Path(name) / place, weights))
                say(f"{place}: {found[-1]:.0f} ms a step")
    return Measured(
        ours=tuple(mine),
        peer=tuple(theirs),
        unit="ms a step",
        goal=GOAL,
        against="a plain DDP loop",
        notes=("two gloo ranks on this machine; median step of the slower rank; ours with all of its callbacks",),
    )


BENCHMARK = Benchmark(
    "ddp_efficiency", "a step of our trainer against a plain DDP loop with the same network, losses and EMA", measure
)
