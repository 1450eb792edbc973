"""The plan: one rule after another, and the first that has something to say decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from rfdetr_operator.api.v1alpha1 import TrainingJob
from rfdetr_operator.core.admission import plan_claims, plan_invalid
from rfdetr_operator.core.conditions import build_notices, is_terminal
from rfdetr_operator.core.context import Context, build_context
from rfdetr_operator.core.deadlines import choose_end_of_life, choose_next, plan_deadline
from rfdetr_operator.core.ending import plan_permanent, plan_success, plan_terminal
from rfdetr_operator.core.gang import plan_gang, plan_stale
from rfdetr_operator.core.lifecycle import plan_start, plan_stop, plan_suspend
from rfdetr_operator.core.lost_nodes import keep_watching, plan_lost_nodes
from rfdetr_operator.core.model import Observed, Plan
from rfdetr_operator.core.replacing import plan_replace
from rfdetr_operator.core.settings import CoreSettings

Rule = Callable[[Context], Plan | None]
RULES: Final[tuple[Rule, ...]] = (
    plan_terminal,
    plan_success,
    plan_permanent,
    plan_deadline,
    plan_lost_nodes,
    plan_invalid,
    plan_suspend,
    plan_stop,
    plan_claims,
    plan_start,
    plan_stale,
    plan_replace,
    plan_gang,
)


def plan(job: TrainingJob, observed: Observed, now: datetime, settings: CoreSettings) -> Plan:
    """The next step of a job, from the truth alone. A job that is being deleted needs none: its children go with it."""
    if job.metadata.deletion_timestamp:
        return Plan(job.status)
    context = build_context(job, observed, now, settings)
    found = next(step for rule in RULES if (step := rule(context)) is not None)
    timed = keep_time(context, keep_watching(context, found))
    return replace(timed, notices=(*build_notices(job.status, timed.status), *timed.notices))


def keep_time(context: Context, step: Plan) -> Plan:
    """Look again when a limit of the run policy is reached; an ended job whose time is over is removed."""
    if is_terminal(context.status, context.job.metadata.generation):
        due = choose_end_of_life(context)
        if due is not None and due <= context.now:
            return replace(step, remove=True)
        waits = [step.requeue_after, due - context.now if due else None]
    else:
        waits = [step.requeue_after, choose_next(context)]
    return replace(step, requeue_after=min((each for each in waits if each is not None), default=None))
