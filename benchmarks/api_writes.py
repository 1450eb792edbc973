"""What the operator writes to the API server from the creation of a job to its phase Running.

The bound is one write for each child (the Service and the pods) and two of the status. Events are counted beside it:
they are for people, and no program waits for them. On the real cluster the count is the API server's own audit log,
refused writes included; without one, the same reconcile works on the cluster of local mode, and its verbs are counted.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks import writes_local, writes_real
from benchmarks.clusters import NoCluster
from benchmarks.result import Benchmark, Measured, Say

NODES = 2
STATUS_WRITES = 2
GOAL = 1.0
EVENTS = "events"


def count_bound(nodes: int) -> int:
    """A Service, a pod for each node, and the status writes."""
    return 1 + nodes + STATUS_WRITES


def count_writes(counted: Mapping[str, int]) -> int:
    """All but events."""
    return sum(number for kind, number in counted.items() if kind != EVENTS)


def describe(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))


def measure(short: bool, say: Say) -> Measured:
    jobs = 2 if short else 5
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        try:
            counts: list[Counter[str]] = writes_real.count_jobs(folder, jobs, NODES, say, build=not short)
            where = "counted in the audit log of the real two-node Kubernetes"
        except NoCluster as reason:
            say(f"local mode's cluster, since {reason}")
            counts = writes_local.count_jobs(folder, jobs, NODES, say)
            where = f"counted at the verbs of local mode's cluster ({reason})"
    return Measured(
        ours=tuple(float(count_writes(each)) for each in counts),
        peer=(float(count_bound(NODES)),),
        unit="writes a job",
        goal=GOAL,
        against="bound: children + 2 status",
        notes=(f"{where}; jobs of {NODES} nodes", f"the last job: {describe(counts[-1])}"),
    )


BENCHMARK = Benchmark(
    "api_writes", "API writes from a job's creation to Running, against one a child and two of the status", measure
)
