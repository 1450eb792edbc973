"""When a checkpoint is due: as often as asked, or as often as the losses that were seen are worth."""

from __future__ import annotations

import pytest

from rfdetr_contract.run import CheckpointRun
from rfdetr_trainer.generations import Claim
from rfdetr_trainer.interval import (
    CEILING,
    FLOOR,
    PRIOR,
    Cost,
    Interval,
    Losses,
    choose_interval,
    count_losses,
    describe,
)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_claim(generation: int, time: float) -> Claim:
    """A claim."""
    return Claim(generation=generation, parent=None, resume=None, pod_uid="a", attempt=1, world_size=1, time=time)


def test_the_interval_is_young_and_dalys() -> None:
    """An interruption an hour and a stall of 0.1 s: the square root of 2 x 3600 x 0.1."""
    hour = Losses(seconds=3600 * 10 - PRIOR, interruptions=9)

    assert 3600 == hour.mean
    assert pytest.approx(26.8, abs=0.1) == choose_interval(Cost(0.1, 1.0), hour)


@pytest.mark.parametrize(
    ("cost", "losses", "seconds"),
    [
        (Cost(0.0001, 0.1), Losses(60, 50), FLOOR),
        (Cost(0.1, 30.0), Losses(60, 50), 300.0),
        (Cost(500.0, 1.0), Losses(), CEILING),
    ],
)
def test_the_interval_has_a_floor_a_ceiling_and_leaves_the_volume_alone(
    cost: Cost, losses: Losses, seconds: float
) -> None:
    """A volume that takes half a minute for a save is busy at most a tenth of the time."""
    assert seconds == choose_interval(cost, losses)


def test_losses_are_counted_by_the_claims() -> None:
    """The first round is no interruption; a clock that was set back adds no time."""
    claims = {1: make_claim(1, 1000.0), 2: make_claim(2, 4600.0), 3: make_claim(3, 900.0)}

    assert (Losses(), Losses(9100.0, 2), Losses(0.0, 2)) == (
        count_losses({}, 5.0),
        count_losses(claims, 10_000.0),
        count_losses(claims, 5.0),
    )


def test_steps_and_minutes_are_taken_at_their_word() -> None:
    """What is measured does not matter then."""
    clock = Clock()
    steps = Interval(CheckpointRun(every_steps=5), Losses(), lambda: None, print, clock=clock)
    minutes = Interval(CheckpointRun(every_minutes=2), Losses(), lambda: None, print, clock=clock)
    by_step = [step for step in range(12) if steps.is_due(step)]
    early = minutes.is_due(1)
    clock.now += 120

    assert ([5, 10], False, True) == (by_step, early, minutes.is_due(2))
    minutes.note_saved()
    assert not minutes.is_due(3)


def test_the_interval_follows_what_is_measured_and_says_so() -> None:
    """First after the floor, then by the cost; a change is told once."""
    clock, said, costs = Clock(), list[str](), list[Cost]()
    interval = Interval(
        CheckpointRun(), Losses(18_000, 3), lambda: costs[-1] if costs else None, said.append, clock=clock
    )
    clock.now += FLOOR
    first = interval.is_due(1)
    interval.note_saved()
    costs.append(Cost(0.5, 2.0))
    waits = [interval.is_due(2)]
    clock.now += 110
    waits.append(interval.is_due(3))

    assert (True, [False, True]) == (first, waits)
    assert ["saving every 108 s: a save stalls 0.50 s and is durable after 2.0 s, 3 interruptions in 5.0 h"] == said


def test_a_quiet_round_outgrows_its_restless_past() -> None:
    """Nine interruptions in the first two hours; nine quiet hours later they are worth fewer saves, and it is said."""
    clock, said = Clock(), list[str]()
    interval = Interval(CheckpointRun(), Losses(7200, 9), lambda: Cost(0.5, 2.0), said.append, clock=clock)
    waits = []
    for quiet in (59, 2, 9 * 3600):
        clock.now += quiet
        waits.append(interval.is_due(1))
        interval.note_saved()
    clock.now += 61
    waits.append(interval.is_due(1))

    assert [False, False, True, False] == waits
    assert [
        "saving every 60 s: a save stalls 0.50 s and is durable after 2.0 s, 9 interruptions in 2.0 h",
        "saving every 83 s: a save stalls 0.50 s and is durable after 2.0 s, 9 interruptions in 11.0 h",
    ] == said


def test_no_save_begins_behind_one_that_is_on_its_way() -> None:
    """It is due until it can."""
    clock, busy = Clock(), [True]
    interval = Interval(CheckpointRun(), Losses(), lambda: None, print, is_busy=lambda: busy[0], clock=clock)
    clock.now += 60
    behind = interval.is_due(1)
    busy[0] = False

    assert (False, True) == (behind, interval.is_due(2))


def test_one_interruption_is_one() -> None:
    """Said as a person would."""
    assert "saving every 45 s: a save stalls 0.05 s and is durable after 1.0 s, 1 interruption in 5.0 min" == describe(
        45, Cost(0.05, 1.0), Losses(300, 1)
    )
