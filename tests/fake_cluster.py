"""A cluster in memory that speaks the shell's ten verbs, plays the kubelet when told, and can kill the operator.

It keeps the API server's rules that the operator's safety rests on: names are unique, deletes are by uid and graceful,
a status write needs the newest resource version.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builders import JOB, NAMESPACE, UID, make_body
from rfdetr_contract import names
from rfdetr_contract.report import RunReport, exit_code
from rfdetr_operator.api.v1alpha1 import Status, TrainingJob, parse_job
from rfdetr_operator.core.model import Create, Delete, NodeState, Notice, Worker
from rfdetr_operator.core.observed import is_owned
from rfdetr_operator.shell.cluster import Children, Conflict, Key, NameTaken, Refused

KEY = Key(NAMESPACE, JOB)
Body = dict[str, Any]


class OperatorKilled(Exception):
    """The operator died right after a write."""


@dataclass
class FakeCluster:
    """One namespace with one job. ``lives`` counts the writes after which the operator dies; None: it lives."""

    body: Body = field(default_factory=make_body)
    claims: dict[str, Body] = field(default_factory=lambda: {name: make_claim_body(name) for name in ("data", "out")})
    pods: dict[str, Body] = field(default_factory=dict)
    services: dict[str, Body] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # objects that carry no label of ours
    nodes: dict[str, NodeState] = field(default_factory=dict)
    refusal: str = ""  # what every create of a pod gets, as long as it is set
    room: int | None = None  # pods that the quota allows
    meanwhile: Callable[[], None] | None = None  # what somebody does between our read and our write, once
    lives: int | None = None
    version: int = 1
    made: int = 0
    reads: int = 0  # of the job

    @property
    def job(self) -> TrainingJob:
        """The job as stored."""
        return parse_job(copy.deepcopy(self.body))

    @property
    def status(self) -> Status:
        """The status as stored."""
        return self.job.status

    def edit(self, **spec: Any) -> None:
        """A user changes the spec."""
        self.body["spec"] = {**self.body["spec"], **spec}
        self.body["metadata"]["generation"] += 1
        self._bump()

    async def list_jobs(self) -> tuple[Key, ...]:
        return (KEY,)

    async def get_job(self, key: Key) -> Body | None:
        self.reads += 1
        return copy.deepcopy(self.body) if key == KEY else None

    async def list_children(self, key: Key, claims: tuple[str, ...]) -> Children:
        if self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return copy.deepcopy(
            Children(
                tuple(self.pods.values()),
                tuple(body for name, body in self.services.items() if name not in self.hidden),
                {name: self.claims.get(name) for name in claims},
            )
        )

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        name = what.manifest["metadata"]["name"]
        if what.kind == "Pod" and (self.refusal or self.room == len(self.pods)):
            raise Refused(self.refusal or "exceeded quota")
        shelf = {"Pod": self.pods, "Service": self.services, "PersistentVolumeClaim": self.claims}[what.kind]
        if name in shelf:
            if "deletionTimestamp" in shelf[name]["metadata"]:
                raise Conflict(name)
            if not is_owned(shelf[name], owner_uid):
                raise NameTaken(name)
            self.log.append(f"create {name} again")
            return
        self.made += 1
        shelf[name] = copy.deepcopy(what.manifest)
        shelf[name]["metadata"]["uid"] = f"uid-{self.made}"
        if what.kind == "Pod":
            attempt = shelf[name]["metadata"]["annotations"][names.ANNOTATION_ATTEMPT]
            self.log.append(f"create {name} attempt {attempt} stored {self.status.attempt}")
            shelf[name]["status"] = {"phase": "Pending"}
        else:
            self.log.append(f"create {name}")
        self._wrote()

    async def delete(self, key: Key, what: Delete) -> None:
        pod = self.pods.get(what.name)
        if pod is None or pod["metadata"]["uid"] != what.uid:
            return
        self.log.append(f"delete {what.name}")
        if what.grace == 0 or pod["status"]["phase"] in ("Succeeded", "Failed"):
            del self.pods[what.name]
        else:
            pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
        self._wrote()

    async def remove_job(self, key: Key, uid: str) -> None:
        self.log.append(f"remove {key.name}")
        self._wrote()

    async def read_node(self, name: str) -> NodeState | None:
        self.log.append(f"look at {name}")
        return self.nodes.get(name)

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        if resource_version != self.body["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        self.body["status"] = merge(self.body["status"], status)
        self._bump()
        self.log.append(f"status {self.body['status'].get('phase')}")
        self._wrote()
        return copy.deepcopy(self.body)

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        self.notices.append(notice)

    def run(self, rank: int) -> None:
        """The kubelet starts the container."""
        self._set(rank, "Pending", "Running", {"running": {}})

    def place(self, rank: int, node: str) -> None:
        """The pod is on this node."""
        self.pods[f"{JOB}-{rank}"]["spec"]["nodeName"] = node

    def run_all(self) -> None:
        """The kubelet starts whatever waits."""
        for rank in range(3):
            self.run(rank)

    def end(self, rank: int, report: RunReport | None, code: int | None = None) -> None:
        """The container ends with its report."""
        number = code if code is not None else int(exit_code(report.outcome, report.reason)) if report else 137
        ended = {"exitCode": number, "message": report.to_termination_message() if report else ""}
        self._set(rank, "Running", "Failed" if number else "Succeeded", {"terminated": ended})

    def preempt(self, rank: int) -> None:
        """Somebody deletes the pod gracefully."""
        if pod := self.pods.get(f"{JOB}-{rank}"):
            pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"

    def vanish(self, rank: int) -> None:
        """The pod object is gone."""
        self.pods.pop(f"{JOB}-{rank}", None)

    def finish_deletions(self) -> None:
        """The kubelet is done with every pod that is being deleted."""
        for name in [name for name, pod in self.pods.items() if "deletionTimestamp" in pod["metadata"]]:
            del self.pods[name]

    def _set(self, rank: int, before: str, phase: str, state: Body) -> None:
        pod = self.pods.get(f"{JOB}-{rank}")
        if pod is not None and pod["status"]["phase"] == before:
            pod["status"] = {"phase": phase, "containerStatuses": [{"name": names.CONTAINER, "state": state}]}

    def _bump(self) -> None:
        self.version += 1
        self.body["metadata"]["resourceVersion"] = str(self.version)

    def _wrote(self) -> None:
        if self.lives is not None:
            self.lives -= 1
            if self.lives <= 0:
                self.lives = None
                raise OperatorKilled


class SilentReports:
    """Nobody answers."""

    async def read(self, key: Key, worker: Worker) -> RunReport | None:
        return None


@dataclass
class SpokenReports:
    """Every rank says what rank 0 is told to say."""

    report: RunReport | None = None
    asked: int = 0
    mute: set[int] = field(default_factory=set)  # node ranks that do not answer

    async def read(self, key: Key, worker: Worker) -> RunReport | None:
        self.asked += 1
        return None if worker.node_rank in self.mute else self.report


def make_claim_body(name: str, *modes: str) -> Body:
    """A claim as the API server has it."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"accessModes": list(modes or ("ReadWriteMany",))},
    }


def make_foreign(name: str) -> Body:
    """A pod of an earlier job of the same name."""
    labels = {names.LABEL_JOB: JOB, names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_NODE_RANK: "0"}
    owners = [{"uid": f"not-{UID}"}]
    meta = {"name": name, "uid": "foreign", "labels": labels, "ownerReferences": owners}
    return {"metadata": meta, "status": {"phase": "Running"}}


def merge(target: Body, patch: Body) -> Body:
    """A JSON merge patch."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result
