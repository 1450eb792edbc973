"""One answer for all ranks: what any of them wants becomes true on every one, by a single small collective on the CPU."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist


class Agreed(NamedTuple):
    """What any rank wanted."""

    leave: bool = False
    save: bool = False
    broken: bool = False
    done: bool = False


def wait_for_ranks(work: dist.Work) -> None:
    """By its name the watchdog sees, in the stack of a rank, that it waits for another one."""
    work.wait()


class Agreement:
    """A process group of its own, so that nothing waits for the device. All ranks must ask in the same order."""

    def __init__(self, world_size: int, timeout: timedelta | None = None) -> None:
        self._group: Any = dist.new_group(backend="gloo", timeout=timeout) if world_size > 1 else None
        self._running: tuple[Any, torch.Tensor] | None = None

    def ask(self, wanted: Agreed) -> Agreed:
        """The answer to this very question; every rank waits for the slowest."""
        self.hear()
        self.post(wanted)
        return self.hear()

    def post(self, wanted: Agreed) -> None:
        """Ask, and let the answer come while the rank works on."""
        words = torch.tensor([int(word) for word in wanted])
        work = None if self._group is None else dist.all_reduce(words, dist.ReduceOp.MAX, self._group, async_op=True)
        self._running = (work, words)

    def hear(self) -> Agreed:
        """The answer to what was posted last; nothing was posted: nobody wants anything."""
        if self._running is None:
            return Agreed()
        (work, words), self._running = self._running, None
        if work is not None:
            wait_for_ranks(work)
        return Agreed(*map(bool, words.tolist()))
