"""What the end of a pod means: the table."""

from __future__ import annotations

import pytest

from builders import make_crashed, make_done, make_ended, make_preempted, make_report, make_worker
from rfdetr_contract.report import FailureReason, Outcome
from rfdetr_operator.core.failures import Kind, Verdict, classify_worker
from rfdetr_operator.core.model import PodPhase, Worker

FAILED = PodPhase.FAILED
CASES: list[tuple[Worker, Kind, FailureReason | None]] = [
    (make_worker(0), Kind.ALIVE, None),
    (make_worker(0, PodPhase.PENDING), Kind.ALIVE, None),
    (make_worker(0, terminating=True), Kind.LEAVING, None),
    (make_ended(0, make_done()), Kind.SUCCESS, None),
    (make_ended(0, make_done(), terminating=True), Kind.SUCCESS, None),
    (make_worker(0, PodPhase.SUCCEEDED, exit_code=0), Kind.FAILED, FailureReason.CRASHED),
    (make_preempted(0), Kind.PREEMPTED, None),
    (make_worker(0, FAILED, exit_code=75), Kind.FAILED, FailureReason.CRASHED),
    (make_worker(0, FAILED, exit_code=137, terminating=True), Kind.PREEMPTED, None),
    (make_worker(0, FAILED, signal_reason="Evicted"), Kind.PREEMPTED, None),
    (make_worker(0, FAILED, signal_reason="OutOfcpu"), Kind.PREEMPTED, None),
    (make_worker(0, FAILED, exit_code=137, signal_reason="DeletionByTaintManager"), Kind.PREEMPTED, None),
    (make_worker(0, FAILED, exit_code=137, signal_reason="OOMKilled"), Kind.FAILED, FailureReason.HOST_OOM),
    (make_worker(0, FAILED, exit_code=137), Kind.FAILED, FailureReason.CRASHED),
    (make_worker(0, FAILED, exit_code=74), Kind.FAILED, FailureReason.STORAGE_ERROR),
    (make_worker(0, FAILED, exit_code=65), Kind.PERMANENT, FailureReason.DATA_ERROR),
    (make_worker(0, FAILED, exit_code=78), Kind.PERMANENT, FailureReason.CONFIG_ERROR),
    (make_crashed(0), Kind.FAILED, FailureReason.NAN_LOSS),
    (make_crashed(0, FailureReason.DATA_ERROR), Kind.PERMANENT, FailureReason.DATA_ERROR),
    (make_crashed(0, FailureReason.WORLD_SIZE_MISMATCH), Kind.PERMANENT, FailureReason.WORLD_SIZE_MISMATCH),
]


@pytest.mark.parametrize(("worker", "kind", "reason"), CASES)
def test_each_end_has_its_meaning(worker: Worker, kind: Kind, reason: FailureReason | None) -> None:
    """Exit code and report together say success or preemption; a report says a failure's reason."""
    found = classify_worker(worker)

    assert (kind, reason) == (found.kind, found.reason)


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        (make_crashed(1), "node rank 1: it broke"),
        (
            make_worker(1, FAILED, exit_code=137, signal_reason="OOMKilled"),
            "node rank 1 was killed because it used more memory than its limit; raise pod.resources.limits.memory",
        ),
        (
            make_worker(1, FAILED, exit_code=139),
            "node rank 1 was killed by signal 11 and left no report; see: kubectl logs shelves-1",
        ),
        (
            make_worker(1, FAILED, exit_code=2),
            "node rank 1 ended with exit code 2 and left no report; see: kubectl logs shelves-1",
        ),
        (
            make_worker(1, FAILED, signal_reason="DeadlineExceeded"),
            "node rank 1 was ended by the cluster: DeadlineExceeded",
        ),
    ],
)
def test_a_failure_is_told_in_one_sentence(worker: Worker, sentence: str) -> None:
    """It says which node rank, and what a person can do."""
    assert sentence == classify_worker(worker).sentence


def test_a_report_of_a_running_pod_decides_nothing() -> None:
    """Only an end is an end."""
    worker = make_worker(0, report=make_report(Outcome.FAILED, reason=FailureReason.DATA_ERROR))

    assert Verdict(worker, Kind.ALIVE) == classify_worker(worker)
