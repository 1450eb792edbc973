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
    """All ranks must ask in the same order. ``timeout`` is how long a rank waits for the others; None: as the group does."""

    def __init__(self, timeout: timedelta | None = None) -> None:
        self._timeout = timeout
        self._group: Any = None
        self._running: tuple[dist.Work | None, torch.Tensor] | None = None

    def open(self, world_size: int) -> None:
        """To be called on every rank while they are in step; a second time changes nothing.

        Nothing may wait for the device, so a group of its own is made, unless training's own group works on the CPU. There
        a second one would only cost: each has a thread that wakes a hundred times a second.
        """
        if world_size > 1 and self._group is None:
            on_cpu = dist.get_backend() == dist.Backend.GLOO
            self._group = dist.group.WORLD if on_cpu else dist.new_group(backend=dist.Backend.GLOO)

    def ask(self, wanted: Agreed, timeout: timedelta | None = None) -> Agreed:
        """The answer to this very question; every rank waits for the slowest, for ``timeout`` where it is given."""
        self.hear()
        self.post(wanted, timeout)
        return self.hear()

    def post(self, wanted: Agreed, timeout: timedelta | None = None) -> None:
        """Ask, and let the answer come while the rank works on."""
        words = torch.tensor([int(word) for word in wanted])
        work = None
        if self._group is not None:
            options = dist.AllreduceOptions()
            options.reduceOp = dist.ReduceOp.MAX
            options.asyncOp = True
            if limit := timeout or self._timeout:
                options.timeout = limit
            work = self._group.allreduce([words], options)
        self._running = (work, words)

    def hear(self) -> Agreed:
        """The answer to what was posted last; nothing was posted: nobody wants anything."""
        if self._running is None:
            return Agreed()
        (work, words), self._running = self._running, None
        if work is not None:
            wait_for_ranks(work)
        return Agreed(*map(bool, words.tolist()))
