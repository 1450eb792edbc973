"""A checkpoint folder under crashes and damage, beside torch.load of the newest file."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import Benchmark, Measured, Say
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.loading import load_verified
from saved_run import SavedRun, make_checkpoint, save
from torture import DAMAGES, check_crash, count_calls, damage

SIZE = 100_000  # numbers in the state's only tensor


def crash_everywhere(folder: Path, stride: int, say: Say) -> tuple[int, list[str]]:
    """Crash points that were tried, and what was wrong after each."""
    calls, wrong, tried = count_calls(folder / "whole"), list[str](), 0
    for death in ("process", "power"):
        for call in range(0, calls, stride):
            wrong += check_crash(folder / f"{death}-{call}", call, death)
            tried += 1
        say(f"a loss of the {death} at {len(range(0, calls, stride))} of {calls} calls: {len(wrong)} went wrong")
    return tried, wrong


def read_stock(file: Path) -> dict[str, Any] | None:
    """What a restart with stock means gets: the newest file, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(file, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


def is_true(state: dict[str, Any]) -> bool:
    """The tensor is what was saved at that step."""
    return bool((state["state_dict"]["model.weights"] == float(state["global_step"])).all())


def damage_ours(folder: Path, kind: str) -> str:
    """How a resume goes on after one kind of damage to the newest of two sets: right, silently wrong, or not at all."""
    run = SavedRun(folder)
    io, target = run.begin(1), run.folder.checkpoints / "step.ckpt"
    for step in (1, 2):
        save(io, make_checkpoint(step, size=SIZE), target)
    damage(run.folder.checkpoints / "g000001-s00000002.ckpt", kind)
    found = run.choose().found
    if found is None:
        return "stuck"
    try:
        state = load_verified(found.path, found.manifest.sha256)
    except RunError:
        return "stuck"
    return "right" if is_true(state) and state["global_step"] == 1 else "silent"


def damage_stock(folder: Path, kind: str) -> str:
    """The same for one file that is saved over and over, as Lightning's last.ckpt."""
    folder.mkdir(parents=True)
    file = folder / "last.ckpt"
    torch.save(make_checkpoint(2, size=SIZE), file)
    damage(file, kind)
    state = read_stock(file)
    return "stuck" if state is None else "right" if is_true(state) else "silent"


def measure(short: bool, say: Say) -> Sequence[Measured]:
    with tempfile.TemporaryDirectory(prefix="rfdetr-torture-") as name:
        folder = Path(name)
        ours = {kind: damage_ours(folder / "ours" / kind, kind) for kind in DAMAGES}
        stock = {kind: damage_stock(folder / "stock" / kind, kind) for kind in DAMAGES}
        say(f"ours: {ours}")
        say(f"torch.load: {stock}")
        tried, wrong = crash_everywhere(folder / "crash", 3 if short else 1, say)
    silent = Measured(
        ours=(float(sum(word == "silent" for word in ours.values())),),
        peer=(float(sum(word == "silent" for word in stock.values())),),
        unit="of 6 kinds of damage taken for a state",
        goal=1.0,
        against="torch.load of the newest file",
        faults=tuple(f"{kind}: {word}" for kind, word in ours.items() if word != "right"),
        notes=(f"torch.load: {', '.join(f'{kind} {word}' for kind, word in stock.items())}",),
    )
    crashes = Measured(
        ours=(float(len(wrong)),),
        peer=(0.0,),
        unit="crashes that lost what was durable",
        goal=1.0,
        against="none may",
        faults=tuple(wrong[:5]),
        notes=(f"{tried} crashes: half of the process, half of the power, each at a call of its own",),
        label="crashes",
    )
    return silent, crashes


BENCHMARK = Benchmark(
    "torture",
    "damage that is taken for a state, and crashes that lose one, beside torch.load of the newest file",
    measure,
    short_limit=120.0,
)
