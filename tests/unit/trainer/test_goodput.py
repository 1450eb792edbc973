"""Where a pod's time goes, by a clock of the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfdetr_contract.metrics import GOODPUT
from rfdetr_contract.report import FailureReason, Outcome
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.goodput import OF_PHASE, Ledger, read_age, share_redone
from rfdetr_trainer.messages import WorkerMessage


class Pod:
    """A board and what happens around it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.board = Board(node_rank=0, attempt=1, clock=lambda: self.now)

    def say(self, after: float, **news: object) -> None:
        """Its first rank says something, some time later."""
        self.now += after
        message = {"rank": 0, "generation": self.board.generation, **news}
        self.board.hear(WorkerMessage.model_validate(message))

    def begin(self, after: float, resumed: int | None = None, redoing: int = 0) -> None:
        """A round begins."""
        self.now += after
        self.board.begin(self.board.generation + 1, 0, resumed, redoing)

    def end(self, after: float) -> dict[str, float]:
        """What the last report says."""
        self.now += after
        return self.board.complete(self.board.build_report(0), 0).seconds


def test_every_category_of_the_contract_can_be_spent() -> None:
    """Those of the phases, and those between them."""
    assert set(GOODPUT) == {*OF_PHASE.values(), "rendezvous", "redone", "hang"}


def test_a_run_from_its_start_to_its_end() -> None:
    """Each second has one cause."""
    pod = Pod()
    pod.now += 4
    pod.board.note_ready()
    pod.begin(2)
    pod.say(3, phase="first_step")
    pod.say(1, phase="train", step=1)
    pod.say(5, phase="checkpoint", step=9)
    pod.say(0.5, phase="train")
    pod.say(0.5, phase="eval", step=10)
    pod.say(7, phase="train")
    pod.say(0, phase="judge")
    pod.say(2, phase="end", outcome=Outcome.COMPLETED)
    pod.board.note_end(0)

    expected = {"init": 7, "rendezvous": 2, "train": 6.5, "checkpoint": 0.5, "eval": 7, "judge": 2, "idle": 1}
    assert expected == pod.end(1)


@pytest.mark.parametrize(
    ("word", "category"), [({}, "idle"), ({"outcome": "failed"}, "rendezvous"), ({"outcome": "completed"}, "idle")]
)
def test_a_pod_whose_work_is_done_waits_for_nothing(word: dict[str, str], category: str) -> None:
    """Only rank 0 says an outcome when all is well; whoever fails says it and waits for the next round."""
    pod = Pod()
    pod.begin(0)
    pod.say(0, phase="end", **word)
    pod.board.note_end(0)

    assert {category: 5} == pod.end(5)


def test_steps_done_before_are_redone_and_not_trained() -> None:
    """The round reaches step 100 with step 60 durable: forty steps come again, then the hundredth is new."""
    pod = Pod()
    pod.begin(0)
    pod.say(0, phase="train", step=0)
    pod.say(100, step=100)
    pod.board.note_death(FailureReason.CRASHED)
    pod.board.note_end(0)
    pod.begin(10, resumed=60)
    pod.say(0, phase="train", step=60)
    pod.say(20, step=80)
    pod.say(40, step=120)
    pod.say(5, step=125)

    assert {"train": 125, "rendezvous": 10, "redone": 40} == pod.end(0)


def test_a_replaced_pod_knows_from_its_round_what_is_redone() -> None:
    """It has not seen the steps itself."""
    pod = Pod()
    pod.begin(0, resumed=60, redoing=40)
    pod.say(0, phase="train", step=60)
    pod.say(80, step=140)

    assert {"train": 40, "redone": 40} == pod.end(0)


def test_a_hang_takes_all_since_the_last_word() -> None:
    """The training that was believed stays; what nobody vouched for is lost."""
    pod = Pod()
    pod.begin(0)
    pod.say(0, phase="train", step=0)
    pod.say(10, step=10)
    pod.now += 60
    pod.board.note_death(FailureReason.HANG)
    pod.now += 2
    pod.board.note_end(0)

    assert {"train": 10, "hang": 62, "rendezvous": 3} == pod.end(3)


def test_what_a_worker_does_is_served_once_it_says_more() -> None:
    """A counter that showed it at once would fall if it was a hang."""
    pod = Pod()
    pod.begin(0)
    pod.say(1, phase="train", step=0)
    pod.now += 30
    silent = pod.board.build_report(0).seconds
    pod.say(0, step=30)

    assert ({"init": 1}, {"init": 1, "train": 30}) == (silent, pod.board.build_report(0).seconds)


def test_other_ranks_spend_no_time_of_the_pod() -> None:
    """The ranks of a node go in step: the first one is watched."""
    pod = Pod()
    pod.begin(0)
    pod.say(5, rank=1, phase="train")

    assert {"init": 5} == pod.end(0)


@pytest.mark.parametrize(
    ("before", "after", "done", "share"),
    [(0, 10, 0, 0), (0, 10, 10, 1), (0, 10, 4, 0.4), (5, 5, 6, 1), (6, 6, 6, 0), (8, 10, 4, 0)],
)
def test_the_share_of_a_way_that_was_gone_before(before: int, after: int, done: int, share: float) -> None:
    """A message may lie on both sides of the place where the last round ended."""
    assert share == pytest.approx(share_redone(before, after, done))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "begin", "phase", "step", "hang", "death", "end", "scrape"]),
        st.floats(0, 500),
        st.sampled_from(sorted(OF_PHASE)),
        st.integers(0, 200),
    ),
    max_size=60,
)


@given(EVENTS)
def test_the_categories_add_up_to_the_pods_life_and_none_ever_falls(events: list[tuple[str, float, str, int]]) -> None:
    """Whatever happens in whatever order."""
    pod, served = Pod(), dict[str, float]()
    for event, after, phase, step in events:
        match event:
            case "ready":
                pod.now += after
                pod.board.note_ready()
            case "begin":
                pod.begin(after, resumed=step)
            case "phase":
                pod.say(after, phase=phase)
            case "step":
                pod.say(after, step=step)
            case "hang":
                pod.now += after
                pod.board.note_death(FailureReason.HANG)
            case "death":
                pod.now += after
                pod.board.note_death(FailureReason.CRASHED)
            case "end":
                pod.now += after
                pod.board.note_end(0)
        seconds = pod.board.build_report(0).seconds
        assert all(seconds.get(name, 0.0) >= spent for name, spent in served.items())
        served = seconds

    life = pod.now - 1000.0
    assert life == pytest.approx(sum(pod.end(0).values()), abs=0.01)


def test_a_clock_that_stands_still_spends_nothing() -> None:
    """Nor does one that is read a moment too late."""
    ledger = Ledger(10.0)
    ledger.enter("train", 9.0, held=True)
    ledger.confirm(10.0)

    assert {"train": 0.0} == ledger.read(9.5, whole=True)


def test_the_launchers_own_start_is_part_of_its_life(tmp_path: Path) -> None:
    """The kernel knows when it was started; where it does not tell, life begins with the board."""
    assert (True, 0.0) == (0 < read_age() < 86400, read_age(tmp_path / "none"))
