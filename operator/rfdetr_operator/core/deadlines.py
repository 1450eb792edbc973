"""What a run policy limits in time: the whole job, the start of an attempt, and how long an ended job is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from rfdetr_operator.core.conditions import ENDED, Phase, Reason, find_condition
from rfdetr_operator.core.context import Context
from rfdetr_operator.core.ending import plan_failed
from rfdetr_operator.core.gang import choose_state
from rfdetr_operator.core.model import Plan, PodPhase
from rfdetr_operator.core.times import read_time


def choose_due(since: str | None, seconds: int | None) -> datetime | None:
    """When a limit is reached; None: never."""
    start = read_time(since)
    return None if start is None or seconds is None else start + timedelta(seconds=seconds)


def choose_deadlines(context: Context) -> dict[Reason, datetime]:
    """The limits that are running, by the reason with which the job fails."""
    status, policy = context.status, context.job.spec.run_policy
    if status.attempt is None or status.phase in (*ENDED, Phase.SUSPENDED) or context.job.spec.suspend:
        return {}
    whole = choose_due(status.active_since, policy.active_deadline_seconds)
    start = choose_due(status.attempt_time, policy.startup_deadline_seconds)
    found = {Reason.DEADLINE_EXCEEDED: whole, Reason.STARTUP_DEADLINE_EXCEEDED: start}
    if has_run(context):
        del found[Reason.STARTUP_DEADLINE_EXCEEDED]
    return {reason: due for reason, due in found.items() if due is not None}


def has_run(context: Context) -> bool:
    """Every pod of the attempt ran at one moment: the Running condition changed since the attempt began."""
    running, began = find_condition(context.status, "Running"), read_time(context.status.attempt_time)
    if running is None or began is None:
        return False
    changed = read_time(running.last_transition_time)
    return running.status == "True" or (changed is not None and changed > began)


def plan_deadline(context: Context) -> Plan | None:
    """A limit that is reached fails the job, with what it waited for."""
    past = [(due, reason) for reason, due in choose_deadlines(context).items() if due <= context.now]
    if not past:
        return None
    _, reason = min(past)
    policy = context.job.spec.run_policy
    if reason is Reason.DEADLINE_EXCEEDED:
        return plan_failed(
            context, reason, f"the job ran for {policy.active_deadline_seconds} s (runPolicy.activeDeadlineSeconds)"
        )
    up = sum(each.phase is PodPhase.RUNNING for each in context.workers)
    return plan_failed(
        context,
        reason,
        f"{up} of {len(context.ranks)} pods ran after {policy.startup_deadline_seconds} s "
        f"(runPolicy.startupDeadlineSeconds); last seen: {choose_state(context).message}",
    )


def choose_end_of_life(context: Context) -> datetime | None:
    """When an ended job is deleted; None: never."""
    policy = context.job.spec.run_policy
    seconds = (
        policy.ttl_seconds_after_succeeded
        if context.status.phase == Phase.SUCCEEDED
        else policy.ttl_seconds_after_failed
    )
    return choose_due(context.status.completion_time, seconds)


def choose_next(context: Context) -> timedelta | None:
    """The time to the nearest limit."""
    dues = [due - context.now for due in choose_deadlines(context).values() if due > context.now]
    return min(dues, default=None)
