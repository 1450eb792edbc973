"""One moment of one job: what the rules look at, and how they make the next status."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from rfdetr_contract.report import RunReport
from rfdetr_contract.run import RunConfig
from rfdetr_operator.api.v1alpha1 import Restarts, Status, TrainingJob
from rfdetr_operator.core.conditions import ENDED, Phase, Reason, State, build_status, find_condition
from rfdetr_operator.core.failures import Verdict, classify_worker
from rfdetr_operator.core.model import Delete, Observed, PodPhase, Worker
from rfdetr_operator.core.naming import build_pod_name
from rfdetr_operator.core.progress import apply_report, build_display
from rfdetr_operator.core.run_config import SpecError, build_run_config, build_run_hash
from rfdetr_operator.core.settings import CoreSettings

BETWEEN_ATTEMPTS = frozenset({Phase.PENDING, Phase.SUSPENDING, Phase.SUSPENDED, Phase.RESIZING})


@dataclass(frozen=True, slots=True)
class Context:
    """``config`` is what the next attempt would run with; ``refusal`` says why there is none."""

    job: TrainingJob
    observed: Observed
    now: datetime
    settings: CoreSettings
    run_hash: str
    config: RunConfig | None
    refusal: str = ""

    @property
    def status(self) -> Status:
        """The stored status."""
        return self.job.status

    @property
    def restarts(self) -> Restarts:
        """The stored counters."""
        return self.status.restarts or Restarts()

    @property
    def ranks(self) -> range:
        """Node ranks of the stored attempt."""
        return range(self.status.nodes or 0)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Workers of the stored attempt."""
        return tuple(each for each in self.observed.workers if each.attempt == self.status.attempt)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What became of the workers of the stored attempt."""
        return tuple(classify_worker(each) for each in self.workers)

    @property
    def missing(self) -> tuple[int, ...]:
        """Node ranks that have no pod of whatever attempt, and whose name is free."""
        job, taken = self.job.metadata.name, {each.node_rank for each in self.observed.workers}
        foreign = set(self.observed.foreign)
        return tuple(rank for rank in self.ranks if rank not in taken and build_pod_name(job, rank) not in foreign)

    @property
    def is_changed(self) -> bool:
        """The stored attempt runs with something else than the spec says now."""
        return self.status.attempt is not None and self.status.run_hash != self.run_hash

    @property
    def is_starting(self) -> bool:
        """A new attempt is due, and nothing of an older one is left."""
        due = self.status.attempt is None or self.status.phase in BETWEEN_ATTEMPTS or self.is_changed
        return due and not self.observed.workers

    @property
    def is_held_back(self) -> bool:
        """The gang never ran, and the API server refuses a part of it."""
        running = find_condition(self.status, "Running")
        refused = running is not None and running.reason == Reason.CREATE_REFUSED
        return refused and self.status.phase == Phase.STARTING

    @property
    def report(self) -> RunReport | None:
        """Rank 0's last words, else its live report."""
        last = next((each.report for each in self.workers if each.node_rank == 0 and each.report), None)
        return last or self.observed.report


def build_context(job: TrainingJob, observed: Observed, now: datetime, settings: CoreSettings) -> Context:
    """The moment, with the RunConfig of the next attempt or the sentence that refuses it."""
    context = Context(job, observed, now, settings, build_run_hash(job.spec), None)
    try:
        return replace(context, config=build_run_config(job, (job.status.attempt or 0) + 1))
    except SpecError as error:
        return replace(context, refusal=str(error))


def next_status(context: Context, state: State, **updates: object) -> Status:
    """The status with a new state, what rank 0 told, and other fields as given."""
    present = {worker.uid for worker in context.observed.workers}
    told = apply_report(context.status.model_copy(update=updates), context.report)
    running = state.phase is Phase.RUNNING
    return build_status(
        told,
        state,
        context.job.metadata,
        context.now,
        counted_pods=[uid for uid in told.counted_pods if uid in present],
        nodes=0 if state.phase in ENDED else told.nodes,
        display=build_display(told.progress, count_nodes(context, state.phase), running=running),
    )


def count_nodes(context: Context, phase: Phase) -> str:
    """Pods that run of those that are wanted; a job that succeeded had them all, and one that failed keeps none."""
    wanted = context.job.spec.nodes
    up = sum(each.phase is PodPhase.RUNNING and not each.terminating for each in context.workers)
    shown = {Phase.SUCCEEDED: wanted, Phase.FAILED: 0}.get(phase, up)
    return f"{shown}/{wanted}"


def keep_state(status: Status, fallback: State) -> State:
    """The stored state as it is, or ``fallback`` when none is stored."""
    condition = find_condition(status, "Running")
    if condition is None or status.phase is None:
        return fallback
    return replace(
        fallback,
        phase=Phase(status.phase),
        reason=_read_reason(condition.reason, fallback.reason),
        message=condition.message,
    )


def _read_reason(text: str, fallback: Reason) -> Reason:
    return Reason(text) if text in set(Reason) else fallback


def build_delete(worker: Worker) -> Delete:
    """Delete a pod: one that has ended at once, a living one with its own grace."""
    ended = worker.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)
    return Delete(worker.name, worker.uid, 0 if ended else None)


def choose_living(workers: tuple[Worker, ...]) -> tuple[Delete, ...]:
    """Deletes of all pods that still run and that nobody has deleted yet."""
    alive = (PodPhase.PENDING, PodPhase.RUNNING)
    return tuple(build_delete(each) for each in workers if each.phase in alive and not each.terminating)
