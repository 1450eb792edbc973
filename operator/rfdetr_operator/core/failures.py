"""What the end of a pod means: success, a preemption, a failure that a restart may mend, or one that it cannot."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from rfdetr_contract.report import PERMANENT, SUCCESSES, ExitCode, FailureReason, Outcome
from rfdetr_operator.core.model import PodPhase, Worker


class Kind(enum.StrEnum):
    """How a pod stands."""

    ALIVE = "alive"
    LEAVING = "leaving"  # somebody deleted it, and it has not ended yet
    SUCCESS = "success"
    PREEMPTED = "preempted"
    FAILED = "failed"  # a restart may mend it, and spends the budget
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A worker and what became of it; ``sentence`` is for the user."""

    worker: Worker
    kind: Kind
    reason: FailureReason | None = None
    sentence: str = ""


# The kubelet's and the scheduler's words for a pod that the cluster took.
TAKEN: Final = frozenset(
    {
        "Evicted", "Shutdown", "NodeShutdown", "Terminated", "Preempting", "NodeLost", "NodeAffinity",
        "UnexpectedAdmissionError", "DisruptionTarget", "PreemptionByScheduler", "DeletionByTaintManager",
        "EvictionByEvictionAPI", "DeletionByPodGC", "TerminationByKubelet",
    }
)  # fmt: skip
TAKEN_PREFIX: Final = "OutOf"  # OutOfcpu, OutOfmemory: the node had no room after all
BY_EXIT_CODE: Final = {
    ExitCode.CONFIG_ERROR: FailureReason.CONFIG_ERROR,
    ExitCode.DATA_ERROR: FailureReason.DATA_ERROR,
    ExitCode.STORAGE: FailureReason.STORAGE_ERROR,
}


def is_taken(worker: Worker) -> bool:
    """The cluster took the pod."""
    return worker.signal_reason in TAKEN or worker.signal_reason.startswith(TAKEN_PREFIX)


def classify_worker(worker: Worker) -> Verdict:
    """What became of a worker."""
    if worker.phase in (PodPhase.PENDING, PodPhase.RUNNING):
        return Verdict(worker, Kind.LEAVING if worker.terminating else Kind.ALIVE)
    if worker.phase is PodPhase.SUCCEEDED and worker.report and worker.report.outcome in SUCCESSES:
        return Verdict(worker, Kind.SUCCESS)
    reason = choose_reason(worker)
    if reason in PERMANENT:
        return Verdict(worker, Kind.PERMANENT, reason, build_sentence(worker))
    if worker.terminating or is_taken(worker) or _says_preempted(worker):
        return Verdict(worker, Kind.PREEMPTED)
    return Verdict(worker, Kind.FAILED, reason, build_sentence(worker))


def _says_preempted(worker: Worker) -> bool:
    report = worker.report
    return worker.exit_code == ExitCode.PREEMPTED and report is not None and report.outcome is Outcome.PREEMPTED


def choose_reason(worker: Worker) -> FailureReason:
    """The report's own reason, else the kubelet's, else the exit code's."""
    if worker.report is not None and worker.report.reason is not None:
        return worker.report.reason
    if worker.signal_reason == "OOMKilled":
        return FailureReason.HOST_OOM
    if worker.exit_code in (ExitCode.CONFIG_ERROR, ExitCode.DATA_ERROR, ExitCode.STORAGE):
        return BY_EXIT_CODE[ExitCode(worker.exit_code)]
    return FailureReason.CRASHED


def build_sentence(worker: Worker) -> str:
    """One sentence: which node rank, and what happened."""
    who = f"node rank {worker.node_rank}"
    if worker.report is not None and worker.report.message:
        return f"{who}: {worker.report.message}"
    if worker.signal_reason == "OOMKilled":
        return f"{who} was killed because it used more memory than its limit; raise pod.resources.limits.memory"
    if worker.exit_code is None:
        return f"{who} was ended by the cluster: {worker.signal_reason or 'no reason was given'}"
    if worker.exit_code > 128:
        return (
            f"{who} was killed by signal {worker.exit_code - 128} and left no report; see: kubectl logs {worker.name}"
        )
    return f"{who} ended with exit code {worker.exit_code} and left no report; see: kubectl logs {worker.name}"
