"""What a user is told of a training that goes on all the same."""

from __future__ import annotations

from builders import make_report
from rfdetr_contract.report import Straggler
from rfdetr_operator.api.v1alpha1 import Status
from rfdetr_operator.core.notes import build_notes
from rfdetr_operator.core.progress import apply_report


def test_whatever_is_the_matter_is_told_in_a_sentence() -> None:
    """The storage, a hang, a slow rank, the launcher's own warning."""
    report = make_report(
        storage_fault="the checkpoint could not be saved: No space left on device",
        seconds={"train": 100.0, "hang": 62.3},
        straggler=Straggler(rank=3, ratio=2.04),
        warning="a save takes longer than the launcher may wait",
    )

    assert [
        "storage: the checkpoint could not be saved: No space left on device",
        "62 s were lost to a rank that hung",
        "rank 3 takes 2.0 times as long as the others for its data and forward pass",
        "a save takes longer than the launcher may wait",
    ] == build_notes(report)


def test_a_rank_that_is_a_little_slower_is_no_news() -> None:
    """Some rank always is."""
    assert [] == build_notes(make_report(straggler=Straggler(rank=1, ratio=1.4), seconds={"hang": 0.2}))


def test_a_note_goes_when_its_cause_does() -> None:
    """The status says what is, not what was."""
    status = Status(attempt=1, notes=["storage: full"])

    assert [] == apply_report(status, make_report()).notes
