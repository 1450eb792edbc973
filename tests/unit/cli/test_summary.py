"""What came out of a run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rfdetr_operator.api.v1alpha1 import (
    Condition,
    Metadata,
    Restarts,
    ResultStatus,
    Spec,
    Status,
    TrainingJob,
)
from rfdetr_operator.cli.summary import build_summary, choose_exit_code, describe_agreement, describe_loss


def make_job(condition: Condition, result: ResultStatus | None = None, phase: str = "Succeeded") -> TrainingJob:
    """A job that one condition describes."""
    spec = Spec.model_validate(
        {"dataset": {"claimName": "data"}, "checkpoints": {"claimName": "runs"}, "suspend": phase == "Suspended"}
    )
    status = Status(phase=phase, conditions=[condition], result=result, restarts=Restarts(preemptions=1))
    return TrainingJob(metadata=Metadata(name="shelves"), spec=spec, status=status)


COMPLETE = Condition(type="Complete", status="True", reason="Completed", message="every epoch is trained")
FAILED = Condition(
    type="Failed", status="True", reason="BackoffLimitExceeded", message="no report; see: kubectl logs shelves-0"
)
SUSPENDED = Condition(type="Suspended", status="True", reason="Suspended", message="no pod runs")
REFUSED = Condition(type="Accepted", status="False", reason="ClaimNotFound", message="no claim")


def test_the_summary_of_a_completed_job() -> None:
    """Phase, best checkpoint at its real path, judged mAP, what was lost, time."""
    result = ResultStatus(best_checkpoint="a/b/best.pth", map50_95="0.61", evaluators_agree=True, steps_redone=3)

    assert [
        ("Succeeded", "Completed: every epoch is trained"),
        ("best checkpoint", "/claims/runs/a/b/best.pth"),
        ("mAP 50:95", "0.61 by COCOeval; RF-DETR's own evaluator agrees"),
        ("lost", "3 steps done again (1 preemption)"),
        ("wall time", "1m5s"),
    ] == build_summary(make_job(COMPLETE, result), Path("/claims/runs"), timedelta(seconds=65))


def test_a_failed_job_points_to_its_log_on_this_machine() -> None:
    """kubectl has no logs of it."""
    assert [
        ("Failed", "BackoffLimitExceeded: no report; see: pods/shelves-0.log in the job's folder"),
        ("lost", "steps not counted (1 preemption)"),
    ] == build_summary(make_job(FAILED, phase="Failed"), Path("/claims/runs"), None)


@pytest.mark.parametrize(
    ("condition", "phase", "expected"),
    [(COMPLETE, "Succeeded", 0), (FAILED, "Failed", 1), (REFUSED, "Pending", 64), (SUSPENDED, "Suspended", 75)],
)
def test_the_exit_code_tells_how_it_ended(condition: Condition, phase: str, expected: int) -> None:
    """0 complete, 1 failed, 64 not accepted, 75 suspended."""
    assert expected == choose_exit_code(make_job(condition, phase=phase))


@pytest.mark.parametrize(
    ("restarts", "redone", "expected"),
    [
        (Restarts(), 0, "0 steps done again (no restart)"),
        (
            Restarts(counted=2, process=1),
            1,
            "1 step done again (2 failed pods, 1 process restart)",
        ),
    ],
)
def test_a_loss_is_steps_and_causes(restarts: Restarts, redone: int, expected: str) -> None:
    """Only causes that happened are named."""
    assert expected == describe_loss(restarts, redone)


@pytest.mark.parametrize(("agree", "word"), [(True, "agrees"), (False, "DISAGREES"), (None, "was not compared")])
def test_both_evaluators_are_spoken_of(agree: bool | None, word: str) -> None:
    """Silence would read as agreement."""
    assert describe_agreement(agree).endswith(word)
