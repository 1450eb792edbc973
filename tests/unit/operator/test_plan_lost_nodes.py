"""A node is lost on two evidences and never on one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import (
    START,
    later,
    make_observed,
    make_worker,
    read_counts,
    read_story,
    run_job,
    run_plan,
    start_job,
    with_status,
)
from rfdetr_operator.core.manifests import build_affinity
from rfdetr_operator.core.model import Delete, NodeState, PodPhase, Silence
from rfdetr_operator.core.observed import read_node_state
from rfdetr_operator.core.plan import plan
from rfdetr_operator.core.settings import CoreSettings

PODS = (make_worker(0, node="alpha"), make_worker(1, node="beta"))
MUTE = {"pod-1": Silence(timedelta(seconds=10), heard=True)}
GONE = {"beta": NodeState("beta", ready=False)}


def lose(**evidence: Any) -> tuple[Delete, ...]:
    """What is deleted when rank 1's pod and node look like this."""
    return run_plan(run_job(), *PODS, **{"silent": MUTE, "nodes": GONE, **evidence}).delete


@pytest.mark.parametrize(
    "node",
    [
        NodeState("beta", exists=False),
        NodeState("beta", ready=False),
        NodeState("beta", silence=timedelta(seconds=20)),
    ],
    ids=["gone", "not ready", "lease silent"],
)
def test_a_silent_pod_on_a_silent_node_is_lost(node: NodeState) -> None:
    """Deleted without waiting for a kubelet that will not answer, exactly that pod."""
    assert (Delete("shelves-1", "pod-1", 0),) == lose(nodes={"beta": node})


@pytest.mark.parametrize(
    "evidence",
    [
        {"silent": {}},
        {"silent": {"pod-1": Silence(timedelta(seconds=9), heard=True)}},
        {"silent": {"pod-1": Silence(timedelta(hours=1), heard=False)}},
        {"nodes": {}},
        {"nodes": {"beta": NodeState("beta", silence=timedelta(seconds=19))}},
        {"nodes": {"beta": NodeState("beta")}},
    ],
    ids=["the pod answers", "not for long", "nobody was ever heard", "node unknown", "lease is fresh", "node is well"],
)
def test_one_evidence_is_not_enough(evidence: dict[str, Any]) -> None:
    """A kubelet that restarts, a network policy, a pod that is busy: no healthy pod is deleted for them."""
    assert () == lose(**evidence)


def test_a_lost_node_spends_no_budget_and_is_told() -> None:
    """It is counted apart, once, however often the delete must be tried."""
    job = run_job()
    first = run_plan(job, *PODS, silent=MUTE, nodes=GONE)
    again = run_plan(with_status(job, first), *PODS, silent=MUTE, nodes=GONE)

    sentence = "node rank 1 is being replaced: node beta is silent and the pod does not answer"
    assert ("Restarting", "NodeLost", sentence) == read_story(first)
    assert first.status.restarts is not None
    assert ((0, 0), 1, ["pod-1"]) == (read_counts(first), first.status.restarts.node_losses, first.status.counted_pods)
    assert (first.status, first.delete, ()) == (again.status, again.delete, again.notices)
    assert [("Warning", "NodeLost", sentence)] == [(each.type, each.reason, each.message) for each in first.notices]


def test_a_pod_that_kubernetes_evicts_from_a_dead_node_does_not_block_its_rank() -> None:
    """It was counted as a preemption when its deletion began: the delete is forced, nothing is counted again."""
    job = run_job()
    pods = (PODS[0], make_worker(1, node="beta", terminating=True))
    leaving = run_plan(job, *pods)
    found = run_plan(with_status(job, leaving), *pods, silent=MUTE, nodes=GONE)

    assert leaving.status.restarts == found.status.restarts
    assert ((Delete("shelves-1", "pod-1", 0),), (0, 1)) == (found.delete, read_counts(found))


def test_a_suspended_job_does_not_wait_for_a_dead_node() -> None:
    """Its last pod goes, and the job stays suspended."""
    job = run_job()
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"suspend": True})})
    leaving = with_status(job, run_plan(job, *PODS))
    found = run_plan(leaving, make_worker(1, node="beta", terminating=True), silent=MUTE, nodes=GONE)

    assert ("Suspending", (Delete("shelves-1", "pod-1", 0),)) == (found.status.phase, found.delete)


@pytest.mark.parametrize(("seconds", "deleted"), [(19, []), (20, ["shelves-1"])])
def test_a_pod_that_was_placed_on_a_dead_node_is_placed_again(seconds: float, deleted: list[str]) -> None:
    """The scheduler may not know of it yet; a pod that never began is its own second evidence."""
    pods = (make_worker(0, node="alpha"), make_worker(1, PodPhase.PENDING, node="beta", scheduled=START))
    found = run_plan(start_job(), *pods, nodes=GONE, now=later(seconds))

    assert deleted == [each.name for each in found.delete]


def test_the_policy_can_be_off() -> None:
    """Then Kubernetes' own eviction is waited for."""
    off = CoreSettings(node_lost=timedelta(0))
    found = plan(run_job(), make_observed(*PODS, silent=MUTE, nodes=GONE), START, off)

    assert () == found.delete


def test_pods_that_should_leave_are_watched() -> None:
    """No event comes from a dead node."""
    job = run_job()
    found = run_plan(job, PODS[0], make_worker(1, node="beta", terminating=True))
    again = run_plan(with_status(job, found), PODS[0], make_worker(1, node="beta", terminating=True))

    assert (True, timedelta(seconds=5)) == (again.poll, again.requeue_after)


def test_a_replacement_shuns_the_node_that_was_lost() -> None:
    """A preference beside the user's own: a cluster of one node still has it."""
    mine = {"weight": 1, "preference": {}}
    part = "preferredDuringSchedulingIgnoredDuringExecution"
    pod = start_job(pod={"affinity": {"nodeAffinity": {part: [mine]}, "podAffinity": {}}}).spec.pod
    shun = {
        "weight": 100,
        "preference": {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["beta"]}]},
    }

    assert {"nodeAffinity": {part: [mine, shun]}, "podAffinity": {}} == build_affinity(pod, ("beta",))


def test_a_node_is_read_from_its_condition_and_its_lease() -> None:
    """Without a lease nothing is said of its silence."""
    node = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    lease = {"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}

    assert [
        NodeState("beta", ready=False, silence=timedelta(seconds=7)),
        NodeState("beta", ready=False),
    ] == [read_node_state("beta", node, each, later(7)) for each in (lease, {})]
