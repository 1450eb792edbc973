"""Conditions: a transition time changes only when a status does, and each change is told once."""

from __future__ import annotations

from builders import START, later, make_job
from rfdetr_operator.api.v1alpha1 import Condition, Status
from rfdetr_operator.core.conditions import (
    Phase,
    Reason,
    State,
    build_conditions,
    build_notices,
    build_status,
    find_condition,
    is_terminal,
)
from rfdetr_operator.core.model import Notice
from rfdetr_operator.core.times import format_time

STARTING = State(Phase.STARTING, Reason.STARTING, "attempt 1 starts")
RUNNING = State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, "all run")
LOST = State(Phase.RESTARTING, Reason.PREEMPTED, "node rank 1 is being replaced after a preemption")
REFUSED = State(Phase.FAILED, Reason.INVALID_SPEC, "no", Reason.INVALID_SPEC, "no")


def follow(*states: State) -> Status:
    """The status after each state, ten seconds apart."""
    status, meta = Status(), make_job().metadata
    for number, state in enumerate(states):
        status = build_status(status, state, meta, later(10 * number))
    return status


def test_a_starting_job_is_accepted_and_does_not_run() -> None:
    """The other conditions come when they first hold."""
    when = format_time(START)

    assert [
        Condition(
            type="Accepted",
            status="True",
            reason="Accepted",
            message="the spec is valid",
            last_transition_time=when,
            observed_generation=1,
        ),
        Condition(
            type="Running",
            status="False",
            reason="Starting",
            message="attempt 1 starts",
            last_transition_time=when,
            observed_generation=1,
        ),
    ] == build_conditions(Status(), STARTING, 1, START)


def test_a_transition_time_stays_while_the_status_does() -> None:
    """Running went from False to False: the reason is new, the time is not."""
    found = find_condition(follow(STARTING, LOST), "Running")

    assert found is not None
    assert ("Preempted", format_time(START)) == (found.reason, found.last_transition_time)


def test_a_condition_that_held_is_told_to_be_over() -> None:
    """After a restart the Restarting condition stays, as False."""
    found = find_condition(follow(STARTING, LOST, RUNNING), "Restarting")

    assert found is not None
    assert ("False", "AllRanksRunning", format_time(later(20))) == (
        found.status,
        found.reason,
        found.last_transition_time,
    )


def test_each_change_of_phase_is_one_event() -> None:
    """A preemption is normal."""
    assert (Notice("Normal", "Preempted", "node rank 1 is being replaced after a preemption"),) == build_notices(
        follow(STARTING, RUNNING), follow(STARTING, RUNNING, LOST)
    )


def test_the_same_state_again_is_no_event() -> None:
    """Only its wording changed."""
    again = State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, "all run well")

    assert () == build_notices(follow(STARTING, RUNNING), follow(STARTING, RUNNING, again))


def test_a_refused_spec_is_one_warning() -> None:
    """Accepted and Running say the same sentence; the user hears it once."""
    assert (Notice("Warning", "InvalidSpec", "no"),) == build_notices(Status(), follow(REFUSED))


def test_a_refused_spec_is_judged_anew_when_it_changes() -> None:
    """Every other end is final."""
    failed = State(Phase.FAILED, Reason.DATA_ERROR, "boxes only")

    assert [True, False, True, True, False] == [
        is_terminal(follow(REFUSED), 1),
        is_terminal(follow(REFUSED), 2),
        is_terminal(follow(failed), 2),
        is_terminal(follow(State(Phase.SUCCEEDED, Reason.COMPLETED, "done")), 2),
        is_terminal(follow(RUNNING), 1),
    ]
