"""Real RF-DETR on two launchers: a signal to any process at any place costs no step, and a kill costs one round.

Every place and every victim is tried; all pairs of them when RFDETR_TEST_LONG is set.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from integration.launcher_faults import STAND_STILL, Fault, Place, Struck, Victim, build_struck
from rfdetr_contract.report import ExitCode, Outcome
from trainer_marks import Mark, count_steps

Strike = Callable[..., Struck]
PLACES: tuple[Place, ...] = (
    "import",
    "start",
    "first step",
    "step",
    "accumulation",
    "last batch",
    "validation",
    "save",
)
VICTIMS: tuple[Victim, ...] = ("worker", "launcher")
COVERING = (
    Fault("import", "launcher", (1,)),
    Fault("start", "worker", (1,)),
    Fault("first step", "launcher", (1,)),
    Fault("step", "worker", (0,)),
    Fault("step", "worker", (0, 1)),
    Fault("accumulation", "launcher", (0,)),
    Fault("last batch", "worker", (1,)),
    Fault("validation", "launcher", (0, 1)),
    Fault("save", "worker", (0,)),
)


def list_victims(place: Place) -> tuple[Fault, ...]:
    """Each worker, each launcher, and both of either, at one place."""
    return tuple(
        Fault(place, victim, ranks)
        for victim in VICTIMS
        for ranks in ((0,), (1,), (0, 1))
        if (victim, place) != ("worker", "import")
    )


CHAINS = [list_victims(place) for place in PLACES] if os.environ.get("RFDETR_TEST_LONG") else [COVERING]

STILL = "it is in stand_still (launcher_faults.py:"
HANGS: list[tuple[int, int, Place, str]] = [
    (STAND_STILL, 0, "last batch", STILL),
    (signal.SIGSTOP, 1, "step", "its process is stopped"),
    (STAND_STILL, 1, "step", STILL),
    (STAND_STILL, 1, "validation", STILL),
]


@pytest.fixture
def strike(tmp_path: Path) -> Iterator[Strike]:
    """Runs a training under faults to its end: in every pod that took part in a round, all workers were forked warm."""
    write_digits(tmp_path / "digits", Recipe(train=16, valid=4))
    made: list[Struck] = []

    def run(faults: Sequence[Fault], epochs: int, **limits: float) -> Struck:
        made.append(build_struck(tmp_path, faults, epochs, **limits))
        made[-1].run(seconds=60 + 15 * len(faults))
        joined = [pod.text for pod in made[-1].cluster.pods if "rfdetr: round " in pod.text]
        assert [] == [text for text in joined if "rfdetr: fork server warm after " not in text or "starts cold" in text]
        return made[-1]

    yield run
    for struck in made:
        struck.cluster.close()


def find_lost_steps(marks: Sequence[Mark]) -> dict[int, int]:
    """By generation: steps that the ones before it had finished and that it does again."""
    resumed = {mark.generation: mark.step for mark in marks if mark.what == "train"}
    before = {
        generation: count_steps([mark for mark in marks if mark.generation < generation]) for generation in resumed
    }
    return {generation: before[generation] - step for generation, step in resumed.items()}


@pytest.mark.parametrize("faults", CHAINS, ids=lambda chain: chain[0].place if len(CHAINS) > 1 else "covering")
def test_a_sigterm_costs_no_step_wherever_it_strikes(strike: Strike, faults: tuple[Fault, ...]) -> None:
    """Each one ends a round with every finished step durable; only a signalled launcher leaves its pod, with 75."""
    struck = strike(faults, len(faults))

    signalled = [(rank, ExitCode.PREEMPTED) for fault in faults if fault.victim == "launcher" for rank in fault.ranks]
    assert sorted([*signalled, (0, 0), (1, 0)]) == sorted(struck.ends)
    assert {0} == set(find_lost_steps(struck.marks).values())
    report, rounds = struck.cluster.pods[-1].report(), len(faults) - len(struck.early) + 1
    assert (Outcome.COMPLETED, rounds, 0) == (report.outcome, report.generation, report.steps_redone)


def test_a_kill_of_any_process_costs_one_round_and_the_steps_since_the_last_checkpoint(strike: Strike) -> None:
    """kill -9 of each rank's worker and launcher, one after the other; the run completes."""
    victims: list[tuple[Victim, int]] = [("worker", 0), ("launcher", 1), ("worker", 1), ("launcher", 0)]
    faults = [Fault("step", victim, (rank,), signal.SIGKILL) for victim, rank in victims]

    struck = strike(faults, len(faults))

    assert sorted([(1, -signal.SIGKILL), (0, -signal.SIGKILL), (0, 0), (1, 0)]) == sorted(struck.ends)
    assert all(0 <= lost <= 3 for lost in find_lost_steps(struck.marks).values())
    report = struck.cluster.pods[-1].report()
    assert (Outcome.COMPLETED, len(faults) + 1) == (report.outcome, report.generation)


@pytest.mark.parametrize(
    ("number", "rank", "place", "words"), HANGS if os.environ.get("RFDETR_TEST_LONG") else HANGS[:2]
)
def test_a_rank_that_stands_still_is_told_from_those_that_wait_for_it(
    strike: Strike, number: int, rank: int, place: Place, words: str
) -> None:
    """It is named, wherever the other one waits for it, and the next round goes on."""
    struck = strike([Fault(place, "worker", (rank,), number)], 2, hang_floor_seconds=4, hang_ceiling_seconds=20)

    first, report = struck.cluster.pods[0], struck.cluster.pods[0].report()
    over = first.wait_for(r"round 1 is over: (.*)").group(1)
    assert (f"rank {rank} hangs: ", True) == (over[: len("rank 0 hangs: ")], words in over), over
    assert (Outcome.COMPLETED, 2) == (report.outcome, report.generation)
