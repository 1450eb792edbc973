"""When a round begins, what a death means and when a run is over, decided without a socket or a clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rfdetr_contract.report import FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.rounds import advance, choose_culprit
from rfdetr_trainer.launch.rounds_model import (
    Choose,
    Chosen,
    Claim,
    Claimed,
    Command,
    EndAll,
    Event,
    From,
    Lost,
    Over,
    Overdue,
    Phase,
    Publish,
    Reached,
    Spec,
    State,
    StopAll,
)
from rfdetr_trainer.launch.wire import Died, Done, Hello, Idle, Leaving, Preempted, Round, Unfit
from rfdetr_trainer.resume import Resume

SPEC = Spec(nodes=2, nproc=1, config_hash="h", same_failure_limit=3)
CRASHED, LOST_PEER = FailureReason.CRASHED, FailureReason.PEER_LOST


def make_hello(node_rank: int = 0, nproc: int = 1, config_hash: str = "h", step: int = 0) -> Hello:
    """A launcher's first words."""
    return Hello(
        job_uid="u",
        attempt=1,
        node_rank=node_rank,
        nproc=nproc,
        config_hash=config_hash,
        pod_uid=f"p{node_rank}",
        step=step,
    )


def make_resume(step: int) -> Resume:
    """A checkpoint at a step."""
    return Resume(file=f"/o/{step}", sha256="0", size=1, step=step, epoch=0, batch_in_epoch=0, world_size=2)


def make_death(reason: FailureReason = CRASHED, rank: int = 1, generation: int = 1) -> Died:
    """A worker's death."""
    return Died(generation=generation, rank=rank, reason=reason, message=f"rank {rank}: {reason}")


def play(state: State, *events: Event) -> tuple[State, tuple[Command, ...]]:
    """The state after the events, and what the last one led to."""
    commands: tuple[Command, ...] = ()
    for event in events:
        state, commands = advance(state, event)
    return state, commands


def gather(state: State) -> tuple[State, tuple[Command, ...]]:
    """Both launchers come and are idle."""
    return play(state, From(0, make_hello(0)), From(0, Idle()), From(1, make_hello(1)), From(1, Idle()))


def run_round(generation: int = 1, step: int = 0, state: State | None = None) -> State:
    """A running round that resumed from the step."""
    gathered = gather(State(SPEC))[0] if state is None else state
    resume = make_resume(step) if step else None
    return play(gathered, Chosen(resume, 0), Claimed(generation, 4000))[0]


def test_a_round_needs_every_launcher_idle() -> None:
    """One that is here but not warm is waited for."""
    state, _ = play(State(SPEC), From(0, make_hello(0)), From(0, Idle()), From(1, make_hello(1)))

    assert Phase.GATHERING == state.phase
    assert (replace(state, phase=Phase.CHOOSING, peers=advance(state, From(1, Idle()))[0].peers), (Choose(),)) == (
        advance(state, From(1, Idle()))
    )


def test_a_round_is_claimed_before_it_is_published() -> None:
    """Nobody trains in a generation that is not durably ours."""
    state, _ = gather(State(SPEC))
    state, claiming = advance(state, Chosen(make_resume(10), 4))
    state, publishing = advance(state, Claimed(7, 4000))

    assert (Claim(make_resume(10), 4),) == claiming
    assert (Publish(Round(generation=7, store_port=4000, resume=make_resume(10), steps_redone=4)),) == publishing
    assert (Phase.RUNNING, 7) == (state.phase, state.generation)


def test_a_peer_lost_while_a_round_is_prepared_puts_it_off() -> None:
    """The claim stays unused: a number is cheap."""
    state, _ = play(gather(State(SPEC))[0], Chosen(None, 0), Lost(1))

    assert (Phase.GATHERING, ()) == (advance(state, Claimed(1, 4000))[0].phase, advance(state, Claimed(1, 4000))[1])


