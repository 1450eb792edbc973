"""A training interrupted inside an epoch and resumed: samples trained on twice or never, and the weights at its end."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import workload
from benchmarks.equality import list_differences, read_leaves
from benchmarks.result import Benchmark, Measured, Say
from benchmarks.short_training import STEPS, Training, create_start

SHARES: Final = (0.35, 0.85)  # of an epoch, at which trainings are interrupted; a short run takes the first


def count_wrong(whole: Counter[tuple[int, int]], broken: Counter[tuple[int, int]]) -> int:
    """Samples that were seen more or less often than in the whole training."""
    return sum(((whole - broken) + (broken - whole)).values())


def interrupt(whole: Training, step: int) -> Training:
    """The same training, interrupted after a step, and resumed to its end."""
    broken = replace(whole, folder=whole.folder.with_name(f"{whole.side}-{step}"))
    broken.go(stop=step)
    broken.go()
    return broken


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    wrong: dict[str, list[int]] = {"ours": [], "resumable": []}
    differing: dict[str, list[int]] = {"ours": [], "resumable": []}
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        data, weights = create_start(Path(name))
        for side in ("ours", "resumable"):
            whole = Training(side, data, Path(name) / side, weights)
            whole.go()
            for share in SHARES[: 1 if short else None]:
                broken = interrupt(whole, int(STEPS * share))
                wrong[side].append(count_wrong(whole.read().samples, broken.read().samples))
                differing[side].append(len(list_differences(read_leaves(whole.last), read_leaves(broken.last))))
                say(f"{side}: interrupted after step {int(STEPS * share)} of {STEPS}: {wrong[side][-1]} samples wrong")
    return [
        Measured(
            ours=tuple(float(count) for count in found["ours"]),
            peer=tuple(float(count) for count in found["resumable"]),
            unit=unit,
            goal=1.0,
            against="stock Lightning",
            faults=(f"{what}, where there must be none",) if any(found["ours"]) else (),
            notes=(f"two ranks, {STEPS} steps an epoch, Lightning's own checkpoint of each step for the peer",),
            label=label,
        )
        for found, unit, label, what in (
            (wrong, "samples", "", "samples were trained on twice or never"),
            (differing, "values", "weights", "the end is not that of the whole training"),
        )
    ]


BENCHMARK = Benchmark(
    "resume_equality",
    "a training interrupted inside an epoch against the whole one: samples, and weights to the bit",
    measure,
)
