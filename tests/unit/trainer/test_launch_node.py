"""What one launcher does with its own workers, decided without a process."""

from __future__ import annotations

import signal

import pytest

from rfdetr_contract.report import FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.node import (
    Command,
    Connected,
    Disconnected,
    Event,
    Finish,
    SignalWorkers,
    StartWorkers,
    State,
    StopAsked,
    StopNow,
    Tell,
    Warmed,
    WorkerEnded,
    ZygoteLost,
    advance,
)
from rfdetr_trainer.launch.wire import Died, Done, End, Idle, Leaving, Preempted, Round, Stop, Unfit

ROUND = Round(generation=1, store_port=4000, resume=None)
KILL, TERM = SignalWorkers(signal.SIGKILL), SignalWorkers(signal.SIGTERM)
DEATH = Died(generation=1, rank=0, reason=FailureReason.CRASHED, message="gone")
REPORT = RunReport(outcome=Outcome.COMPLETED)


def play(*events: Event, ranks: tuple[int, ...] = (0, 1)) -> tuple[State, tuple[Command, ...]]:
    """The state after the events, and what the last one led to."""
    state = State(ranks=ranks)
    commands: tuple[Command, ...] = ()
    for event in events:
        state, commands = advance(state, event)
    return state, commands


BEGUN: tuple[Event, ...] = (Connected(), Warmed(), ROUND)


@pytest.mark.parametrize("events", [(Connected(), Warmed()), (Warmed(), Connected())])
def test_a_launcher_is_idle_once_it_is_connected_and_warm(events: tuple[Event, ...]) -> None:
    """It says so once."""
    assert (Tell(Idle()),) == play(*events)[1]
    assert () == play(*events, Warmed())[1]


def test_a_round_starts_every_worker() -> None:
    """All ranks of the node live."""
    state, commands = play(*BEGUN)

    assert (frozenset({0, 1}), (StartWorkers(ROUND),)) == (state.alive, commands)


def test_the_first_death_is_told_and_the_others_are_killed_at_once() -> None:
    """A worker in a dead collective would wait for its time-out."""
    assert (Tell(DEATH), KILL) == play(*BEGUN, WorkerEnded(0, -9, DEATH))[1]


def test_those_who_were_killed_for_it_are_not_told_as_deaths() -> None:
    """The node is idle again when the last one is dead."""
    lost = Died(generation=1, rank=1, reason=FailureReason.PEER_LOST, message="rank 0 is gone")

    for death in (None, lost):
        assert (Tell(Idle()),) == play(*BEGUN, WorkerEnded(0, -9, DEATH), WorkerEnded(1, -9, death))[1]


def test_a_cause_that_is_heard_after_its_effect_is_told_as_well() -> None:
    """Two ranks of a node die within a moment, and the one that lost its peer is found first."""
    lost = Died(generation=1, rank=1, reason=FailureReason.PEER_LOST, message="rank 0 is gone")

    assert (Tell(DEATH), Tell(Idle())) == play(*BEGUN, WorkerEnded(1, 1, lost), WorkerEnded(0, 1, DEATH))[1]


def test_a_lost_leader_costs_the_workers_at_once() -> None:
    """A node that is cut off must not train on."""
    assert (KILL,) == play(*BEGUN, Disconnected())[1]


def test_a_stop_of_an_older_round_is_no_news() -> None:
    """It was told late."""
    later = Round(generation=2, store_port=4000, resume=None)

    assert () == play(Connected(), Warmed(), later, Stop(generation=1))[1]
    assert (KILL,) == play(Connected(), Warmed(), later, Stop(generation=2))[1]


def test_a_good_end_is_told_with_rank_0s_report() -> None:
    """The node then waits to hear that the run is over."""
    state, commands = play(*BEGUN, WorkerEnded(0, 0, report=REPORT), WorkerEnded(1, 0))

    assert (Tell(Done(generation=1, report=REPORT)), Tell(Idle())) == commands
    assert (Finish(REPORT),) == advance(state, End(report=REPORT))[1]


