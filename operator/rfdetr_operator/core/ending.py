"""How a job ends: with success, with a failure that no restart mends, and that an end is an end."""

from __future__ import annotations

from rfdetr_contract.report import Outcome
from rfdetr_operator.core.conditions import Phase, Reason, State, is_terminal
from rfdetr_operator.core.context import Context, build_delete, choose_living, next_status
from rfdetr_operator.core.failures import Kind
from rfdetr_operator.core.model import Delete, Notice, Plan
from rfdetr_operator.core.progress import build_result
from rfdetr_operator.core.times import format_time


def plan_terminal(context: Context) -> Plan | None:
    """Terminal is terminal, whatever became of the children; what still runs is deleted, what ended is kept for its logs."""
    if not is_terminal(context.status, context.job.metadata.generation):
        return None
    return Plan(context.status, delete=choose_cleaned(context))


def choose_cleaned(context: Context) -> tuple[Delete, ...]:
    """Deletes of the pods that a job that ended does not keep."""
    workers, policy = context.observed.workers, context.job.spec.run_policy.clean_pod_policy
    if policy == "None":
        return ()
    if policy == "All":
        return tuple(build_delete(each) for each in workers if not each.terminating)
    return choose_living(workers)


def plan_success(context: Context) -> Plan | None:
    """Every node rank ended with exit code 0 and says that the run is complete."""
    done = {each.worker.node_rank: each.worker for each in context.verdicts if each.kind is Kind.SUCCESS}
    if not context.ranks or any(rank not in done for rank in context.ranks):
        return None
    report = done[0].report
    if report is None:  # a success has a report; this is for the type checker
        return None
    early = report.outcome is Outcome.EARLY_STOPPED
    state = State(
        Phase.SUCCEEDED,
        Reason.EARLY_STOPPED if early else Reason.COMPLETED,
        report.message or ("early stopping ended the training" if early else "every epoch is trained"),
    )
    status = next_status(context, state, result=build_result(report), completion_time=format_time(context.now))
    return Plan(status, notices=_build_disagreement(context))


def _build_disagreement(context: Context) -> tuple[Notice, ...]:
    judged = context.report.judgement if context.report else None
    if judged is None or judged.agrees:
        return ()
    return (
        Notice(
            "Warning",
            Reason.EVALUATORS_DISAGREE,
            f"RF-DETR's evaluator said mAP 50:95 {judged.reported:.4f}, pycocotools' COCOeval says "
            f"{judged.map50_95:.4f} (tolerance {judged.tolerance:g})",
        ),
    )


def plan_permanent(context: Context) -> Plan | None:
    """A failure that comes again at every restart ends the job at once."""
    verdict = next((each for each in context.verdicts if each.kind is Kind.PERMANENT), None)
    if verdict is None or verdict.reason is None:
        return None
    return plan_failed(context, Reason(verdict.reason.value), verdict.sentence)


def plan_failed(context: Context, reason: Reason, message: str, **updates: object) -> Plan:
    """The job has failed: told first, then what still runs is deleted."""
    state = State(Phase.FAILED, reason, message)
    status = next_status(context, state, completion_time=format_time(context.now), **updates)
    return Plan(status, delete=choose_cleaned(context))
