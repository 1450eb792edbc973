"""What counts as a step's time while two trainings take turns."""

from __future__ import annotations

from benchmarks.turns import keep_undisturbed, list_spans
from trainer_marks import Mark, What


def at(time: float, what: What = "begin", pid: int = 7) -> Mark:
    """A moment of a process."""
    return Mark(time=time, pid=pid, rank=0, generation=1, what=what, step=0)


def test_a_step_lasts_until_the_next_begins() -> None:
    """What lies between two steps is part of the first."""
    assert [1.0, 2.0] == list_spans([at(1), at(1.5, "done"), at(2), at(4)], pid=7, since=0)


def test_a_step_that_was_under_way_when_the_turn_began_does_not_count() -> None:
    """It stood still in between."""
    assert [1.0] == list_spans([at(1), at(9), at(10)], pid=7, since=5)


def test_a_validation_is_no_step() -> None:
    """Neither the step before it nor it."""
    assert [1.0, 1.0] == list_spans([at(1), at(2), at(3, "validate"), at(8), at(9)], pid=7, since=0)


def test_each_rank_has_its_own_steps() -> None:
    """Marks of others are passed over."""
    assert [3.0] == list_spans([at(1), at(2, pid=8), at(4)], pid=7, since=0)


def test_what_disturbed_a_turn_does_not_count() -> None:
    """The shorter half stays, the middle one of an odd number as well."""
    assert ((1.0, 2.0), (1.0, 2.0, 3.0)) == (keep_undisturbed([4.0, 1.0, 2.0, 9.0]), keep_undisturbed([5, 3, 1, 2, 9]))
