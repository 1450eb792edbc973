"""Builders: jobs, workers, claims, pods and reports as the tests need them, with everything else at its default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rfdetr_contract import names
from rfdetr_contract.report import (
    Best,
    FailureReason,
    Judgement,
    Outcome,
    Patience,
    Progress,
    RunReport,
    Scores,
    World,
    exit_code,
)
from rfdetr_operator.api.v1alpha1 import Restarts, Status, TrainingJob, parse_job
from rfdetr_operator.core.conditions import find_condition
from rfdetr_operator.core.model import Claim, Observed, Plan, PodPhase, Worker
from rfdetr_operator.core.plan import plan
from rfdetr_operator.core.settings import CoreSettings

NAMESPACE, JOB, UID = "team", "shelves", "job-uid"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = CoreSettings(image="trainer:test")
SHARED = ("ReadWriteMany",)


def later(seconds: float) -> datetime:
    """A moment after the start."""
    return START + timedelta(seconds=seconds)


def make_body(status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """The API object of a job: 2 nodes with a GPU each, unless ``spec`` says otherwise."""
    wanted = {
        "nodes": 2,
        "dataset": {"claimName": "data"},
        "checkpoints": {"claimName": "out"},
        **spec,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": JOB,
            "namespace": NAMESPACE,
            "uid": UID,
            "generation": generation,
            "resourceVersion": "1",
        },
        "spec": wanted,
        "status": status or {},
    }


def make_job(status: Status | None = None, generation: int = 1, **spec: Any) -> TrainingJob:
    """A parsed job."""
    job = parse_job(make_body(generation=generation, **spec))
    return job if status is None else job.model_copy(update={"status": status})


def make_claims(*modes: str, data: tuple[str, ...] = SHARED) -> dict[str, Claim | None]:
    """Both claims of ``make_job``; the checkpoint claim has these access modes."""
    return {"data": Claim("data", data), "out": Claim("out", modes or SHARED)}


def make_progress(epoch: int = 3, epochs: int = 12) -> Progress:
    """A run in its middle."""
    return Progress(
        epoch=epoch,
        epochs=epochs,
        step=epoch * 10,
        steps_per_epoch=10,
        regular=Scores(map50_95=0.412345, map50=0.61),
        best=Best(value=0.42, epoch=2),
        patience=Patience(waited=1, limit=10),
        eta_seconds=200.4,
        images_per_second=12.34,
    )


def make_report(outcome: Outcome = Outcome.RUNNING, rank: int = 0, **fields: Any) -> RunReport:
    """A report of the first attempt."""
    return RunReport(outcome=outcome, node_rank=rank, **fields)


def make_done(rank: int = 0, outcome: Outcome = Outcome.COMPLETED, **fields: Any) -> RunReport:
    """The last report of a run that succeeded."""
    return make_report(
        outcome,
        rank,
        progress=make_progress(12),
        world=World(expected=2, attested=2),
        best_checkpoint="team/shelves/job-uid/rfdetr/checkpoint_best_total.pth",
        judgement=Judgement(map50_95=0.42, map50=0.6, reported=0.42, tolerance=0.001, agrees=True),
        **fields,
    )


def make_worker(rank: int, phase: PodPhase = PodPhase.RUNNING, **fields: Any) -> Worker:
    """A worker of the first attempt."""
    values: dict[str, Any] = {
        "node_rank": rank,
        "name": f"{JOB}-{rank}",
        "uid": f"pod-{rank}",
        "attempt": 1,
        "phase": phase,
        **fields,
    }
    return Worker(**values)


def make_ended(rank: int, report: RunReport | None, **fields: Any) -> Worker:
    """A worker that ended with the exit code of its report."""
    code = 1 if report is None else int(exit_code(report.outcome, report.reason))
    phase = PodPhase.SUCCEEDED if code == 0 else PodPhase.FAILED
    return make_worker(rank, phase, exit_code=code, report=report, **fields)


def make_preempted(rank: int, **fields: Any) -> Worker:
    """A worker that saved and left."""
    return make_ended(rank, make_report(Outcome.PREEMPTED, rank), **fields)


def make_crashed(rank: int, reason: FailureReason = FailureReason.NAN_LOSS, **fields: Any) -> Worker:
    """A worker that failed for a reason that a restart may mend."""
    return make_ended(rank, make_report(Outcome.FAILED, rank, reason=reason, message="it broke"), **fields)


def make_observed(*workers: Worker, **fields: Any) -> Observed:
    """What is seen: the Service and both claims are there."""
    return Observed(workers=workers, **{"service": True, "claims": make_claims(), **fields})


def run_plan(job: TrainingJob, *workers: Worker, now: datetime = START, **fields: Any) -> Plan:
    """The plan for what is seen."""
    return plan(job, make_observed(*workers, **fields), now, SETTINGS)


def start_job(**spec: Any) -> TrainingJob:
    """A job whose first attempt is stored."""
    job = make_job(**spec)
    return job.model_copy(update={"status": run_plan(job).status})


def run_job(**spec: Any) -> TrainingJob:
    """A job whose first attempt runs on every node rank."""
    job = start_job(**spec)
    workers = [make_worker(rank) for rank in range(job.spec.nodes)]
    return job.model_copy(update={"status": run_plan(job, *workers).status})


def with_status(job: TrainingJob, found: Plan) -> TrainingJob:
    """The job after the plan's status write."""
    return job.model_copy(update={"status": found.status})


def read_names(found: Plan) -> list[str]:
    """Names of what a plan creates."""
    return [each.manifest["metadata"]["name"] for each in found.create]


def read_story(found: Plan) -> tuple[str | None, str, str]:
    """Phase, reason and sentence of a plan."""
    condition = find_condition(found.status, "Running")
    assert condition is not None
    return found.status.phase, condition.reason, condition.message


def read_counts(found: Plan) -> tuple[int, int]:
    """Counted failures and preemptions."""
    restarts = found.status.restarts or Restarts()
    return restarts.counted, restarts.preemptions
