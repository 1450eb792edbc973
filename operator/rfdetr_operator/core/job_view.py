"""What metrics are told of a job: its status and its pods as plain numbers. No free text of a user is among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rfdetr_operator.api.v1alpha1 import Metadata, ProgressStatus, Restarts, Spec, Status
from rfdetr_operator.core.conditions import Phase
from rfdetr_operator.core.model import PodPhase, Worker
from rfdetr_operator.core.times import read_time

UNREADABLE = "unknown"  # the model and the format of a spec that is not one of this version

Pairs = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class JobView:
    """One job: ``times`` by event, ``startup`` by stage, ``restarts`` by reason."""

    namespace: str
    name: str
    uid: str
    model: str
    dataset_format: str
    phase: str
    conditions: tuple[tuple[str, str], ...]
    times: Pairs
    nodes_desired: int
    nodes_ready: int
    startup: Pairs
    restarts: Pairs
    resizes: int


def build_view(metadata: Metadata, spec: Spec | None, status: Status, workers: Iterable[Worker] = ()) -> JobView:
    """The job as it is told; ``spec`` None: it could not be read."""
    mine = [each for each in workers if each.attempt == status.attempt]
    return JobView(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        model=spec.model.variant if spec else UNREADABLE,
        dataset_format=spec.dataset.format if spec else UNREADABLE,
        phase=status.phase or Phase.PENDING,
        conditions=tuple((each.type, each.status.lower()) for each in status.conditions),
        times=_read_times(metadata, status),
        nodes_desired=spec.nodes if spec else 0,
        nodes_ready=sum(each.phase is PodPhase.RUNNING and not each.terminating for each in mine),
        startup=_measure_startup(mine),
        restarts=_read_restarts(status.restarts or Restarts()),
        resizes=status.resizes or 0,
    )


def _read_times(metadata: Metadata, status: Status) -> Pairs:
    progress = status.progress
    found = {
        "created": metadata.creation_timestamp,
        "started": status.start_time,
        "completed": status.completion_time,
        "last_progress": progress.reported_time if progress else None,
        "last_checkpoint": progress.checkpoint.time if progress and progress.checkpoint else None,
    }
    read = [(event, read_time(text)) for event, text in found.items()]
    return tuple((event, when.timestamp()) for event, when in read if when is not None)


def _measure_startup(workers: list[Worker]) -> Pairs:
    queue = [span for each in workers if (span := _measure(each.created, each.scheduled)) is not None]
    pull = [span for each in workers if (span := _measure(each.scheduled, each.started)) is not None]
    return tuple((stage, max(spans)) for stage, spans in (("queue", queue), ("pull", pull)) if spans)


def _measure(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max((end - start).total_seconds(), 0.0)


def _read_restarts(restarts: Restarts) -> Pairs:
    return (
        ("WorkerFailed", restarts.counted),
        ("Preempted", restarts.preemptions),
        ("NodeLost", restarts.node_losses),
        ("ProcessRestart", restarts.process),
    )


def keep_progress_time(before: Status, after: Status) -> Status:
    """The status with the time of the last *new* progress: telling the same again is none."""
    old, new = before.progress, after.progress
    if old is None or new is None or _strip(old) != _strip(new):
        return after
    return after.model_copy(update={"progress": old})


def _strip(progress: ProgressStatus) -> ProgressStatus:
    return progress.model_copy(update={"reported_time": None})
