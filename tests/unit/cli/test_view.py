"""What is seen while a job runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from rfdetr_operator.api.v1alpha1 import Display, Metadata, ProgressStatus, Spec, Status, TrainingJob
from rfdetr_operator.cli.view import LiveView, PlainView, build_screen, open_view

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
SPEC = Spec.model_validate({"dataset": {"claimName": "data"}, "checkpoints": {"claimName": "runs"}})


def make_job(phase: str, epoch: int) -> TrainingJob:
    """A job in a phase, after some epochs."""
    status = Status(
        phase=phase,
        display=Display(epoch=f"{epoch}/12", nodes="2/2"),
        progress=ProgressStatus(epoch=epoch, epochs=12, step=epoch * 20),
    )
    return TrainingJob(
        metadata=Metadata(name="shelves", creation_timestamp="2026-01-01T12:00:00Z"), spec=SPEC, status=status
    )


def make_event(message: str, count: int = 1) -> dict[str, Any]:
    """A warning at NOW."""
    return {
        "time": NOW.isoformat(),
        "type": "Warning",
        "reason": "WorkerFailed",
        "message": message,
        "count": count,
    }


def words(out: io.StringIO) -> list[str]:
    """The lines without their clock."""
    return [line.split("  ", 1)[1] for line in out.getvalue().splitlines()]


def line(phase: str, epoch: int) -> str:
    """The plain line of ``make_job``."""
    return f"{phase:<10} epoch {epoch}/12  step {epoch * 20}  mAP -  best -  patience -  ETA -  nodes 2/2  restarts 0"


def test_plain_lines_come_at_changes_and_now_and_then() -> None:
    """A new phase, a new epoch, an event, fifteen quiet seconds; never twice the same."""
    out = io.StringIO()
    view = PlainView(out)
    for job, events, seconds in (
        (make_job("Starting", 0), (), 0),
        (make_job("Starting", 0), (), 1),
        (make_job("Running", 0), (make_event("see: kubectl logs shelves-0"),), 2),
        (make_job("Running", 1), (make_event("see: kubectl logs shelves-0"),), 3),
        (make_job("Running", 1), (make_event("see: kubectl logs shelves-0"),), 17),
        (make_job("Running", 1), (make_event("see: kubectl logs shelves-0"),), 18),
    ):
        view.show(job, events, NOW + timedelta(seconds=seconds))

    assert [
        line("Starting", 0),
        "Warning  WorkerFailed: see: pods/shelves-0.log in the job's folder",
        line("Running", 0),
        line("Running", 1),
        line("Running", 1),
    ] == words(out)


def test_a_note_is_told_once_and_again_when_it_comes_back() -> None:
    """A disk that is full, not full any more, and full again."""
    out = io.StringIO()
    view, job = PlainView(out), make_job("Running", 1)
    for notes in (["storage: full"], ["storage: full"], [], ["storage: full"]):
        view.show(job.model_copy(update={"status": job.status.model_copy(update={"notes": notes})}), (), NOW)

    assert ["Note       storage: full", line("Running", 1), "Note       storage: full"] == words(out)


def test_the_live_screen_has_the_row_and_the_last_events() -> None:
    """kubectl's columns, then at most eight events, the newest last."""
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    events = tuple(make_event(f"loss {number}", count=number) for number in range(1, 11))
    console.print(build_screen(make_job("Running", 5), events, NOW))
    shown = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""

    assert ["NAME", "PHASE", "EPOCH", "MAP", "BEST", "PATIENCE", "ETA", "NODES", "RESTARTS", "AGE"] in [
        text.split() for text in shown.splitlines()
    ]
    assert "shelves  Running  5/12" in shown
    assert "loss 2 " not in shown
    assert "Warning  WorkerFailed: loss 10 (x10)" in shown.splitlines()[-1]


def test_lines_are_plain_where_no_terminal_is() -> None:
    """And where they are asked for."""
    assert isinstance(open_view(io.StringIO(), plain=False), PlainView)


def test_the_live_view_leaves_the_terminal_as_it_was() -> None:
    """The cursor that it hides is shown again."""
    out = io.StringIO()
    view = LiveView(Console(file=out, force_terminal=True, width=120))
    view.show(make_job("Running", 5), (), NOW)
    view.close()

    assert "Running" in out.getvalue()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")
