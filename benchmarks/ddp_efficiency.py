"""A step of our trainer against one of a plain DDP loop with the same network, losses, optimizer and EMA, by turns."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import ours, stock, workload
from benchmarks.recovery import create_watch
from benchmarks.result import Benchmark, Measured, Say
from benchmarks.short_training import RANKS, create_start
from benchmarks.turns import Player, take_turns
from rfdetr_contract.run import CheckpointRun

GOAL: Final = 0.99
WARM_UP: Final = 5
STEPS: Final = 10  # of a turn
SCRIPT: Final = stock.PEERS / "plain_ddp.py"


def open_ours(stack: ExitStack, data: Path, folder: Path, weights: Path) -> Player:
    """Our launcher and its ranks with all of their callbacks; no checkpoint is due."""
    folder.mkdir()
    watch, env = create_watch(folder)
    run = ours.build_run(1, RANKS, data.name)
    model = run.model.model_copy(update={"pretrain_weights": weights.name})
    run = run.model_copy(update={"model": model, "checkpoints": CheckpointRun()})
    (node,) = ours.build_nodes(run, data, folder, env)
    return Player("ours", stack.enter_context(node.start()), watch, RANKS)


def open_plain(stack: ExitStack, data: Path, folder: Path, weights: Path) -> Player:
    """The loop under torchrun."""
    folder.mkdir()
    watch, env = create_watch(folder)
    words = [str(SCRIPT), str(data), str(folder), str(weights)]
    agent = stock.Stock("plain", folder, words, processes=RANKS, static=True, env=env)
    return Player("plain", stack.enter_context(agent.start()), watch, RANKS)


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        data, weights = create_start(folder, workload.IMAGES)
        mine = open_ours(stack, data, folder / "ours", weights)
        say(f"ours warm: {mine.play(WARM_UP) * 1e3:.0f} ms a step")
        theirs = open_plain(stack, data, folder / "plain", weights)
        say(f"the plain loop warm: {theirs.play(WARM_UP) * 1e3:.0f} ms a step")
        own, plain = take_turns((mine, theirs), 10 if short else 50, STEPS)
    return Measured(
        ours=tuple(seconds * 1e3 for seconds in own),
        peer=tuple(seconds * 1e3 for seconds in plain),
        unit="ms a step",
        goal=GOAL,
        against="a plain DDP loop",
        notes=(
            f"two gloo ranks each, by turns of {STEPS} steps while the other training stands still",
            "median step of the slower rank; ours with all of its callbacks",
        ),
    )


BENCHMARK = Benchmark(
    "ddp_efficiency", "a step of our trainer against a plain DDP loop with the same network, losses and EMA", measure
)
