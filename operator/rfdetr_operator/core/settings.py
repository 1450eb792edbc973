"""What the core is told about its installation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Defaults for the pods, and paces."""

    image: str = "rfdetr-trainer:latest"
    cluster_domain: str = ""  # empty: names end in .svc and the resolver's search path does the rest
    progress_interval: timedelta = timedelta(seconds=10)  # at most one status write for progress alone in this time
    poll_interval: timedelta = timedelta(seconds=5)  # between two readings of rank 0's report
    reread_interval: timedelta = timedelta(
        seconds=30
    )  # at the latest, a running job of which nothing is heard is read anew
    node_lost: timedelta = timedelta(
        seconds=20
    )  # silence of a kubelet that counts as one of two evidences; 0: none does