def test_a_death_stops_the_round_and_the_next_one_waits_for_every_node() -> None:
    """Survivors are killed at once; the round begins when the last is idle."""
    state, stopping = advance(run_round(), From(1, make_death()))
    state, waiting = advance(state, From(1, Idle()))
    state, choosing = advance(state, From(0, Idle()))

    assert ((StopAll(1),), (), (Choose(),)) == (stopping, waiting, choosing)
    assert make_death() == state.failure


def test_the_culprit_is_the_first_that_no_lost_connection_explains() -> None:
    """A survivor's broken connection may be heard before the death that broke it."""
    deaths = (make_death(LOST_PEER, rank=0), make_death(CRASHED, rank=1), make_death(CRASHED, rank=2))

    assert (deaths[1], deaths[0]) == (choose_culprit(deaths), choose_culprit(deaths[:1]))


def test_the_next_round_says_what_ended_the_one_before() -> None:
    """Restarts are counted by their cause on every node, whatever was heard there first."""
    deaths = (make_death(LOST_PEER, rank=0), make_death(CRASHED, rank=1))
    state, _ = play(run_round(), *(From(death.rank, death) for death in deaths), From(0, Idle()), From(1, Idle()))
    _, commands = play(state, Chosen(None, 0), Claimed(2, 4000))

    assert (Publish(Round(generation=2, store_port=4000, resume=None, cause=CRASHED)),) == commands


def test_the_same_failure_without_a_new_durable_step_ends_the_run() -> None:
    """Three times at one step is no accident."""
    state = run_round(1, 10)
    commands: tuple[Command, ...] = ()
    for generation in (1, 2, 3):
        state, _ = play(state, From(1, make_death(generation=generation)), From(0, Idle()), From(1, Idle()))
        state, commands = advance(state, Chosen(make_resume(10), 0))
        state, _ = advance(state, Claimed(generation + 1, 4000))

    words = "rank 1: Crashed (3 times at step 10, without a new durable step)"
    report = RunReport(outcome=Outcome.FAILED, reason=CRASHED, message=words, culprit_rank=1)
    assert (EndAll(report),) == commands


def test_a_new_durable_step_forgives_earlier_failures() -> None:
    """Twenty crashes with progress between them are twenty restarts."""
    state = run_round(1, 10)
    for generation in range(1, 21):
        state, _ = play(state, From(1, make_death(generation=generation)), From(0, Idle()), From(1, Idle()))
        state, _ = play(state, Chosen(make_resume(10 + generation), 0), Claimed(generation + 1, 4000))

    assert (Phase.RUNNING, 21) == (state.phase, state.generation)


@pytest.mark.parametrize("excuse", [Lost(1), From(1, Leaving())])
def test_a_death_beside_a_peer_that_left_is_not_counted(excuse: Event) -> None:
    """Whoever loses a peer dies of it: that is no failure of the run."""
    state, _ = play(run_round(), From(0, make_death(rank=0)), excuse, Lost(1), From(0, Idle()))

    assert (Phase.GATHERING, None) == (state.phase, state.failure)


def test_a_permanent_failure_ends_the_run_in_its_first_round() -> None:
    """A wrong configuration is as wrong the next time."""
    death = make_death(FailureReason.CONFIG_ERROR)
    state, commands = play(run_round(), From(1, death), From(0, Idle()), From(1, Idle()))

    report = RunReport(outcome=Outcome.FAILED, reason=FailureReason.CONFIG_ERROR, message=death.message, culprit_rank=1)
    assert (Phase.ENDED, (EndAll(report),)) == (state.phase, commands)


def test_a_preempted_round_is_no_failure() -> None:
    """The workers saved and left; the next round waits for the pod that is made again."""
    state, _ = play(run_round(), From(1, Leaving()), From(0, Preempted(generation=1)), From(0, Idle()))
    state, _ = play(state, From(1, Preempted(generation=1)), Lost(1))

    assert (Phase.GATHERING, None) == (state.phase, state.failure)
    assert (Choose(),) == play(state, From(1, make_hello(1)), From(1, Idle()))[1]


def test_a_launcher_that_leaves_takes_part_in_no_round() -> None:
    """It is idle, but not for long."""
    state, commands = play(State(SPEC), From(0, make_hello(0)), From(0, Leaving()), From(0, Idle()))
    state, commands = play(state, From(1, make_hello(1)), From(1, Idle()))

    assert (Phase.GATHERING, ()) == (state.phase, commands)


