"""Rank 0's launcher looks over all ranks: who is slow, and whether the world stands still."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from rfdetr_contract.report import FailureReason, Straggler
from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.launch.logs import say
from rfdetr_trainer.launch.stragglers import Slowness, advance, find_straggler
from rfdetr_trainer.launch.watchdog import Hang, choose_culprit, describe, find_hang, has_moved
from rfdetr_trainer.launch.wire import Died, FromLeader, Inspect, Ping, RankBeat, Views

LOOK_SECONDS = 1.0
VIEW_SECONDS = 3.0  # in which every launcher answers what it sees


@dataclass(slots=True)
class Overseer:
    """The beats of all nodes, by node rank. ``clock`` counts seconds."""

    limits: LimitsRun
    nodes: int
    broadcast: Callable[[FromLeader], None]
    clock: Callable[[], float]
    _pings: dict[int, tuple[float, Ping]] = field(default_factory=dict)
    _views: dict[int, Views] = field(default_factory=dict)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _slow: Slowness = field(default_factory=Slowness)

    def hear(self, node_rank: int, message: Ping | Views) -> None:
        """A node says how its ranks stand, or what it saw of them."""
        if isinstance(message, Ping):
            self._pings[node_rank] = (self.clock(), message)
        else:
            self._views[node_rank] = message
            if len(self._views) == self.nodes:
                self._answered.set()

    def build_beats(self, generation: int) -> tuple[RankBeat, ...]:
        """How every rank of the round stands now; empty as long as a node has not told it."""
        now = self.clock()
        told = [(now - when, ping) for when, ping in self._pings.values() if ping.generation == generation]
        if len(told) < self.nodes:
            return ()
        return tuple(beat.model_copy(update={"silent": beat.silent + age}) for age, ping in told for beat in ping.ranks)

    def watch_pace(self, generation: int) -> Straggler | None:
        """The slowest rank, if it is much slower than the others; it is said once."""
        straggler = find_straggler(self.build_beats(generation))
        self._slow, words = advance(self._slow, straggler, self.limits.straggler_ratio, self.clock())
        if words is not None:
            say(words)
        return straggler

    async def find_death(self, generation: int) -> Died | None:
        """The death of the rank that the world waits for; None: it goes on."""
        hang = find_hang(self.build_beats(generation), self.limits)
        if hang is None:
            return None
        say(f"round {generation}: no rank makes progress; looking at their stacks")
        views = await self._inspect(generation)
        now = self.build_beats(generation)
        if not now or has_moved(hang.beats, now):
            say(f"round {generation}: it goes on by itself")
            return None
        return build_death(Hang(now, hang.limits), views, generation)

    async def _inspect(self, generation: int) -> tuple[Views, ...]:
        self._views = {}
        self._answered.clear()
        self.broadcast(Inspect(generation=generation))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VIEW_SECONDS):
                await self._answered.wait()
        return tuple(view for view in self._views.values() if view.generation == generation)


def build_death(hang: Hang, views: tuple[Views, ...], generation: int) -> Died:
    """A hang, told as the death of the rank behind it; its calls are the last lines."""
    seen = [view for node in views for view in node.views]
    culprit = choose_culprit(hang, seen)
    calls = next((view.calls for view in seen if view.rank == culprit.rank), ())
    return Died(
        generation=generation,
        rank=culprit.rank,
        reason=FailureReason.HANG,
        message=describe(culprit, hang, seen),
        last_lines="\n".join(calls),
    )
