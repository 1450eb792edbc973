"""Faults by a seed, and what the time between them is counted as."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.trace import KINDS, Account, build_account, build_trace, simulate
from trainer_marks import Mark, What


def make_marks(pid: int, lines: Sequence[tuple[float, What, int]], rank: int = 0) -> list[Mark]:
    return [Mark(time, pid, rank, 1, what, step) for time, what, step in lines]


def test_a_trace_is_the_same_for_every_side_and_has_every_kind() -> None:
    """The seed decides; three faults are three kinds."""
    trace = build_trace(4, 60.0, 180.0)

    assert trace == build_trace(4, 60.0, 180.0)
    assert set(KINDS) == {fault.kind for fault in build_trace(4, 60.0, 600.0)[:3]}
    assert all(fault.at < 180 for fault in trace)


def test_faults_come_as_often_as_asked() -> None:
    """A fault a minute on the average."""
    assert 950 < len(build_trace(0, 60.0, 60_000.0)) < 1050


def test_steps_are_useful_once_and_a_save_between_them_is_not() -> None:
    """Steps of 1 s with gaps of 0.5 s; one gap has a save of 2 s in it, and the restart does step 3 again, slowly."""
    first = make_marks(
        7,
        [(0.5, "begin", 0), (1.5, "done", 1), (2, "begin", 1), (3, "done", 2), (5.5, "begin", 2), (6.5, "done", 3)],
    )
    again = make_marks(8, [(8, "begin", 2), (10, "done", 3), (10.5, "begin", 3), (11.5, "done", 4)])

    account = build_account([*first, *again], 0.0, 20.0)

    assert Account(window=20.0, useful=6.0, redone=1.5) == account
    assert 70.0 == account.lost_share


def test_a_validation_is_useful_when_it_comes_to_its_end() -> None:
    """One that a fault broke off is done again, and counts once."""
    broken = make_marks(7, [(1, "validate", 5)])
    whole = make_marks(8, [(4, "validate", 5), (6, "validated", 5), (7, "validate", 5), (9, "validated", 5)])

    assert Account(window=10.0, useful=2.0, redone=0.0) == build_account([*broken, *whole], 0.0, 10.0)


def test_other_ranks_and_other_times_do_not_count() -> None:
    """Ranks work side by side: one of them is the measure."""
    before = make_marks(7, [(-2, "begin", 0), (-1, "done", 1)])
    other = make_marks(9, [(1, "begin", 1), (2, "done", 2)], rank=1)

    assert Account(window=10.0, useful=0.0, redone=0.0) == build_account([*before, *other], 0.0, 10.0)


def test_the_simulation_agrees_with_arithmetic() -> None:
    """A fault an hour that costs 36 s leaves 99 %."""
    useful = simulate([36.0], 3600.0, 3600.0 * 24 * 365, seed=1)

    assert abs(useful - 99.0) < 0.1
