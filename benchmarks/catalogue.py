"""Every benchmark, by its name: the module of that name has it as ``BENCHMARK``."""

from __future__ import annotations

from importlib import import_module

from benchmarks.result import Benchmark

NAMES = (
    "worker_crash",
    "node_loss",
    "preemption",
    "goodput",
    "checkpoint_stall",
    "torture",
    "equality",
    "resume_equality",
    "data_position",
    "ddp_efficiency",
    "fork_memory",
    "operator_footprint",
    "api_writes",
)


def load(name: str) -> Benchmark:
    """The benchmark; only its own module is imported."""
    benchmark = import_module(f"benchmarks.{name}").BENCHMARK
    assert isinstance(benchmark, Benchmark)
    return benchmark
