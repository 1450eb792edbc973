"""Attempts: a job starts, is suspended and resumed, or is resized. An attempt is stored before any pod of it is made."""

from __future__ import annotations

from dataclasses import replace

from rfdetr_contract.run import RunConfig
from rfdetr_operator.api.v1alpha1 import BatchPlanStatus, Restarts, WorldStatus
from rfdetr_operator.core.conditions import Phase, Reason, State
from rfdetr_operator.core.context import Context, build_delete, next_status
from rfdetr_operator.core.model import Delete, Notice, Plan
from rfdetr_operator.core.naming import build_selector
from rfdetr_operator.core.run_config import choose_resolution
from rfdetr_operator.core.times import format_time

# Process 1 of a container that has just started may not hear SIGTERM yet; the kernel drops what it has no handler for.
UNSEEN_GRACE = 30  # seconds that a pod has to leave before its ranks were ever counted


def choose_all(context: Context) -> tuple[Delete, ...]:
    """Deletes of every pod that nobody has deleted yet. Ranks that were never counted have little or nothing to save."""
    world = context.status.world
    deletes = [build_delete(each) for each in context.observed.workers if not each.terminating]
    if world is not None and world.attested is not None:
        return tuple(deletes)
    grace = min(UNSEEN_GRACE, context.job.spec.pod.termination_grace_period_seconds)
    return tuple(replace(each, grace=grace if each.grace is None else each.grace) for each in deletes)


def plan_suspend(context: Context) -> Plan | None:
    """Every rank saves and leaves within its grace period; then the job is suspended."""
    if not context.job.spec.suspend:
        return None
    if context.observed.workers:
        state = State(Phase.SUSPENDING, Reason.SUSPENDING, "every rank saves and leaves")
        return Plan(next_status(context, state), delete=choose_all(context))
    state = State(Phase.SUSPENDED, Reason.SUSPENDED, "no pod runs; set spec.suspend to false to go on")
    return Plan(next_status(context, state, nodes=0))


def plan_stop(context: Context) -> Plan | None:
    """An attempt whose spec changed, or that was being suspended, ends whole before the next one starts."""
    status = context.status
    if status.attempt is None or not context.observed.workers:
        return None
    if status.phase == Phase.SUSPENDING:
        state = State(Phase.SUSPENDING, Reason.SUSPENDING, "every rank saves and leaves; then the run goes on")
    elif context.is_changed or status.phase in (Phase.RESIZING, Phase.PENDING, Phase.SUSPENDED):
        state = State(
            Phase.RESIZING, Reason.RESIZING, f"every rank saves and leaves, to go on with {_say_world(context)}"
        )
    else:
        return None
    return Plan(next_status(context, state), delete=choose_all(context))


def _say_world(context: Context) -> str:
    return f"{context.job.spec.nodes} x {context.job.processes} ranks"


def plan_start(context: Context) -> Plan | None:
    """A new attempt is stored; the pass that follows makes its pods."""
    config = context.config
    if not context.is_starting or config is None:
        return None
    batch = config.batch
    state = State(
        Phase.STARTING,
        Reason.STARTING,
        f"attempt {config.attempt} starts with {_say_world(context)}: batch {batch.per_device} x accumulation "
        f"{batch.accumulation} x ranks {batch.ranks} = {batch.effective}, resolution {config.model.resolution}",
    )
    status = next_status(
        context,
        state,
        attempt=config.attempt,
        run_hash=context.run_hash,
        nodes=config.topology.nodes,
        selector=build_selector(context.job.metadata.name),
        restarts=context.restarts if context.status.restarts else Restarts(),
        start_time=context.status.start_time or format_time(context.now),
        active_since=choose_active_since(context),
        attempt_time=format_time(context.now),
        resizes=choose_resizes(context),
        batch_plan=BatchPlanStatus(
            per_device=batch.per_device, accumulation=batch.accumulation, ranks=batch.ranks, effective=batch.effective
        ),
        resolution=config.model.resolution,
        world=WorldStatus(expected=config.topology.world_size),
    )
    return Plan(status, notices=_build_remarks(context, config), again=True)


def choose_active_since(context: Context) -> str:
    """A resize goes on with the same deadline; a job that was suspended begins anew."""
    fresh = context.status.active_since is None or context.status.phase == Phase.SUSPENDED
    return format_time(context.now) if fresh else context.status.active_since or format_time(context.now)


def choose_resizes(context: Context) -> int | None:
    """Counted when an attempt begins with something else than the one before."""
    before = context.status.resizes
    return (before or 0) + 1 if context.is_changed else before


def _build_remarks(context: Context, config: RunConfig) -> tuple[Notice, ...]:
    remark = choose_resolution(context.job.spec).remark
    return (Notice("Normal", Reason.RESOLUTION_ADJUSTED, remark),) if remark and config.attempt == 1 else ()
