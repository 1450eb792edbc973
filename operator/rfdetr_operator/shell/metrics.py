"""The operator's metrics, by the one list of names that the contract holds. The series of a job go when the job goes."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from rfdetr_contract.metrics import OPERATOR, Metric
from rfdetr_operator.core.conditions import ENDED, Phase, find_condition
from rfdetr_operator.core.job_view import JobView
from rfdetr_operator.core.times import read_time
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.exposition import JOB_FAMILIES, JOBS, build_exposition, build_lines
from rfdetr_operator.shell.reconcile import Seen

OWN: Final = tuple(each for each in OPERATOR if each not in JOB_FAMILIES and each is not JOBS)
BUCKETS: Final = {
    "rfdetr_job_recovery_duration_seconds": (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
    "rfdetr_reconcile_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
}


@dataclass(slots=True)
class Shelf:
    """A job as last seen; its lines are made when they are first asked for."""

    view: JobView
    lines: dict[str, str] | None = None

    def read(self) -> dict[str, str]:
        """The lines."""
        if self.lines is None:
            self.lines = build_lines(self.view)
        return self.lines


class Metrics:
    """Counts what the shell does and remembers the jobs that are there."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the contract names every series
        self.registry = CollectorRegistry()
        self._made = {each.name: _make(each, self.registry) for each in OWN}
        self._jobs: dict[Key, Shelf] = {}
        self._lost: dict[Key, datetime] = {}
        self._samples: dict[str, Callable[[], float]] = {}

    def tell_build(self, version: str, revision: str) -> None:
        """Who is running."""
        self._gauge("rfdetr_operator_build_info").labels(version, revision, platform.python_version()).set(1)

    def observe_job(self, key: Key, seen: Seen | None) -> None:
        """A pass saw a job; None: it is gone."""
        if seen is None:
            self._jobs.pop(key, None)
            self._lost.pop(key, None)
            return
        self._time_recovery(key, seen)
        shelf = self._jobs.get(key)
        if shelf is None or shelf.view != seen.view:
            self._jobs[key] = Shelf(seen.view)

    def find_gone(self, living: frozenset[Key]) -> frozenset[Key]:
        """Jobs that are told of and are not among these: their last event was lost."""
        return frozenset(self._jobs) - living

    def observe_call(self, verb: str, resource: str, code: str) -> None:
        """One call of the API server."""
        self._counter("rfdetr_operator_api_calls_total").labels(verb, resource, code).inc()

    def observe_pass(self, result: str, seconds: float) -> None:
        """One reconcile."""
        self._counter("rfdetr_reconciles_total").labels(result).inc()
        self._histogram("rfdetr_reconcile_duration_seconds").observe(seconds)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Read a gauge at each scrape."""
        self._samples[name] = read

    def sample(self) -> None:
        """Take what only the loop's own thread may read."""
        for name, read in self._samples.items():
            self._gauge(name).set(read())

    def render(self) -> bytes:
        """The text of ``/metrics``; any thread may ask for it."""
        shelves = list(self._jobs.values())
        jobs = build_exposition(
            ((each.view.namespace, each.view.phase) for each in shelves), (each.read() for each in shelves)
        )
        return generate_latest(self.registry) + jobs.encode()

    def _time_recovery(self, key: Key, seen: Seen) -> None:
        """From the pass that saw the loss, or from what the status says of it, to the one that saw every rank run."""
        if seen.view.phase == Phase.RESTARTING:
            lost = find_condition(seen.status, Phase.RESTARTING)
            stored = read_time(lost.last_transition_time) if lost and lost in seen.stored.conditions else None
            self._lost.setdefault(key, stored or seen.time)
        elif seen.view.phase == Phase.RUNNING and key in self._lost:
            passed = seen.time - self._lost.pop(key)
            self._histogram("rfdetr_job_recovery_duration_seconds").observe(max(passed.total_seconds(), 0.0))
        elif seen.view.phase in ENDED or seen.view.phase in (Phase.SUSPENDING, Phase.RESIZING):
            self._lost.pop(key, None)

    def _counter(self, name: str) -> Counter:
        found = self._made[name]
        if not isinstance(found, Counter):
            raise TypeError(f"{name} is not a counter")
        return found

    def _gauge(self, name: str) -> Gauge:
        found = self._made[name]
        if not isinstance(found, Gauge):
            raise TypeError(f"{name} is not a gauge")
        return found

    def _histogram(self, name: str) -> Histogram:
        found = self._made[name]
        if not isinstance(found, Histogram):
            raise TypeError(f"{name} is not a histogram")
        return found


def _make(metric: Metric, registry: CollectorRegistry) -> Gauge | Counter | Histogram:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=BUCKETS[metric.name])
    kind = Gauge if metric.kind == "gauge" else Counter
    return kind(metric.name, metric.help, metric.labels, registry=registry)
