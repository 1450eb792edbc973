"""What a training does in each step, seen from beside it: its samples, its callbacks' time, its collectives.

One Lightning callback, which every trainer loads by itself (see ``trainer_marks.write_plugin``), so ours and the peer are
watched by the same eyes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch.distributed as dist

ENV_FOLDER: Final = "OBSERVER_FOLDER"
ENV_STOP: Final = "OBSERVER_STOP"  # optimizer steps after which this training is interrupted
ENV_WAY: Final = "OBSERVER_WAY"  # sigterm, or raise: what a training that knows no signal gets
FACTORY: Final = "trainer_observer:create_callbacks"
WARM_UP: Final = 3  # steps that are not counted
COLLECTIVES: Final = ("allreduce", "broadcast", "allgather", "barrier")  # of a process group, whoever asks it


def is_step_hook(action: str) -> bool:
    """Of Lightning's measuring points: a callback at a batch's beginning or end, or before a backward pass or an optimizer."""
    return action.startswith("[Callback]") and ("_train_batch_" in action or ".on_before_" in action)


class Interrupted(Exception):
    """A training without a way to leave."""


class Clock:
    """Lightning's measuring points, timed, and passed on to whoever listens already."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._began: dict[str, int] = {}
        self.spent: Counter[str] = Counter()
        self.hooks = 0  # that run now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def profile(self, action: str) -> Any:
        """As Lightning's profilers do, by way of ``start`` and ``stop``."""
        return type(self._inner).profile(self, action)

    def start(self, action: str) -> None:
        self._inner.start(action)
        self.hooks += is_step_hook(action)
        self._began[action] = time.perf_counter_ns()

    def stop(self, action: str) -> None:
        self.hooks -= is_step_hook(action)
        self.spent[action] += time.perf_counter_ns() - self._began.pop(action, time.perf_counter_ns())
        self._inner.stop(action)


class Waited:
    """A collective on its way, whose wait is timed."""

    def __init__(self, work: Any, add: Callable[[int], None]) -> None:
        self._work, self._add = work, add

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def wait(self, *words: Any) -> Any:
        """As torch's."""
        began = time.perf_counter_ns()
        try:
            return self._work.wait(*words)
        finally:
            self._add(time.perf_counter_ns() - began)


class Observer(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """One file a rank and a process, written at each epoch's last step and when the training is interrupted."""

    def __init__(self, folder: Path, stop: int | None, way: str) -> None:
        self._stop, self._way = stop, way
        self._file = folder / f"{time.time_ns()}-{os.environ.get('RANK', '0')}.json"
        self._calls: Counter[str] = Counter()
        self._inside = 0  # nanoseconds inside callbacks' collectives
        self._samples: list[tuple[int, list[int]]] = []
        self._marks: list[int] = []
        self._base: tuple[Counter[str], int] | None = None
        self._before = Counter[str]()  # calls until the last step began
        self._within = Counter[str]()  # calls from a step to the next one of its epoch
        self._pairs = 0  # of such steps
        self._clock: Clock | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._clock = trainer.profiler = Clock(trainer.profiler)
        for name in COLLECTIVES:
            setattr(dist.ProcessGroup, name, self._count(name, getattr(dist.ProcessGroup, name)))

    def _add(self, spent: int) -> None:
        if self._clock is not None and self._clock.hooks:
            self._inside += spent

    def _count(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **more: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                work = call(*words, **more)
            finally:
                self._add(time.perf_counter_ns() - began)
                self._calls[name] += 1
            return None if work is None else Waited(work, self._add)

        return counted

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._way == "raise" and trainer.global_step == self._stop:
            raise Interrupted
        self._samples.append((trainer.current_epoch, [int(target["image_id"]) for target in batch[1]]))
        self._marks.append(time.perf_counter_ns())
        if len(self._marks) == WARM_UP + 1 and self._clock is not None:
            self._base = (self._clock.spent.copy(), self._inside)
        elif batch_idx and self._base:
            self._within += self._calls - self._before
            self._pairs += 1
        self._before = self._calls.copy()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._way == "sigterm" and trainer.global_step == self._stop:
            os.kill(os.getpid(), signal.SIGTERM)
        if batch_idx + 1 >= trainer.num_training_batches:
            self._write(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._write(trainer)

    def _write(self, trainer: Any) -> None:
        if self._clock is None:
            return
        spent, inside = self._base or (Counter(), 0)
        found = {
            "rank": trainer.global_rank,
            "samples": self._samples,
            "steps_ns": [later - sooner for sooner, later in zip(self._marks[WARM_UP:], self._marks[WARM_UP + 1 :], strict=False)],
            "hooks_ns": {name: count - spent[name] for name, count in self._clock.spent.items() if is_step_hook(name)},
            "calls": dict(self._within),
            "pairs": self._pairs,
            "inside_ns": self._inside - inside,
        }  # fmt: skip
        self._file.write_text(json.dumps(found))


def create_callbacks() -> list[pl.Callback]:
    """The factory that Lightning calls."""
    folder, stop = os.environ.get(ENV_FOLDER), os.environ.get(ENV_STOP)
    return [Observer(Path(folder), int(stop) if stop else None, os.environ.get(ENV_WAY, ""))] if folder else []
