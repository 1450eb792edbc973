"""A step of our trainer against one of a plain DDP loop with the same network, losses, optimizer and EMA, by turns.

The network is RF-DETR Nano as it comes: what a step costs beside the network counts as much as it does for a user.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import ours, stock, workload
from benchmarks.recovery import create_watch
from benchmarks.result import Benchmark, Measured, Say
from benchmarks.short_training import RANKS
from benchmarks.turns import Player, keep_undisturbed, take_turns
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.run import CheckpointRun, RunConfig

GOAL: Final = 0.99
WARM_UP: Final = 2
STEPS: Final = 2  # of a turn
RESOLUTION: Final = 384  # Nano's own
PER_DEVICE: Final = 1  # a step takes seconds on a CPU
SCRIPT: Final = stock.PEERS / "plain_ddp.py"
# glibc gives a large tensor's memory back when the tensor goes: a step then takes a hundred thousand page faults, and how long
# the kernel takes for them says nothing about either side. Here both allocators keep what they have.
KEEP_MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}


def build_run(dataset: str) -> RunConfig:
    """Nano; no checkpoint is due."""
    run = ours.build_run(1, RANKS, dataset)
    return run.model_copy(
        update={
            "model": run.model.model_copy(update={"resolution": RESOLUTION, "overrides": {}}),
            "batch": BatchPlan(per_device=PER_DEVICE, accumulation=1, ranks=RANKS),
            # Without an interval one is made whenever losses make it worth its while.
            "checkpoints": CheckpointRun(every_steps=1_000_000),
        }
    )


def open_ours(stack: ExitStack, data: Path, folder: Path) -> Player:
    """Our launcher and its ranks with all of their callbacks."""
    folder.mkdir()
    watch, env = create_watch(folder)
    (node,) = ours.build_nodes(build_run(data.name), data, folder, {**env, **KEEP_MEMORY})
    return Player("ours", stack.enter_context(node.start()), watch, RANKS)


def open_plain(stack: ExitStack, data: Path, folder: Path) -> Player:
    """The loop under torchrun."""
    folder.mkdir()
    watch, env = create_watch(folder)
    words = [str(SCRIPT), str(data), str(folder), str(RESOLUTION), str(PER_DEVICE)]
    agent = stock.Stock("plain", folder, words, processes=RANKS, static=True, env={**env, **KEEP_MEMORY})
    return Player("plain", stack.enter_context(agent.start()), watch, RANKS)


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    workload.write_bytecode()
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        data = folder / "digits"
        workload.create_dataset(data)
        mine = open_ours(stack, data, folder / "ours")
        say(f"ours warm: {mine.play(WARM_UP) * 1e3:.0f} ms a step")
        theirs = open_plain(stack, data, folder / "plain")
        say(f"the plain loop warm: {theirs.play(WARM_UP) * 1e3:.0f} ms a step")
        own, plain = take_turns((mine, theirs), 8 if short else 40, STEPS)
    return Measured(
        ours=tuple(seconds * 1e3 for seconds in keep_undisturbed(own)),
        peer=tuple(seconds * 1e3 for seconds in keep_undisturbed(plain)),
        unit="ms a step",
        goal=GOAL,
        against="a plain DDP loop",
        notes=(
            f"RF-DETR Nano as it comes, {PER_DEVICE} image a rank; two gloo ranks each, by turns of {STEPS} steps while the other training stands still",
            "median step of the slower rank; ours with all of its callbacks",
            f"the faster half of {len(own)} turns of each side; ratio of the medians of all: {median(plain) / median(own):.3f}",
        ),
    )


BENCHMARK = Benchmark(
    "ddp_efficiency",
    "a step of our trainer against a plain DDP loop with the same network, losses, optimizer and EMA",
    measure,
    short_limit=480,
)
