"""The operator's metrics, by the one list of names that the contract holds."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from rfdetr_contract.metrics import OPERATOR, Metric
from rfdetr_operator.api.v1alpha1 import Restarts, Status
from rfdetr_operator.shell.cluster import Key

KINDS = {"gauge": Gauge, "counter": Counter, "histogram": Histogram}


class Metrics:
    """Counts what the shell does; jobs are counted from the phases that the reconciles saw."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the contract names every series
        self.registry = CollectorRegistry()
        self._made = {each.name: _make(each, self.registry) for each in OPERATOR}
        self._phases: dict[Key, str] = {}

    def observe_job(self, key: Key, before: Status | None, after: Status | None) -> None:
        """A pass saw a job; None: it is gone."""
        if after is None:
            self._phases.pop(key, None)
        else:
            self._phases[key] = after.phase or "Pending"
            old, new = (before and before.restarts) or Restarts(), after.restarts or Restarts()
            self._count_restarts("failure", new.counted - old.counted)
            self._count_restarts("preemption", new.preemptions - old.preemptions)

    def observe_call(self, verb: str, resource: str, code: str) -> None:
        """One call of the API server."""
        self._counter("rfdetr_operator_api_calls_total").labels(verb, resource, code).inc()

    def observe_pass(self, result: str, seconds: float) -> None:
        """One reconcile."""
        self._counter("rfdetr_operator_reconciles_total").labels(result).inc()
        histogram = self._made["rfdetr_operator_reconcile_seconds"]
        if isinstance(histogram, Histogram):
            histogram.observe(seconds)

    def watch_queue(self, depth: Callable[[], float], oldest: Callable[[], float]) -> None:
        """Read the queue at each scrape."""
        for name, read in (
            ("rfdetr_operator_queue_depth", depth),
            ("rfdetr_operator_queue_oldest_seconds", oldest),
        ):
            self._gauge(name).set_function(read)

    def render(self) -> bytes:
        """The text of ``/metrics``."""
        jobs = self._gauge("rfdetr_operator_jobs")
        jobs.clear()
        for phase, count in Count(self._phases.values()).items():
            jobs.labels(phase).set(count)
        return generate_latest(self.registry)

    def _count_restarts(self, cause: str, more: int) -> None:
        if more > 0:
            self._counter("rfdetr_operator_restarts_total").labels(cause).inc(more)

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


def _make(metric: Metric, registry: CollectorRegistry) -> Gauge | Counter | Histogram:
    made: Gauge | Counter | Histogram = KINDS[metric.kind](metric.name, metric.help, metric.labels, registry=registry)
    return made
