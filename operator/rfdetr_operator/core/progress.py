"""What rank 0 tells, as status: numbers as strings, since a CRD has no floating point that kubectl prints well."""

from __future__ import annotations

from datetime import UTC, datetime

from rfdetr_contract.report import Progress, RunReport
from rfdetr_operator.api.v1alpha1 import (
    BestStatus,
    CheckpointStatus,
    Display,
    PatienceStatus,
    ProgressStatus,
    Restarts,
    ResultStatus,
    Status,
    WorldStatus,
)
from rfdetr_operator.core.notes import build_notes
from rfdetr_operator.core.times import format_time

UNKNOWN = "-"


def format_score(value: float | None, digits: int = 4) -> str | None:
    """A score with a fixed number of digits."""
    return None if value is None else f"{value:.{digits}f}"


def format_duration(seconds: float) -> str:
    """The two largest units: 45s, 3m20s, 2h05m, 1d03h."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def format_epoch_seconds(seconds: float) -> str | None:
    """Seconds since 1970 as Kubernetes writes a time; None for none."""
    return format_time(datetime.fromtimestamp(seconds, UTC)) if 0 < seconds < 253402300800 else None


def build_progress(report: RunReport, progress: Progress) -> ProgressStatus:
    """Where the training stands."""
    scores, best, patience, saved = progress.scores, progress.best, progress.patience, progress.checkpoint
    return ProgressStatus(
        epoch=progress.epoch,
        epochs=progress.epochs,
        step=progress.step,
        map50_95=format_score(scores.map50_95) if scores else None,
        map50=format_score(scores.map50) if scores else None,
        best=BestStatus(value=f"{best.value:.4f}", epoch=best.epoch) if best else None,
        patience=PatienceStatus(waited=patience.waited, limit=patience.limit) if patience else None,
        eta_seconds=None if progress.eta_seconds is None else max(round(progress.eta_seconds), 0),
        images_per_second=format_score(progress.images_per_second, 1),
        checkpoint=CheckpointStatus(step=saved.step, time=format_epoch_seconds(saved.time), file=saved.file[:1024])
        if saved
        else None,
        generation=report.generation,
        reported_time=format_epoch_seconds(report.time),
    )


def build_display(progress: ProgressStatus | None, nodes: str, *, running: bool) -> Display:
    """What kubectl prints; a dash for what is unknown. Only a running job has a time to its end."""
    if progress is None:
        return Display(nodes=nodes)
    patience, eta = progress.patience, progress.eta_seconds
    return Display(
        epoch=f"{progress.epoch}/{progress.epochs}",
        map=_shorten(progress.map50_95),
        best=_shorten(progress.best.value if progress.best else None),
        patience=f"{patience.waited}/{patience.limit}" if patience else UNKNOWN,
        eta=format_duration(eta) if running and eta is not None else UNKNOWN,
        nodes=nodes,
    )


def _shorten(score: str | None) -> str:
    return UNKNOWN if score is None else f"{float(score):.3f}"


def apply_report(status: Status, report: RunReport | None) -> Status:
    """The status with what a report tells; without a report, or one of another attempt, it is what it was."""
    if report is None or report.attempt != (status.attempt or 0):
        return status
    updates: dict[str, object] = {"notes": build_notes(report)}
    if report.progress is not None:
        updates["progress"] = build_progress(report, report.progress)
    if report.world is not None:
        updates["world"] = WorldStatus(expected=report.world.expected, attested=report.world.attested)
    restarts = status.restarts or Restarts()
    if report.process_restarts != restarts.process:
        updates["restarts"] = restarts.model_copy(update={"process": report.process_restarts})
    return status.model_copy(update=updates)


def build_result(report: RunReport) -> ResultStatus:
    """What came out, from rank 0's last report."""
    judged = report.judgement
    return ResultStatus(
        best_checkpoint=report.best_checkpoint,
        map50_95=format_score(judged.map50_95) if judged else None,
        map50=format_score(judged.map50) if judged else None,
        evaluators_agree=judged.agrees if judged else None,
        steps_redone=report.steps_redone,
    )
