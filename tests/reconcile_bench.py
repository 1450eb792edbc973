"""The reconcile on a bench: an operator that lives on, a cluster in memory and a clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from builders import SETTINGS, START
from fake_cluster import KEY, FakeCluster, SpokenReports
from rfdetr_operator.shell.reconcile import Reconciler


@dataclass
class Bench:
    """An operator that lives on, a cluster and a clock."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    reports: SpokenReports = field(default_factory=SpokenReports)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new operator: it remembers nothing."""
        self.reconciler = Reconciler(
            self.cluster, self.reports, SETTINGS, lambda: START + timedelta(seconds=self.seconds)
        )

    def reconcile(self) -> timedelta | None:
        """One pass."""
        return asyncio.run(self.reconciler(KEY))

    def listen(self, *heard: str) -> timedelta | None:
        """A pass after these versions of the job rang; none: it is only due."""
        return asyncio.run(self.reconciler(KEY, frozenset(heard)))

    def run(self) -> None:
        """Up to Running."""
        self.reconcile()
        self.cluster.run_all()
        self.reconcile()

    def row(self) -> tuple[str, str, str]:
        """Epoch, ETA and nodes as kubectl prints them."""
        display = self.cluster.status.display
        assert display is not None
        return display.epoch, display.eta, display.nodes
