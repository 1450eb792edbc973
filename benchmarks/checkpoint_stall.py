"""How long the training stands still for a save of 489 MB, beside a copy of that in memory and Lightning's own savers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import Benchmark, Measured, Say, WentWrong

PARAMETERS, TENSORS = 30_550_000, 470  # RF-DETR Nano's
MEMCPY_GOAL, STOCK_GOAL, MEMORY_BOUND = 1 / 1.5, 15.0, 1.1
Arm = Callable[[int], float]  # the n-th save: seconds that the caller stood still


def build_state() -> dict[str, Any]:
    """A full state of RF-DETR Nano's size: weights, their average, and Adam's two moments."""
    size = PARAMETERS // TENSORS
    weights, average, first, second = (
        {f"layer.{number}": torch.randn(size) for number in range(TENSORS)} for _ in range(4)
    )
    moments = {
        number: {"exp_avg": a, "exp_avg_sq": b}
        for number, (a, b) in enumerate(zip(first.values(), second.values(), strict=True))
    }
    return {
        "state_dict": {f"model.{key}": value for key, value in weights.items()},
        "callbacks": {"EMA": {"average_model_state_dict": {f"module.model.{k}": v for k, v in average.items()}}},
        "optimizer_states": [{"state": moments, "param_groups": []}],
    }


def list_tensors(tree: object) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [tensor for value in values for tensor in list_tensors(value)]


def at_step(state: dict[str, Any], step: int) -> dict[str, Any]:
    """The state as Lightning would hand it over."""
    current = {"started": 1, "processed": 1}
    loop = {"epoch_progress": {"current": current}, "epoch_loop.batch_progress": {"current": {"ready": 0}}}
    return {**state, "global_step": step, "loops": {"fit_loop": loop}}


def take_time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def build_ours(state: dict[str, Any], folder: Path, durable: list[float]) -> Arm:
    """Our own saver; ``durable``: seconds until each save could not be lost any more."""
    from rfdetr_trainer.durable import VOLUME
    from saved_run import SavedRun

    run = SavedRun(folder)
    io = run.begin(1, VOLUME)

    def save(step: int) -> float:
        began = time.perf_counter()
        stood = take_time(lambda: io.save_checkpoint(at_step(state, step), run.folder.checkpoints / "step.ckpt"))
        if not io.drain():
            raise WentWrong(f"the save failed: {io.fault}")
        durable.append(time.perf_counter() - began)
        return stood

    return save


def build_copy(state: dict[str, Any]) -> Arm:
    """The bound: each tensor copied into memory that is there."""
    tensors = list_tensors(state)
    targets = [torch.empty_like(tensor) for tensor in tensors]

    def copy() -> None:
        for target, tensor in zip(targets, tensors, strict=True):
            target.copy_(tensor)

    return lambda _: take_time(copy)


def build_lightning(state: dict[str, Any], folder: Path) -> Arm:
    """Lightning's own saver, which does not fsync."""
    from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

    io = TorchCheckpointIO()
    return lambda step: take_time(lambda: io.save_checkpoint(at_step(state, step), folder / "last.ckpt"))


def build_async(state: dict[str, Any], folder: Path) -> Arm:
    """Lightning's saver with a thread; it is waited for outside the time."""
    from pytorch_lightning.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

    def save(step: int) -> float:
        io = AsyncCheckpointIO(TorchCheckpointIO())
        stood = take_time(lambda: io.save_checkpoint(at_step(state, step), folder / "async.ckpt"))
        io.teardown()
        return stood

    return save


def read_memory(field: str) -> int:
    """Bytes of this process, by a field of its status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def print_peak(folder: Path) -> None:
    """In a process of its own: how many states three saves take on top of the one that is there."""
    state = build_state()
    size = sum(tensor.nbytes for tensor in list_tensors(state))
    save = build_ours(state, folder, [])
    before = read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    for step in (1, 2, 3):
        save(step)
    print((read_memory("VmHWM") - before) / size)


def measure_peak(folder: Path) -> float:
    """The peak of a process that does nothing else."""
    command = [
        sys.executable,
        "-c",
        f"from benchmarks.checkpoint_stall import print_peak, Path; print_peak(Path({str(folder)!r}))",
    ]
    done = subprocess.run([*command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WentWrong(f"the process that measures memory ended with {done.returncode}: {done.stderr[-200:]}")
    return float(done.stdout)


def interleave(arms: dict[str, Arm], rounds: int, say: Say) -> dict[str, tuple[float, ...]]:
    """Each arm once forward, once backward; the first round of all is not counted: it allocates."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        order = list(arms) if number % 2 else list(reversed(arms))
        for name in order:
            times[name].append(arms[name](number + 1))
        say(
            ", ".join(f"{name} {seconds[-1]:.3f} s" for name, seconds in times.items())
            + (" (not counted)" if not number else "")
        )
    return {name: tuple(seconds[1:]) for name, seconds in times.items()}


def measure(short: bool, say: Say) -> Sequence[Measured]:
    torch.set_num_threads(1)
    durable: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rfdetr-stall-") as name:
        folder = Path(name)
        peak = measure_peak(folder / "peak")
        say(f"memory: {peak:.2f} states on top of the training's")
        state = build_state()
        arms = {
            "ours": build_ours(state, folder / "ours", durable),
            "a copy": build_copy(state),
            "Lightning": build_lightning(state, folder),
            "Lightning async": build_async(state, folder),
        }
        times = interleave(arms, 4 if short else 20, say)
    middle = sorted(durable)[len(durable) // 2]
    notes = (f"durable (fsync of file and folder, manifest) after {middle:.2f} s",)
    return (
        Measured(times["ours"], times["a copy"], "s", MEMCPY_GOAL, "a copy of the state in memory", notes=notes),
        Measured(
            times["ours"], times["Lightning"], "s", STOCK_GOAL, "Lightning, without fsync", label="beside Lightning"
        ),
        Measured(
            times["ours"], times["Lightning async"], "s", 0.8, "Lightning's thread", label="beside Lightning's thread"
        ),
        Measured((peak,), (MEMORY_BOUND,), "states", 1.0, "bound", label="peak memory"),
    )


BENCHMARK = Benchmark(
    "checkpoint_stall",
    "seconds that the training stands still for a save of 489 MB, against a copy in memory and Lightning",
    measure,
    short_limit=180.0,
)
