"""Evidence for lost nodes, gathered only while a job makes no progress: first who is silent, then how their nodes stand.

A job at work costs nothing here, and a silent pod costs two calls of the API server a look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from rfdetr_contract.report import RunReport
from rfdetr_operator.core.lost_nodes import is_node_silent
from rfdetr_operator.core.model import NodeState, Observed, PodPhase, Silence, Worker
from rfdetr_operator.core.settings import CoreSettings
from rfdetr_operator.shell.cluster import Cluster, ClusterError, Key
from rfdetr_operator.shell.reports import Reports

log = logging.getLogger(__name__)

NODES_A_LOOK: Final = 8  # at two calls each
AVOID_FOR: Final = timedelta(minutes=5)  # by then the scheduler knows of a lost node by itself

Mark = tuple[str, int, int, int]


@dataclass(slots=True)
class Memory:
    """What was seen of a job: where it stood and since when, which pods were heard, which are silent since when."""

    mark: Mark | None = None
    since: datetime | None = None
    heard: set[str] = field(default_factory=set)
    silent: dict[str, datetime] = field(default_factory=dict)


class Lookout:
    """Adds to what is observed who does not answer and which nodes are silent."""

    def __init__(
        self, cluster: Cluster, reports: Reports, settings: CoreSettings, clock: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._reports = reports
        self._settings = settings
        self._clock = clock
        self._memory: dict[Key, Memory] = {}
        self._lost: dict[str, datetime] = {}
        self._told = False
        self._turn = 0

    def forget(self, key: Key) -> None:
        """The job is gone."""
        self._memory.pop(key, None)

    def choose_avoided(self) -> tuple[str, ...]:
        """Nodes that were lost a short time ago."""
        now = self._clock()
        self._lost = {name: when for name, when in self._lost.items() if now - when < AVOID_FOR}
        return tuple(sorted(self._lost))

    async def look(self, key: Key, observed: Observed) -> Observed:
        """What is observed, with rank 0's report and, if nothing moves, the evidence."""
        now = self._clock()
        first = choose_speaker(observed)
        report = await self._reports.read(key, first) if first else None
        heard = replace(observed, report=report, report_time=now) if report else observed
        if not self._settings.node_lost:
            return heard
        memory = self._memory.setdefault(key, Memory())
        if report and first:
            self._hear(memory, first, report, now)
        if report and memory.since and now - memory.since < self._settings.node_lost / 4 and not is_leaving(observed):
            return heard
        return await self._gather(key, heard, memory)

    def _hear(self, memory: Memory, worker: Worker, report: RunReport, now: datetime) -> None:
        progress = report.progress
        mark = (worker.uid, report.generation, progress.epoch if progress else 0, progress.step if progress else 0)
        memory.heard.add(worker.uid)
        if mark != memory.mark:
            memory.mark, memory.since = mark, now

    async def _gather(self, key: Key, observed: Observed, memory: Memory) -> Observed:
        """Ask every pod, then look at the nodes of those that are silent."""
        asked = [each for each in observed.workers if each.phase is PodPhase.RUNNING]
        answers = await asyncio.gather(*(self._reports.read(key, each) for each in asked))
        now = self._clock()
        memory.heard |= {each.uid for each, answer in zip(asked, answers, strict=True) if answer is not None}
        memory.heard &= {each.uid for each in asked}
        mute = [each for each, answer in zip(asked, answers, strict=True) if answer is None]
        memory.silent = {each.uid: memory.silent.get(each.uid, now) for each in mute}
        heard = any(answer is not None for answer in answers)
        stuck = [each for each in observed.workers if each.phase is PodPhase.PENDING and self._is_stuck(each, now)]
        names = self._choose_turn({each.node for each in [*mute, *stuck] if each.node})
        return replace(
            observed,
            silent={
                each.uid: Silence(now - memory.silent[each.uid], heard or each.uid in memory.heard) for each in mute
            },
            nodes={state.name: state for name in names if (state := await self._read_node(name)) is not None},
        )

    def _choose_turn(self, names: set[str]) -> list[str]:
        """A few of the nodes, others the next time: a large job whose images are pulled must not flood the API server."""
        ordered = sorted(names)
        start = self._turn % len(ordered) if len(ordered) > NODES_A_LOOK else 0
        self._turn += NODES_A_LOOK
        return [*ordered[start:], *ordered[:start]][:NODES_A_LOOK]

    def _is_stuck(self, worker: Worker, now: datetime) -> bool:
        return worker.scheduled is not None and now - worker.scheduled >= self._settings.node_lost

    async def _read_node(self, name: str) -> NodeState | None:
        try:
            state = await self._cluster.read_node(name)
        except ClusterError as error:
            log.warning("node not read", extra={"node": name, "error": str(error)})
            return None
        if state is None and not self._told:
            self._told = True
            log.warning("this operator may not look at nodes: pods on a lost one wait for Kubernetes to evict them")
        if state is not None and is_node_silent(state, self._settings.node_lost):
            self._lost[name] = self._clock()
        return state


def is_leaving(observed: Observed) -> bool:
    """A pod that runs is being deleted."""
    return any(each.phase is PodPhase.RUNNING and each.terminating for each in observed.workers)


def choose_speaker(observed: Observed) -> Worker | None:
    """Rank 0 while it runs."""
    return next(
        (
            each
            for each in observed.workers
            if each.node_rank == 0 and each.phase is PodPhase.RUNNING and not each.terminating
        ),
        None,
    )
