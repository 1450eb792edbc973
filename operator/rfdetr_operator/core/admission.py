"""Whether a job may start: its spec makes sense, and the claims that it names are there and fit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from rfdetr_operator.api.v1alpha1 import Metadata, Status, TrainingJob
from rfdetr_operator.core.conditions import Phase, Reason, State, build_notices, build_status, is_terminal
from rfdetr_operator.core.context import BETWEEN_ATTEMPTS, Context, keep_state, next_status
from rfdetr_operator.core.manifests import choose_checkpoint_claim
from rfdetr_operator.core.model import Claim, Plan

CLAIM_RETRY = timedelta(seconds=15)  # claims are not watched
SHARED = frozenset({"ReadWriteMany"})
READABLE = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def choose_claims(job: TrainingJob) -> tuple[str, ...]:
    """Claims worth a look: those of a job that is about to start, and a templated one until every pod runs."""
    if job.status.attempt is None or job.status.phase in BETWEEN_ATTEMPTS:
        return (job.spec.dataset.claim_name, choose_checkpoint_claim(job))
    if job.spec.checkpoints.volume_claim_template and job.status.phase in (Phase.STARTING, Phase.RESTARTING):
        return (choose_checkpoint_claim(job),)
    return ()


def build_refused_state(status: Status, sentence: str) -> State:
    """A spec that can never run fails a job that has not started; a started one goes on with what it has."""
    failed = State(Phase.FAILED, Reason.INVALID_SPEC, sentence, Reason.INVALID_SPEC, sentence)
    return failed if status.attempt is None else keep_state(status, failed)


def plan_invalid(context: Context) -> Plan | None:
    """The spec is refused; suspending what runs works all the same."""
    if not context.refusal or (context.status.attempt is not None and context.job.spec.suspend):
        return None
    return Plan(next_status(context, build_refused_state(context.status, context.refusal)))


def plan_unreadable(body: dict[str, Any], error: ValidationError, now: datetime) -> Plan:
    """The spec is not one of this version: the same refusal, from the raw object."""
    status = Status.model_validate(body.get("status") or {})
    metadata = Metadata.model_validate(body["metadata"])
    if is_terminal(status, metadata.generation) or metadata.deletion_timestamp:
        return Plan(status)
    after = build_status(status, build_refused_state(status, build_sentence(error)), metadata, now)
    return Plan(after, notices=build_notices(status, after))


def build_sentence(error: ValidationError) -> str:
    """The first complaint of a validation, with its path and value."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{path}: {first['msg']}, got {first['input']!r:.200}"


def plan_claims(context: Context) -> Plan | None:
    """A claim that is missing or does not fit is waited for, with a sentence."""
    if not context.is_starting:
        return None
    job = context.job
    data, output = job.spec.dataset.claim_name, choose_checkpoint_claim(job)
    templated = job.spec.checkpoints.volume_claim_template is not None
    problem = _check_claim(context, "dataset.claimName", data, READABLE) or (
        _check_claim(context, "checkpoints.claimName", output, SHARED, may_lack=templated)
    )
    if problem is None:
        return None
    reason, sentence = problem
    state = State(Phase.PENDING, reason, sentence, reason, sentence)
    return Plan(next_status(context, state), requeue_after=CLAIM_RETRY)


def _check_claim(
    context: Context, field: str, name: str, modes: frozenset[str], *, may_lack: bool = False
) -> tuple[Reason, str] | None:
    claim: Claim | None = context.observed.claims.get(name)
    if claim is None:
        missing = f"{field}: PersistentVolumeClaim {name} does not exist in namespace {context.job.metadata.namespace}"
        return None if may_lack else (Reason.CLAIM_NOT_FOUND, missing)
    if context.job.spec.nodes > 1 and not modes.intersection(claim.access_modes):
        return Reason.CLAIM_NOT_READ_WRITE_MANY, (
            f"{field}: {context.job.spec.nodes} nodes need a claim with access mode {' or '.join(sorted(modes))}; "
            f"{name} has {', '.join(claim.access_modes) or 'none'}"
        )
    return None
