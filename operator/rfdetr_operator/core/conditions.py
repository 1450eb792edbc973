"""Phase and conditions of a job. Reasons come from one enum; a transition time changes only when a status does."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from rfdetr_operator.api.v1alpha1 import Condition, Display, Metadata, Restarts, Status
from rfdetr_operator.core.model import Notice
from rfdetr_operator.core.times import format_time

MESSAGE_LIMIT: Final = 1024


class Phase(enum.StrEnum):
    """One word for the conditions."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RESIZING = "Resizing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Reason(enum.StrEnum):
    """Every reason that a condition or an event may have."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    CLAIM_NOT_READ_WRITE_MANY = "ClaimNotReadWriteMany"
    NAME_CONFLICT = "NameConflict"
    CREATE_REFUSED = "CreateRefused"
    STARTING = "Starting"
    WORKER_WAITING = "WorkerWaiting"
    ALL_RANKS_RUNNING = "AllRanksRunning"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    WORKER_FAILED = "WorkerFailed"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RESIZING = "Resizing"
    COMPLETED = "Completed"
    EARLY_STOPPED = "EarlyStopped"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STARTUP_DEADLINE_EXCEEDED = "StartupDeadlineExceeded"
    CONFIG_ERROR = "ConfigError"
    DATA_ERROR = "DataError"
    WORLD_SIZE_MISMATCH = "WorldSizeMismatch"
    RESOLUTION_ADJUSTED = "ResolutionAdjusted"
    EVALUATORS_DISAGREE = "EvaluatorsDisagree"


ACCEPTED: Final = "Accepted"
RUNNING: Final = "Running"
TRUE_IN: Final[dict[str, Phase]] = {
    RUNNING: Phase.RUNNING,
    "Restarting": Phase.RESTARTING,
    "Suspended": Phase.SUSPENDED,
    "Complete": Phase.SUCCEEDED,
    "Failed": Phase.FAILED,
}
ENDED: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class State:
    """Where a job stands; ``refusal`` says why its spec is not accepted."""

    phase: Phase
    reason: Reason
    message: str
    refusal: Reason | None = None
    refusal_message: str = ""


def find_condition(status: Status, kind: str) -> Condition | None:
    """The condition of a type."""
    return next((each for each in status.conditions if each.type == kind), None)


def is_terminal(status: Status, generation: int) -> bool:
    """The job has ended. A spec that was refused before the first start may be mended: another generation is judged anew."""
    complete, failed = find_condition(status, "Complete"), find_condition(status, "Failed")
    if complete is not None and complete.status == "True":
        return True
    if failed is None or failed.status != "True":
        return False
    return failed.reason != Reason.INVALID_SPEC or failed.observed_generation == generation


def build_conditions(status: Status, state: State, generation: int, now: datetime) -> list[Condition]:
    """Accepted and Running are always told; the others from the first time that they hold."""
    refused = state.refusal is not None
    accepted = Condition(
        type=ACCEPTED,
        status="False" if refused else "True",
        reason=state.refusal or Reason.ACCEPTED,
        message=state.refusal_message if refused else "the spec is valid",
    )
    wanted = [accepted]
    for kind, phase in TRUE_IN.items():
        before = find_condition(status, kind)
        holds = state.phase is phase
        if holds or kind == RUNNING or (before is not None and before.status == "True"):
            value: Literal["True", "False"] = "True" if holds else "False"
            wanted.append(Condition(type=kind, status=value, reason=state.reason, message=state.message))
        elif before is not None:
            wanted.append(before)
    return [_settle(find_condition(status, each.type), each, generation, now) for each in wanted]


def _settle(before: Condition | None, after: Condition, generation: int, now: datetime) -> Condition:
    same = before is not None and before.status == after.status
    return after.model_copy(
        update={
            "reason": str(after.reason),
            "message": after.message[:MESSAGE_LIMIT],
            "observed_generation": generation,
            "last_transition_time": before.last_transition_time if before and same else format_time(now),
        }
    )


def build_status(status: Status, state: State, metadata: Metadata, now: datetime, **updates: object) -> Status:
    """The status with another state, and other fields as given."""
    return status.model_copy(
        update={
            "observed_generation": metadata.generation,
            "phase": str(state.phase),
            "restarts": status.restarts or Restarts(),
            "display": status.display or Display(),
            "conditions": build_conditions(status, state, metadata.generation, now),
            **updates,
        }
    )


def build_notices(before: Status, after: Status) -> tuple[Notice, ...]:
    """One event for each change of phase or reason."""
    found: list[Notice] = []
    for kind in (ACCEPTED, RUNNING):
        old, new = find_condition(before, kind), find_condition(after, kind)
        if new is None or (old and (old.status, old.reason) == (new.status, new.reason)):
            continue
        if kind == ACCEPTED and (new.status == "True"):
            continue
        if (new.reason, new.message) not in [(each.reason, each.message) for each in found]:
            found.append(Notice(_choose_type(new, after), new.reason, new.message))
    return tuple(found)


def _choose_type(condition: Condition, status: Status) -> Literal["Normal", "Warning"]:
    refused = condition.type == ACCEPTED and condition.status == "False"
    bad = condition.reason in (Reason.WORKER_FAILED, Reason.NODE_LOST, Reason.NAME_CONFLICT, Reason.CREATE_REFUSED)
    return "Warning" if refused or bad or status.phase == Phase.FAILED else "Normal"
