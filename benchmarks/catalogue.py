"""Every benchmark, by its name."""

from __future__ import annotations

from benchmarks import api_writes, operator_footprint, pod_loss, worker_crash
from benchmarks.result import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    it.name: it
    for it in (pod_loss.BENCHMARK, worker_crash.BENCHMARK, operator_footprint.BENCHMARK, api_writes.BENCHMARK)
}