def test_the_run_is_over_when_every_node_is_done() -> None:
    """Rank 0's node brings the report; the redone steps are added."""
    report = RunReport(outcome=Outcome.EARLY_STOPPED)
    state, first = advance(run_round(), From(0, Done(generation=1, report=report)))
    state, second = advance(state, From(1, Done(generation=1)))

    assert ((), (EndAll(report),), Phase.ENDED) == (first, second, state.phase)


def test_a_run_that_the_volume_calls_complete_is_over() -> None:
    """Its last round may have died after the result was written."""
    report = RunReport(outcome=Outcome.COMPLETED)

    assert (EndAll(report),) == advance(gather(State(SPEC))[0], Over(report))[1]


def test_redone_steps_are_counted_from_the_last_step_heard_of() -> None:
    """Reached 17, resumed from 10: seven steps are done again, on top of those of earlier rounds."""
    state, _ = play(run_round(1, 5), Reached(17), Lost(1), From(0, Idle()))
    state, _ = play(state, From(1, make_hello(1)), From(1, Idle()), Chosen(make_resume(10), 3), Claimed(2, 4000))

    assert (10, 10) == (state.redone, state.reached)


def test_a_replaced_leader_learns_from_its_peers_how_far_the_run_was() -> None:
    """The survivor heard step 30 from rank 0's launcher before it was lost."""
    state, _ = play(State(SPEC), From(0, make_hello(0)), From(0, Idle()), From(1, make_hello(1, step=30)))
    state, commands = play(state, From(1, Idle()), Chosen(make_resume(25), 2))

    assert (Claim(make_resume(25), 7),) == commands


@pytest.mark.parametrize(
    ("hello", "message"),
    [
        (make_hello(2), "node rank 2 joined a world of 2 nodes"),
        (make_hello(1, nproc=2), "node rank 1 has --nproc-per-node=2, node rank 0 has 1"),
        (make_hello(1, config_hash="x"), "node rank 1 runs another configuration than node rank 0"),
    ],
)
def test_a_launcher_of_another_world_ends_the_run(hello: Hello, message: str) -> None:
    """Nothing silently trains with another effective batch."""
    report = RunReport(outcome=Outcome.FAILED, reason=FailureReason.WORLD_SIZE_MISMATCH, message=message)

    assert (EndAll(report),) == advance(State(SPEC), From(hello.node_rank, hello))[1]


def test_a_launcher_that_comes_after_the_end_is_told() -> None:
    """Rank 0's own may be the last to connect."""
    ended, told = advance(State(SPEC), From(1, make_hello(1, nproc=2)))

    assert (ended, told) == advance(ended, From(0, make_hello(0)))


def test_a_replacement_that_is_faster_than_the_news_of_the_loss_ends_the_round() -> None:
    """The old connection of a rank is void once a new one greets."""
    state, commands = advance(run_round(), From(1, make_hello(1)))

    assert (Phase.STOPPING, (StopAll(1),)) == (state.phase, commands)


def test_workers_that_stay_long_after_their_peers_have_left_are_killed() -> None:
    """A round that is over for one rank is over for all."""
    state, _ = advance(run_round(), From(0, Preempted(generation=1)))

    assert (StopAll(1),) == advance(state, Overdue(1))[1]
    assert () == advance(state, Overdue(0))[1]


def test_a_death_of_an_older_round_is_no_news() -> None:
    """It was told late."""
    state = run_round(2)

    assert (state, ()) == advance(state, From(1, make_death(generation=1)))


def test_a_node_that_may_not_train_ends_the_run_for_all() -> None:
    """The others would wait for it for ever."""
    report = RunReport(outcome=Outcome.FAILED, reason=FailureReason.DATA_ERROR, message="image 7 is missing")
    state, commands = play(State(SPEC), From(0, make_hello(0)), From(1, make_hello(1)), From(1, Unfit(report=report)))

    assert (Phase.ENDED, (EndAll(report),)) == (state.phase, commands)
