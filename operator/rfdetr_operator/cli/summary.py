"""What came out of a run, for the last lines. Pure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from rfdetr_contract.report import ExitCode
from rfdetr_operator.api.v1alpha1 import Restarts, TrainingJob
from rfdetr_operator.cli.rows import format_span, localize
from rfdetr_operator.shell.local_run import refusal, true_condition


def choose_exit_code(job: TrainingJob) -> int:
    """0 complete, 1 failed, 64 not accepted, 75 suspended: the same command goes on."""
    if true_condition(job, "Complete"):
        return 0
    if true_condition(job, "Failed"):
        return 1
    return int(ExitCode.USAGE if refusal(job) else ExitCode.PREEMPTED)


def build_summary(job: TrainingJob, output: Path, wall: timedelta | None) -> list[tuple[str, str]]:
    """Title and text of each closing line; ``output`` is the folder of the checkpoint claim."""
    lines = [(job.status.phase or "Pending", describe_end(job))]
    result = job.status.result
    if result and result.best_checkpoint:
        lines.append(("best checkpoint", str(output / result.best_checkpoint)))
    if result and result.map50_95:
        lines.append(("mAP 50:95", f"{result.map50_95} by COCOeval; {describe_agreement(result.evaluators_agree)}"))
    elif job.status.progress and job.status.progress.best:
        best = job.status.progress.best
        lines.append(("mAP 50:95", f"{best.value} at epoch {best.epoch}"))
    lines.append(("lost", describe_loss(job.status.restarts or Restarts(), result.steps_redone if result else None)))
    if wall is not None:
        lines.append(("wall time", format_span(wall)))
    return lines


def describe_end(job: TrainingJob) -> str:
    """Reason and message of the condition that ended the run."""
    found = next((held for kind in ("Complete", "Failed", "Suspended") if (held := true_condition(job, kind))), None)
    condition = found or refusal(job)
    return localize(f"{condition.reason}: {condition.message}") if condition else "still going"


def describe_agreement(agree: bool | None) -> str:
    """Whether RF-DETR's evaluator and COCOeval say the same."""
    if agree is None:
        return "RF-DETR's own evaluator was not compared"
    return "RF-DETR's own evaluator agrees" if agree else "RF-DETR's own evaluator DISAGREES"


def describe_loss(restarts: Restarts, redone: int | None) -> str:
    """What the restarts cost."""
    steps = "steps not counted" if redone is None else f"{redone} step{'' if redone == 1 else 's'} done again"
    causes = (
        (restarts.preemptions, "preemption"),
        (restarts.counted, "failed pod"),
        (restarts.process, "process restart"),
    )
    told = [f"{number} {word}{'' if number == 1 else 's'}" for number, word in causes if number]
    return f"{steps} ({', '.join(told) or 'no restart'})"
