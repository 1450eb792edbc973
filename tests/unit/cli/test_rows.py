"""Rows and lines of a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rfdetr_operator.api.v1alpha1 import (
    BestStatus,
    Display,
    Metadata,
    ProgressStatus,
    Restarts,
    Spec,
    Status,
    TrainingJob,
)
from rfdetr_operator.cli.rows import (
    Row,
    build_details,
    build_line,
    build_row,
    build_table,
    format_restarts,
    format_span,
)

NOW = datetime(2026, 1, 1, 12, 2, 5, tzinfo=UTC)
SPEC = Spec.model_validate({"dataset": {"claimName": "data"}, "checkpoints": {"claimName": "runs"}})


def make_job(status: Status) -> TrainingJob:
    """A job made two minutes and five seconds before NOW."""
    metadata = Metadata(name="shelves", creation_timestamp="2026-01-01T12:00:00Z")
    return TrainingJob(metadata=metadata, spec=SPEC, status=status)


RUNNING = Status(
    phase="Running",
    display=Display(epoch="5/12", map="0.412", best="0.420", patience="1/10", eta="1m10s", nodes="2/2"),
    progress=ProgressStatus(epoch=5, epochs=12, step=100, best=BestStatus(value="0.420", epoch=4)),
    restarts=Restarts(preemptions=1),
)


def test_a_row_is_what_kubectl_prints() -> None:
    """The columns of the resource, from the status alone."""
    expected = Row("shelves", "Running", "5/12", "0.412", "0.420", "1/10", "1m10s", "2/2", "0", "2m5s")

    assert expected == build_row(make_job(RUNNING), NOW)


def test_a_job_without_status_is_pending() -> None:
    """What is not known is a dash."""
    assert Row("shelves", "Pending", "-", "-", "-", "-", "-", "-", "0", "2m5s") == build_row(make_job(Status()), NOW)


def test_a_plain_line_has_the_step() -> None:
    """One line of a log tells what the row tells."""
    expected = (
        "Running    epoch 5/12  step 100  mAP 0.412  best 0.420  patience 1/10  "
        "ETA 1m10s  nodes 2/2  restarts 0 (1 preemption)"
    )

    assert expected == build_line(make_job(RUNNING), NOW)


def test_the_details_are_what_the_row_has_no_room_for() -> None:
    """Only what is known."""
    assert "step 100 · 1 preemption" == build_details(make_job(RUNNING))
    assert "" == build_details(make_job(Status()))


def test_a_table_is_aligned() -> None:
    """Columns are as wide as their widest cell."""
    header, row = build_table([build_row(make_job(Status()), NOW)]).splitlines()

    assert "NAME      PHASE     EPOCH   MAP   BEST   PATIENCE   ETA   NODES   RESTARTS   AGE" == header
    assert "shelves   Pending   -       -     -      -          -     -       0          2m5s" == row


@pytest.mark.parametrize(
    ("restarts", "expected"),
    [
        (Restarts(), "0"),
        (Restarts(counted=2), "2"),
        (Restarts(counted=1, preemptions=2, process=3), "1 (2 preemptions, 3 process restarts)"),
    ],
)
def test_restarts_tell_who_caused_them(restarts: Restarts, expected: str) -> None:
    """Only the first number spends the budget."""
    assert expected == format_restarts(restarts)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (125, "2m5s"), (3600, "1h"), (3900, "1h5m"), (90000, "1d1h"), (-1, "0s")],
)
def test_a_span_has_two_units_at_most(seconds: int, expected: str) -> None:
    """As kubectl prints ages."""
    assert expected == format_span(timedelta(seconds=seconds))
