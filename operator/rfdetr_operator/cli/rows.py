"""A job as a row of ``kubectl get rfj``, as a plain line, and its age. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from rfdetr_operator.api.v1alpha1 import Display, Restarts, TrainingJob

COLUMNS = ("NAME", "PHASE", "EPOCH", "MAP", "BEST", "PATIENCE", "ETA", "NODES", "RESTARTS", "AGE")


@dataclass(frozen=True, slots=True)
class Row:
    """What kubectl prints of a job, in the order of its columns."""

    name: str
    phase: str
    epoch: str
    map: str
    best: str
    patience: str
    eta: str
    nodes: str
    restarts: str
    age: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of COLUMNS."""
        return tuple(getattr(self, name) for name in self.__slots__)


def build_row(job: TrainingJob, now: datetime) -> Row:
    """The row of a job."""
    display = job.status.display or Display()
    return Row(
        name=job.metadata.name,
        phase=job.status.phase or "Pending",
        epoch=display.epoch,
        map=display.map,
        best=display.best,
        patience=display.patience,
        eta=display.eta,
        nodes=display.nodes,
        restarts=str((job.status.restarts or Restarts()).counted),
        age=format_age(job.metadata.creation_timestamp, now),
    )


def format_restarts(restarts: Restarts) -> str:
    """Counted restarts, and in brackets what they do not count."""
    free = free_restarts(restarts)
    return f"{restarts.counted} ({', '.join(free)})" if free else str(restarts.counted)


def free_restarts(restarts: Restarts) -> list[str]:
    """Restarts that spend no budget, such as ``1 preemption``."""
    kinds = ((restarts.preemptions, "preemption"), (restarts.process, "process restart"))
    return [f"{number} {word}{'' if number == 1 else 's'}" for number, word in kinds if number]


def format_age(created: str | None, now: datetime) -> str:
    """How long ago, in kubectl's way."""
    if not created:
        return "-"
    return format_span(now - datetime.fromisoformat(created))


def format_span(span: timedelta) -> str:
    """A duration with at most two units, such as 2m5s."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{seconds}s"


def localize(sentence: str) -> str:
    """The operator's sentence for a reader without a cluster."""
    return re.sub(r"kubectl logs ([\w-]+)", r"pods/\1.log in the job's folder", sentence)


def build_line(job: TrainingJob, now: datetime) -> str:
    """The row as one plain line for logs."""
    row = build_row(job, now)
    step = f"  step {job.status.progress.step}" if job.status.progress else ""
    restarts = format_restarts(job.status.restarts or Restarts())
    return (
        f"{row.phase:<10} epoch {row.epoch}{step}  mAP {row.map}  best {row.best}  patience {row.patience}  "
        f"ETA {row.eta}  nodes {row.nodes}  restarts {restarts}"
    )


def build_details(job: TrainingJob) -> str:
    """What kubectl's columns have no room for, in one line."""
    status, progress = job.status, job.status.progress
    told = []
    if progress:
        told.append(f"step {progress.step}")
        if progress.checkpoint:
            told.append(f"checkpoint at step {progress.checkpoint.step}")
        if progress.images_per_second:
            told.append(f"{progress.images_per_second} images/s")
    if status.batch_plan:
        batch = status.batch_plan
        told.append(f"batch {batch.per_device} x {batch.accumulation} x {batch.ranks} ranks = {batch.effective}")
    told += free_restarts(status.restarts or Restarts())
    return " · ".join(told)


def build_table(rows: list[Row]) -> str:
    """Rows under their columns, as kubectl aligns them."""
    lines = [COLUMNS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
