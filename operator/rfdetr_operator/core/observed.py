"""API objects to what the plan speaks of. The only module that reads the JSON of pods and claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract.report import RunReport
from rfdetr_operator.core.model import Claim, NodeState, Observed, PodPhase, Worker
from rfdetr_operator.core.naming import build_service_name, read_node_rank
from rfdetr_operator.core.times import read_time

Body = dict[str, Any]


def observe(
    name: str, uid: str, pods: Iterable[Body], services: Iterable[Body], claims: Mapping[str, Body | None]
) -> Observed:
    """What is there of the job ``name`` with ``uid``: what carries its label but not its ownership is foreign."""
    pods, services = list(pods), list(services)
    workers = [worker for pod in pods if is_owned(pod, uid) if (worker := read_worker(pod)) is not None]
    return Observed(
        workers=tuple(sorted(workers, key=lambda worker: worker.node_rank)),
        service=any(body["metadata"]["name"] == build_service_name(name) for body in services if is_owned(body, uid)),
        claims={key: None if body is None else read_claim(key, body) for key, body in claims.items()},
        foreign=tuple(sorted(body["metadata"]["name"] for body in [*pods, *services] if not is_owned(body, uid))),
    )


def is_owned(body: Body, uid: str) -> bool:
    """The object is controlled by the owner of that uid."""
    owners = body.get("metadata", {}).get("ownerReferences") or []
    return any(owner.get("uid") == uid for owner in owners)


def read_claim(name: str, body: Body) -> Claim:
    """A claim and its access modes."""
    return Claim(name=name, access_modes=tuple(body.get("spec", {}).get("accessModes") or ()))


def read_node_state(name: str, node: Body, lease: Body, now: datetime) -> NodeState:
    """A node by its own Ready condition and its kubelet's lease; without a lease nothing is said of its silence."""
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = next((each.get("status") for each in conditions if each.get("type") == "Ready"), "Unknown")
    renewed = read_time((lease.get("spec") or {}).get("renewTime"))
    return NodeState(name, ready=ready == "True", silence=None if renewed is None else max(now - renewed, timedelta(0)))


def read_report(text: str | None) -> RunReport | None:
    """A termination message as a report; anything else is None."""
    if not text:
        return None
    try:
        return RunReport.model_validate_json(text)
    except ValidationError:
        return None


def read_worker(pod: Body) -> Worker | None:
    """The worker of a pod; None for a pod without a node rank."""
    meta, status = pod["metadata"], pod.get("status") or {}
    rank = read_node_rank(meta.get("labels") or {})
    if rank is None:
        return None
    state = _read_state(status)
    ended, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    annotations = meta.get("annotations") or {}
    attempt = annotations.get(names.ANNOTATION_ATTEMPT, "")
    return Worker(
        node_rank=rank,
        name=meta["name"],
        uid=meta.get("uid", ""),
        attempt=int(attempt) if attempt.isdecimal() else 0,
        phase=_choose_phase(status, state),
        terminating=bool(meta.get("deletionTimestamp")),
        exit_code=ended.get("exitCode"),
        signal_reason=_read_cause(status, ended),
        report=read_report(ended.get("message")),
        node=(pod.get("spec") or {}).get("nodeName"),
        ip=status.get("podIP"),
        waiting=waiting.get("reason", "") or _read_scheduling(status),
        run_config=annotations.get(names.ANNOTATION_RUN_CONFIG, ""),
        created=read_time(meta.get("creationTimestamp")),
        scheduled=_read_scheduled(status),
        started=read_time((state.get("running") or ended).get("startedAt")),
    )


def _read_state(status: Body) -> Body:
    for container in status.get("containerStatuses") or []:
        if container.get("name") == names.CONTAINER:
            return dict(container.get("state") or {})
    return {}


def _choose_phase(status: Body, state: Body) -> PodPhase:
    """The trainer's own end counts before the pod's: a sidecar may outlive it."""
    phase = status.get("phase", "Pending")
    if ended := state.get("terminated"):
        return PodPhase.SUCCEEDED if ended.get("exitCode") == 0 else PodPhase.FAILED
    if phase == "Failed":
        return PodPhase.FAILED
    if phase == "Succeeded":
        return PodPhase.SUCCEEDED
    if phase == "Unknown" or state.get("running") is not None:
        return PodPhase.RUNNING
    return PodPhase.PENDING


def _read_cause(status: Body, ended: Body) -> str:
    """Who ended it: the cluster's word (DisruptionTarget, Evicted) before the container's (OOMKilled)."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return str(condition.get("reason") or "DisruptionTarget")
    reason = ended.get("reason", "")
    return str(status.get("reason") or ("" if reason in ("Completed", "Error") else reason))


def _read_scheduled(status: Body) -> datetime | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return read_time(condition.get("lastTransitionTime"))
    return None


def _read_scheduling(status: Body) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason") or "")
    return ""