def test_a_node_that_was_not_signalled_waits_after_its_workers_saved() -> None:
    """Its peer was told to stop; this pod stays, warm."""
    commands = play(*BEGUN, WorkerEnded(0, 75), WorkerEnded(1, 75))[1]

    assert (Tell(Preempted(generation=1)), Tell(Idle())) == commands


def test_a_signal_goes_to_the_workers_and_the_launcher_leaves_after_them() -> None:
    """They save, it reports."""
    state, asked = play(*BEGUN, StopAsked())
    state, _ = advance(state, WorkerEnded(0, 75))
    state, left = advance(state, WorkerEnded(1, 75))

    assert (Tell(Leaving()), TERM) == asked
    report = RunReport(outcome=Outcome.PREEMPTED, message="stopped on a signal, with a checkpoint")
    assert (Tell(Preempted(generation=1)), Finish(report)) == left


def test_a_launcher_whose_volume_refused_the_last_save_says_so() -> None:
    """One worker's word is enough; the next round knows nothing of it."""
    state, _ = play(*BEGUN, StopAsked(), WorkerEnded(0, 75, unsaved=True))
    words = "stopped on a signal, without a new checkpoint: the volume refused it"
    report = RunReport(outcome=Outcome.PREEMPTED, message=words)

    assert (Tell(Preempted(generation=1)), Finish(report)) == advance(state, WorkerEnded(1, 75))[1]
    ended = (WorkerEnded(0, 75, unsaved=True), WorkerEnded(1, 75))
    again = play(*BEGUN, *ended, ROUND.model_copy(update={"generation": 2}))[0]
    assert (2, frozenset({0, 1}), False, False) == (again.generation, again.alive, again.left, again.unsaved)


@pytest.mark.parametrize("impatience", [StopAsked(), StopNow()])
def test_a_second_signal_or_the_end_of_time_kills(impatience: Event) -> None:
    """Now means now."""
    state, commands = play(*BEGUN, StopAsked(), impatience)
    state, _ = advance(state, WorkerEnded(0, -9))

    assert (KILL,) == commands
    report = RunReport(outcome=Outcome.PREEMPTED, message="stopped on a signal, without a new checkpoint")
    assert (Finish(report),) == advance(state, WorkerEnded(1, -9))[1]


def test_a_signal_without_workers_ends_the_launcher_at_once() -> None:
    """There is nothing to save."""
    report = RunReport(outcome=Outcome.PREEMPTED, message="stopped on a signal, with no training in progress")

    assert (Tell(Leaving()), Finish(report)) == play(Connected(), StopAsked())[1]


def test_a_launcher_that_leaves_starts_no_round() -> None:
    """The order crossed its farewell."""
    state = State(ranks=(0,), connected=True, warm=True, stopping=True)

    assert (state, (Tell(Leaving()),)) == advance(state, ROUND)


def test_the_end_kills_what_still_runs_and_then_finishes() -> None:
    """No worker outlives the run."""
    failed = RunReport(outcome=Outcome.FAILED)
    state, commands = play(*BEGUN, End(report=failed), ranks=(0,))

    assert ((KILL,), (Finish(failed),)) == (commands, advance(state, WorkerEnded(0, -9))[1])


def test_a_dead_fork_server_is_told_as_a_death_and_the_node_is_idle_when_the_next_is_warm() -> None:
    """The kernel killed the workers with it."""
    state, commands = play(*BEGUN, ZygoteLost())

    words = "the fork server was killed, and its workers with it"
    assert (Tell(DEATH.model_copy(update={"message": words})),) == commands
    assert (Tell(Idle()),) == advance(state, Warmed())[1]


def test_a_node_that_may_not_train_says_so_and_ends_with_the_others() -> None:
    """It is idle at no time, whether it was connected before or after its judgement."""
    unfit = Unfit(report=RunReport(outcome=Outcome.FAILED, reason=FailureReason.DATA_ERROR))

    assert [(Tell(unfit),), (Tell(unfit),)] == [play(Connected(), unfit)[1], play(unfit, Connected())[1]]
    assert (Finish(unfit.report),) == play(Connected(), unfit, End(report=unfit.report))[1]
