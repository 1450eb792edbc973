"""Ours and `RFDETR.train()`, uninterrupted, on two ranks: the same weights to the bit, and what our callbacks cost."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import workload
from benchmarks.result import Benchmark, Measured, Say
from benchmarks.short_training import Training, create_start

PARTS: Final = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "loops")
SHARE: Final = 0.002  # of a step, that our callbacks may take
# RF-DETR's callbacks and Lightning's, by the beginnings of their names; all others are ours.
THEIRS: Final = (
    "RFDETR",
    "COCOEval",
    "BestModel",
    "ModelCheckpoint",
    "DropPath",
    "Observer",
    "ModelSummary",
    "TQDM",
    "Rich",
)


def flatten(value: object, path: str = "") -> dict[str, object]:
    """Every leaf of a state by its path."""
    if isinstance(value, Mapping):
        return {at: leaf for key, child in value.items() for at, leaf in flatten(child, f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return {at: leaf for i, child in enumerate(value) for at, leaf in flatten(child, f"{path}/{i}").items()}
    return {path: value}


def read_leaves(file: Path) -> dict[str, object]:
    """All that a training leaves in RF-DETR's last checkpoint: weights, EMA, optimizer, schedule, counters."""
    state: dict[str, Any] = import_module("torch").load(file, map_location="cpu", weights_only=True)
    ema = next(value for key, value in state["callbacks"].items() if "EMA" in key)
    return flatten({"ema": ema, **{part: state[part] for part in PARTS}})


def is_equal(left: Any, right: Any) -> bool:  # noqa: ANN401 - a checkpoint holds anything
    """Bitwise for tensors."""
    tensors = [hasattr(value, "dtype") for value in (left, right)]
    if all(tensors):
        return bool(left.dtype == right.dtype and left.shape == right.shape and (left == right).all())
    return not any(tensors) and bool(left == right)


def list_differences(left: Mapping[str, object], right: Mapping[str, object]) -> list[str]:
    """The leaves that differ."""
    return sorted(at for at in left.keys() | right.keys() if not is_equal(left.get(at), right.get(at)))


def count_hooks(file: Mapping[str, Any]) -> float:
    """Nanoseconds of a step in our callbacks, without the wait for other ranks in their collectives."""
    return float(sum(spent for _, spent in list_hooks(file)) - file["inside_ns"]) / len(file["steps_ns"])


def list_hooks(file: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Our callbacks' hooks and their nanoseconds, the longest first."""
    own = {name.removeprefix("[Callback]"): spent for name, spent in file["hooks_ns"].items() if "[Callback]" in name}
    return sorted(
        ((name, spent) for name, spent in own.items() if not name.startswith(THEIRS)), key=lambda one: -one[1]
    )


def describe_hooks(file: Mapping[str, Any], count: int = 4) -> str:
    """The most costly hooks, in microseconds a step, waits included."""
    steps = len(file["steps_ns"])
    return ", ".join(f"{name} {spent / steps / 1000:.0f}" for name, spent in list_hooks(file)[:count])


def count_calls(files: Sequence[Mapping[str, Any]]) -> float:
    """Collectives from a step's beginning to the next one's, beside the gradients' own."""
    return max(float(sum(file["calls"].values()) / file["pairs"]) for file in files)


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    epochs = 1 if short else 4
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        data, weights = create_start(Path(name))
        say("data and first weights made")
        ours, theirs = (Training(side, data, Path(name) / side, weights, epochs) for side in ("ours", "train"))
        for training in (ours, theirs):
            training.go()
            say(f"{training.side}: trained")
        left, right = read_leaves(ours.last), read_leaves(theirs.last)
        differences = list_differences(left, right)
        samples = (ours.read().samples - theirs.read().samples) + (theirs.read().samples - ours.read().samples)
        mine, peers = ours.read().files, theirs.read().files
    steps = [median(file["steps_ns"]) for file in mine]
    hooks = [count_hooks(file) for file in mine]
    calls = count_calls(mine), count_calls(peers)
    faults = tuple(f"differs: {at}" for at in differences[:5]) + (("the samples differ",) if samples else ())
    return [
        Measured(
            ours=(float(len(differences)),),
            peer=(0.0,),
            unit="differing values",
            goal=1.0,
            against="RFDETR.train()",
            faults=faults,
            notes=(f"{len(left)} tensors and numbers compared bit by bit; same samples in the same order",),
        ),
        Measured(
            ours=tuple(hook / 1e6 for hook in hooks),
            peer=tuple(step * SHARE / 1e6 for step in steps),
            unit="ms a step",
            goal=1.0,
            against=f"{SHARE:.1%} of a step",
            label="callbacks",
            notes=(
                f"a step takes {median(steps) / 1e6:.0f} ms here; the wait for other ranks is not counted",
                f"microseconds a step, with the wait: {describe_hooks(mine[0])}",
            ),
        ),
        Measured(
            ours=(calls[0],),
            peer=(calls[1],),
            unit="collectives a step",
            goal=1.0,
            against="RFDETR.train()",
            label="collectives",
            notes=("beside the gradients' own, which are the same",),
        ),
    ]


BENCHMARK = Benchmark(
    "equality", "our weights against those of RFDETR.train() bit by bit, and what our callbacks cost a step", measure
)
