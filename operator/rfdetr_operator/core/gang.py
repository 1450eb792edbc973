"""The gang of the stored attempt: what is missing is made, and when every rank runs the job does."""

from __future__ import annotations

from datetime import datetime, timedelta

from rfdetr_operator.api.v1alpha1 import Status, TrainingJob
from rfdetr_operator.core.conditions import Phase, Reason, State, build_status, find_condition
from rfdetr_operator.core.context import Context, build_delete, choose_living, keep_state, next_status
from rfdetr_operator.core.failures import Kind
from rfdetr_operator.core.manifests import build_claim, build_pod, build_service, choose_checkpoint_claim
from rfdetr_operator.core.model import Create, Plan, PodPhase
from rfdetr_operator.core.replacing import choose_due
from rfdetr_operator.core.run_config import build_run_config
from rfdetr_operator.core.times import format_time, read_time

REFUSED_RETRY = timedelta(seconds=60)  # a quota may be raised, a webhook mended
NAME_RETRY = timedelta(seconds=2)  # what carries a needed name is not watched when it is not ours
PROBLEMS = frozenset(
    {
        "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError",
        "CreateContainerError", "RunContainerError", "Unschedulable", "SchedulingGated",
    }
)  # fmt: skip


def plan_stale(context: Context) -> Plan | None:
    """A pod of an older attempt gives its rank's name back."""
    stale = [
        build_delete(each)
        for each in context.observed.workers
        if each.attempt != context.status.attempt and not each.terminating
    ]
    return Plan(context.status, delete=tuple(stale)) if stale else None


def plan_gang(context: Context) -> Plan:
    """Make what is missing; otherwise say how the gang stands."""
    status = next_status(context, choose_state(context))
    due = choose_due(context.status)
    if context.missing and due is not None and context.now < due:
        return Plan(status, requeue_after=due - context.now)
    if (refused := plan_refused(context, status)) is not None:
        return refused
    create = choose_creates(context)
    if context.observed.foreign:
        return Plan(status, create=create, requeue_after=NAME_RETRY)
    if status.phase == Phase.RUNNING and not create:
        return Plan(status, requeue_after=context.settings.poll_interval, poll=True)
    return Plan(status, create=create)


def plan_refused(context: Context, status: Status) -> Plan | None:
    """Until it is tried again, half a gang that never ran holds nothing that others could use."""
    refused, running = read_time(context.status.refused_time), find_condition(context.status, "Running")
    if refused is None or running is None or running.reason != Reason.CREATE_REFUSED or not context.missing:
        return None
    if (due := refused + REFUSED_RETRY) <= context.now:
        return None
    half = choose_living(context.workers) if context.is_held_back else ()
    return Plan(status, delete=half, requeue_after=due - context.now)


def choose_creates(context: Context) -> tuple[Create, ...]:
    """The Service before the claim before the pods. Pods of one attempt are told the same, whoever makes them."""
    job, found = context.job, []
    claim = choose_checkpoint_claim(job)
    if not context.observed.service:
        found.append(Create("Service", build_service(job)))
    if job.spec.checkpoints.volume_claim_template and context.observed.claims.get(claim, ...) is None:
        found.append(Create("PersistentVolumeClaim", build_claim(job)))
    if context.missing:
        told = next((each.run_config for each in context.workers if each.run_config), "")
        told = told or build_run_config(job, job.status.attempt or 1).to_json()
        avoid = context.observed.avoid
        found += [Create("Pod", build_pod(job, rank, told, context.settings, avoid)) for rank in context.missing]
    return tuple(found)


def refuse(job: TrainingJob, message: str, now: datetime) -> Status:
    """The status of a job whose child the API server will not make, in the API server's own words."""
    phase = Phase(job.status.phase or Phase.STARTING)
    state = State(phase, Reason.CREATE_REFUSED, message)
    return build_status(job.status, state, job.metadata, now, refused_time=format_time(now))


def choose_state(context: Context) -> State:
    """Running when every rank runs or is done; until then starting, or restarting if it ran before."""
    wanted = len(context.ranks)
    there = [each for each in context.verdicts if each.kind in (Kind.ALIVE, Kind.SUCCESS)]
    up = [each for each in there if each.worker.phase in (PodPhase.RUNNING, PodPhase.SUCCEEDED)]
    if len(up) == wanted:
        return State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, f"all {wanted} node ranks run")
    ran = context.status.phase in (Phase.RUNNING, Phase.RESTARTING)
    phase, reason = (Phase.RESTARTING, Reason.PREEMPTED) if ran else (Phase.STARTING, Reason.STARTING)
    if context.observed.foreign:
        taken = ", ".join(context.observed.foreign)
        return State(phase, Reason.NAME_CONFLICT, f"waiting for names that belong to something else: {taken}")
    kept = keep_state(context.status, State(phase, reason, "pods are being made"))
    if kept.reason is Reason.CREATE_REFUSED and context.missing:
        return kept  # until nothing is missing: a wish that is refused again is no news
    if kept.reason in (Reason.NAME_CONFLICT, Reason.CREATE_REFUSED) or kept.phase is not phase:
        kept = State(phase, reason, "pods are being made")
    waiting = [each.worker for each in there if each.worker.waiting in PROBLEMS]
    if not waiting:
        return kept
    first = waiting[0]
    return State(
        phase,
        kept.reason,
        f"node rank {first.node_rank} waits: {first.waiting}; see: kubectl describe pod {first.name}",
    )
