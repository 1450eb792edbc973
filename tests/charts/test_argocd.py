"""Argo CD's health of a job, in the Lua that Argo CD runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from lupa.lua54 import LuaRuntime

from charts.chart import CHART
from rfdetr_operator.api.v1alpha1 import Metadata, Status
from rfdetr_operator.core.conditions import Phase, Reason, State, build_status

PROGRAM = (CHART / "files" / "argocd-health.lua").read_text()
NOW = datetime(2026, 1, 1, tzinfo=UTC)

STATES = [
    pytest.param(State(Phase.PENDING, Reason.ACCEPTED, "m"), "Progressing", id="pending"),
    pytest.param(State(Phase.STARTING, Reason.STARTING, "m"), "Progressing", id="starting"),
    pytest.param(State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, "m"), "Healthy", id="running"),
    pytest.param(State(Phase.RESTARTING, Reason.PREEMPTED, "m"), "Progressing", id="restarting"),
    pytest.param(State(Phase.SUSPENDING, Reason.SUSPENDING, "m"), "Progressing", id="suspending"),
    pytest.param(State(Phase.SUSPENDED, Reason.SUSPENDED, "m"), "Suspended", id="suspended"),
    pytest.param(State(Phase.SUCCEEDED, Reason.EARLY_STOPPED, "m"), "Healthy", id="succeeded"),
    pytest.param(State(Phase.FAILED, Reason.DATA_ERROR, "m"), "Degraded", id="failed"),
    pytest.param(State(Phase.PENDING, Reason.CLAIM_NOT_FOUND, "m", Reason.CLAIM_NOT_FOUND), "Degraded", id="refused"),
]


def judge(obj: dict[str, Any]) -> tuple[str, str]:
    """Status and message, as Argo CD gets them: the program returns a table."""
    lua = LuaRuntime()
    lua.globals()["obj"] = lua.table_from(obj, recursive=True)
    health = lua.execute(PROGRAM)
    return health["status"], health["message"]


def build_object(state: State, *, generation: int, seen: int) -> dict[str, Any]:
    """A job whose operator wrote that state when the spec was at generation ``seen``."""
    metadata = Metadata(name="job", namespace="ns", uid="uid", generation=seen)
    status = build_status(Status(), state, metadata, NOW)
    return {
        "metadata": {"name": "job", "generation": generation},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


@pytest.mark.parametrize(("state", "health"), STATES)
def test_each_phase_has_its_health(state: State, health: str) -> None:
    """A job that trains is healthy: a sync does not wait a day for its end."""
    assert health == judge(build_object(state, generation=1, seen=1))[0]


def test_the_message_is_the_conditions() -> None:
    """Who looks at Argo CD need not look at the cluster."""
    state = State(Phase.FAILED, Reason.DATA_ERROR, "train/labels.json: no such class")

    assert ("Degraded", "DataError: train/labels.json: no such class") == judge(
        build_object(state, generation=1, seen=1)
    )


def test_a_change_that_the_operator_has_not_seen_is_in_progress() -> None:
    """Neither is a job without a status anything else."""
    running = State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, "m")

    assert ["Progressing", "Progressing"] == [
        judge(build_object(running, generation=2, seen=1))[0],
        judge({"metadata": {"name": "job", "generation": 1}})[0],
    ]
