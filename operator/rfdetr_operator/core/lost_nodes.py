"""Pods on a node that is lost. One sign is never enough: the node is silent, and the pod itself does not answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rfdetr_operator.core.conditions import ENDED, Phase, Reason, State
from rfdetr_operator.core.context import Context, keep_state, next_status
from rfdetr_operator.core.model import Delete, NodeState, Plan, PodPhase, Worker

TRAINING = frozenset({Phase.STARTING, Phase.RUNNING, Phase.RESTARTING})


def is_node_silent(node: NodeState, limit: timedelta) -> bool:
    """The first evidence: the node is gone, not ready, or its kubelet renewed no lease."""
    return not node.exists or not node.ready or (node.silence is not None and node.silence >= limit)


def is_pod_silent(worker: Worker, context: Context) -> bool:
    """The second evidence: a pod that was heard does not answer, or one that was placed never began."""
    limit = context.settings.node_lost
    if worker.phase is PodPhase.PENDING:
        return worker.scheduled is not None and context.now - worker.scheduled >= limit
    silence = context.observed.silent.get(worker.uid)
    return silence is not None and silence.heard and silence.lasted >= limit / 2


def find_lost(context: Context) -> tuple[Worker, ...]:
    """The pods for which both evidences hold."""
    limit, nodes = context.settings.node_lost, context.observed.nodes
    if not limit:
        return ()
    return tuple(
        each
        for each in context.workers
        if each.phase in (PodPhase.PENDING, PodPhase.RUNNING)
        and each.node in nodes
        and is_node_silent(nodes[each.node], limit)
        and is_pod_silent(each, context)
    )


def plan_lost_nodes(context: Context) -> Plan | None:
    """The API server is told that the pods are no more: no kubelet will say so. Each is counted once, against no budget."""
    lost = find_lost(context)
    if not lost:
        return None
    fresh = [each for each in lost if each.uid not in context.status.counted_pods]
    restarts = context.restarts.model_copy(update={"node_losses": context.restarts.node_losses + len(fresh)})
    status = next_status(
        context,
        _build_state(context, fresh),
        restarts=restarts,
        counted_pods=[*context.status.counted_pods, *(each.uid for each in fresh)],
    )
    return Plan(status, delete=tuple(Delete(each.name, each.uid, 0) for each in lost))


def _build_state(context: Context, fresh: list[Worker]) -> State:
    kept = keep_state(context.status, State(Phase.RESTARTING, Reason.NODE_LOST, "a lost pod is being replaced"))
    if not fresh or context.status.phase not in TRAINING:
        return kept
    first = fresh[0]
    more = f", and {len(fresh) - 1} more" if len(fresh) > 1 else ""
    phase = Phase.STARTING if context.status.phase == Phase.STARTING else Phase.RESTARTING
    return State(
        phase,
        Reason.NODE_LOST,
        f"node rank {first.node_rank} is being replaced: node {first.node} is silent and the pod does not answer{more}",
    )


def keep_watching(context: Context, step: Plan) -> Plan:
    """Pods that should be leaving, or that wait for peers, are looked at again: their node may be lost."""
    if not context.settings.node_lost or step.create or step.again or step.status.phase in ENDED:
        return step
    leaving = any(each.phase is PodPhase.RUNNING and each.terminating for each in context.workers)
    waiting = step.status.phase in (Phase.STARTING, Phase.RESTARTING) and any(
        each.phase in (PodPhase.RUNNING, PodPhase.PENDING) and each.node for each in context.workers
    )
    if not leaving and not waiting:
        return step
    pace = context.settings.poll_interval
    return replace(step, poll=True, requeue_after=min(pace, step.requeue_after or pace))
