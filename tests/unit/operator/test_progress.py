"""What rank 0 tells, as strings that kubectl prints."""

from __future__ import annotations

import pytest

from builders import make_progress, make_report
from rfdetr_contract.report import CheckpointState, Progress, World
from rfdetr_operator.api.v1alpha1 import (
    BestStatus,
    CheckpointStatus,
    Display,
    PatienceStatus,
    ProgressStatus,
    Restarts,
    Status,
    WorldStatus,
)
from rfdetr_operator.core.progress import apply_report, build_display, build_progress, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0.4, "0s"), (59, "59s"), (200.4, "3m20s"), (3600, "1h00m"), (7500, "2h05m"), (97200, "1d03h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    """An ETA fits its column."""
    assert text == format_duration(seconds)


def test_a_report_becomes_strings_with_a_fixed_number_of_digits() -> None:
    """Whole progress of a running job."""
    saved = CheckpointState(step=30, epoch=3, time=60.0, size=1, file="a.ckpt")
    report = make_report(progress=make_progress().model_copy(update={"checkpoint": saved}), generation=2, time=90.0)
    assert report.progress is not None

    assert ProgressStatus(
        epoch=3,
        epochs=12,
        step=30,
        map50_95="0.4123",
        map50="0.6100",
        best=BestStatus(value="0.4200", epoch=2),
        patience=PatienceStatus(waited=1, limit=10),
        eta_seconds=200,
        images_per_second="12.3",
        checkpoint=CheckpointStatus(step=30, time="1970-01-01T00:01:00Z", file="a.ckpt"),
        generation=2,
        reported_time="1970-01-01T00:01:30Z",
    ) == build_progress(report, report.progress)


def test_a_running_job_shows_its_row() -> None:
    """Epoch, mAP, best, patience, ETA and nodes."""
    report = make_report(progress=make_progress())
    assert report.progress is not None
    progress = build_progress(report, report.progress)

    assert Display(epoch="3/12", map="0.412", best="0.420", patience="1/10", eta="3m20s", nodes="2/2") == build_display(
        progress, "2/2", running=True
    )


def test_what_is_unknown_is_a_dash() -> None:
    """Early stopping is off, nothing was validated, and what does not run has no end in sight."""
    bare = ProgressStatus(epoch=0, epochs=12, eta_seconds=10)

    assert Display(epoch="0/12", map="-", best="-", patience="-", eta="-", nodes="0/2") == build_display(
        bare, "0/2", running=False
    )


def test_a_report_of_another_attempt_is_not_believed() -> None:
    """A pod that outlived its attempt tells nothing of this one."""
    status = Status(attempt=2)

    assert status == apply_report(status, make_report(progress=make_progress(), attempt=1))


def test_a_report_tells_world_and_process_restarts_too() -> None:
    """The counters that the operator keeps itself stay."""
    status = Status(attempt=1, restarts=Restarts(counted=1, preemptions=2))
    report = make_report(world=World(expected=2, attested=2), process_restarts=3)

    assert Status(
        attempt=1,
        restarts=Restarts(counted=1, preemptions=2, process=3),
        world=WorldStatus(expected=2, attested=2),
    ) == apply_report(status, report)


def test_the_map_shown_is_the_better_of_both_weights() -> None:
    """EMA weights count when they are better."""
    progress = Progress.model_validate({**make_progress().model_dump(), "ema": {"map50_95": 0.5, "map50": 0.7}})

    assert "0.5000" == build_progress(make_report(), progress).map50_95
