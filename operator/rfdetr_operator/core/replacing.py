"""Lost pods: each is counted once, as a preemption or against the budget, and its object is removed for a new one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rfdetr_contract.report import FailureReason
from rfdetr_operator.api.v1alpha1 import Restarts, Status
from rfdetr_operator.core.conditions import Phase, Reason, State
from rfdetr_operator.core.context import Context, build_delete, keep_state, next_status
from rfdetr_operator.core.ending import plan_failed
from rfdetr_operator.core.failures import Kind, Verdict
from rfdetr_operator.core.model import Delete, Plan
from rfdetr_operator.core.times import format_time, read_time

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(seconds=60)
SAME_INCIDENT = timedelta(seconds=30)  # a peer that is lost within this time of a failure was lost by it
COUNTED_LIMIT = 256


def choose_due(status: Status) -> datetime | None:
    """When the pods may be made again after a counted failure: 1 s later, doubled each time, at most 60 s."""
    failed, counted = read_time(status.last_failure_time), (status.restarts or Restarts()).counted
    if failed is None or counted < 1:
        return None
    doubled: int = 2 ** min(counted - 1, 16)
    return failed + min(FIRST_DELAY * doubled, LONGEST_DELAY)


def plan_replace(context: Context) -> Plan | None:
    """Count what is newly lost, then remove the objects of the dead."""
    known = set(context.status.counted_pods)
    fresh = [each for each in context.verdicts if each.worker.uid not in known]
    taken = (Kind.PREEMPTED, Kind.LEAVING)
    preempted = [each for each in fresh if each.kind in taken and not context.is_held_back]  # else we deleted it
    failed = [each for each in fresh if each.kind is Kind.FAILED]
    vanished = context.missing if context.status.phase == Phase.RUNNING else ()
    dead = choose_dead(context)
    if not preempted and not failed and not vanished:
        return Plan(next_status(context, _keep(context)), delete=dead) if dead else None
    spent = _choose_culprit(context, failed)
    restarts = context.restarts.model_copy(
        update={
            "counted": context.restarts.counted + (spent is not None),
            "preemptions": context.restarts.preemptions + len(preempted) + len(vanished),
        }
    )
    updates = {
        "restarts": restarts,
        "counted_pods": [*context.status.counted_pods, *(each.worker.uid for each in [*preempted, *failed])][
            -COUNTED_LIMIT:
        ],
        "last_failure_time": format_time(context.now) if spent else context.status.last_failure_time,
    }
    limit = context.job.spec.run_policy.max_restarts
    if spent is not None and restarts.counted > limit:
        sentence = f"more than {limit} restarts (runPolicy.maxRestarts); the last failure: {spent.sentence}"
        return plan_failed(context, Reason.BACKOFF_LIMIT_EXCEEDED, sentence, **updates)
    state = _build_state(context, spent, [each.worker.node_rank for each in preempted], vanished, restarts.counted)
    return Plan(next_status(context, state, **updates), delete=dead, again=not dead)


def choose_dead(context: Context) -> tuple[Delete, ...]:
    """Ended pods whose rank is needed again. A rank that was done goes too when another is lost before it was."""
    lost = (Kind.FAILED, Kind.PREEMPTED)
    broken = (
        context.status.phase == Phase.RESTARTING
        or bool(context.missing)
        or any(each.kind in (*lost, Kind.LEAVING) for each in context.verdicts)
    )
    kinds = (*lost, Kind.SUCCESS) if broken else lost
    return tuple(
        build_delete(each.worker) for each in context.verdicts if each.kind in kinds and not each.worker.terminating
    )


def _choose_culprit(context: Context, failed: list[Verdict]) -> Verdict | None:
    """Deaths seen together are one failure; ranks that only lost a peer are its victims."""
    causes = [each for each in failed if each.reason is not FailureReason.PEER_LOST]
    if causes:
        return causes[0]
    last = read_time(context.status.last_failure_time)
    if not failed or (last is not None and context.now - last < SAME_INCIDENT):
        return None
    return failed[0]


def _build_state(
    context: Context, spent: Verdict | None, preempted: list[int], vanished: tuple[int, ...], counted: int
) -> State:
    if spent is not None:
        limit = context.job.spec.run_policy.max_restarts
        return State(Phase.RESTARTING, Reason.WORKER_FAILED, f"{spent.sentence} (restart {counted} of {limit})")
    ranks = sorted({*preempted, *vanished})
    if not ranks:
        return replace(_keep(context), phase=Phase.RESTARTING)
    who = f"node rank {ranks[0]} is" if len(ranks) == 1 else f"node ranks {', '.join(map(str, ranks))} are"
    return State(Phase.RESTARTING, Reason.PREEMPTED, f"{who} being replaced after a preemption")


def _keep(context: Context) -> State:
    return keep_state(context.status, State(Phase.RESTARTING, Reason.WORKER_FAILED, "a pod is being replaced"))
