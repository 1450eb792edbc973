"""A cluster of one machine and one job: the API server's duties on disk, the kubelet's in local processes."""

from __future__ import annotations

import asyncio
import copy
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rfdetr_contract import names
from rfdetr_operator.core.model import Create, Delete, NodeState, Notice
from rfdetr_operator.shell.cluster import Body, Children, Conflict, Key, NameTaken, Refused
from rfdetr_operator.shell.local_container import Argv, Place, Ports, Unsupported, build_container, interpreter_command
from rfdetr_operator.shell.local_pods import LocalPod, stamp
from rfdetr_operator.shell.local_store import Store, choose_claim_folder

GONE_AFTER = 0.1  # seconds in which an ended pod can still be read before its deletion is done


@dataclass(frozen=True, slots=True)
class Machine:
    """What the local cluster is given. ``command`` makes a container's command one of this machine."""

    ports: Ports
    threads: int  # of a rank
    clock: Callable[[], datetime]
    claims: Mapping[str, Path] = field(default_factory=dict)
    command: Callable[[Argv], Argv] = interpreter_command


class LocalCluster:
    """The Cluster of one job. It rings ``bell`` whenever something changed."""

    def __init__(self, store: Store, job: Body, machine: Machine) -> None:
        self._store = store
        self._job = job
        self._machine = machine
        self._pods: dict[str, LocalPod] = {}
        self._services: dict[str, Body] = {}
        self._events: list[Body] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.bell = asyncio.Event()

    @property
    def job(self) -> Body:
        """The job as stored."""
        return copy.deepcopy(self._job)

    @property
    def events(self) -> tuple[Body, ...]:
        """What the user was told, oldest first."""
        return tuple(self._events)

    def claim_folder(self, claim: str) -> Path:
        """The folder that stands for a claim."""
        return choose_claim_folder(self._store.root, claim, dict(self._machine.claims))

    def pod_of_rank(self, rank: int) -> LocalPod | None:
        """The living pod of a rank that is not being deleted."""
        wanted = str(rank)
        for pod in self._pods.values():
            if pod.body["metadata"]["labels"][names.LABEL_NODE_RANK] == wanted and pod.alive and not pod.terminating:
                return pod
        return None

    def write_spec(self, change: Body) -> None:
        """Merge into the spec, as ``kubectl patch`` would."""
        merged = merge(self._job["spec"], change)
        if merged != self._job["spec"]:
            self._job["spec"] = merged
            self._job["metadata"]["generation"] += 1
            self._stored()

    async def list_jobs(self) -> tuple[Key, ...]:
        return (self._store.key,)

    async def get_job(self, key: Key) -> Body | None:
        return self.job if key == self._store.key else None

    async def list_children(self, key: Key, claims: tuple[str, ...]) -> Children:
        assert key == self._store.key
        return Children(
            pods=tuple(copy.deepcopy(pod.body) for pod in self._pods.values()),
            services=tuple(copy.deepcopy(service) for service in self._services.values()),
            claims={name: self._claim(name) for name in claims},
        )

    def _claim(self, name: str) -> Body | None:
        """A claim is there when its folder is; a folder of this machine can be written by every pod of it."""
        if not self.claim_folder(name).is_dir():
            return None
        spec = {"accessModes": ["ReadWriteMany"]}
        metadata = {"name": name, "namespace": self._store.key.namespace, "uid": f"local-{name}"}
        return {"metadata": metadata, "spec": spec, "status": {"phase": "Bound", "accessModes": ["ReadWriteMany"]}}

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        body = copy.deepcopy(what.manifest)
        name = body["metadata"]["name"]
        body["metadata"].setdefault("namespace", key.namespace)
        body["metadata"].update(uid=str(uuid.uuid4()), creationTimestamp=stamp(self._machine.clock()))
        if what.kind == "Service":
            self._services.setdefault(name, body)
        elif what.kind == "PersistentVolumeClaim":
            self.claim_folder(name).mkdir(parents=True, exist_ok=True)
        elif name not in self._pods:
            self._create_pod(name, body)
        elif self._pods[name].terminating:
            raise NameTaken(f"pod {name} is still going")
        assert owner_uid == self._job["metadata"]["uid"]
        self.bell.set()

    def _create_pod(self, name: str, body: Body) -> None:
        named = [volume.get("persistentVolumeClaim") for volume in body["spec"].get("volumes", [])]
        claims = {claim["claimName"]: self.claim_folder(claim["claimName"]) for claim in named if claim}
        scratch = Path(tempfile.mkdtemp(prefix="rfdetr-"))
        folder = self._store.pod_folder(name, body["metadata"]["uid"]).resolve()
        place = Place(folder, scratch, self._machine.threads, claims, self._machine.ports)
        try:
            container = build_container(body, place, os.environ, self._machine.command)
        except Unsupported as refusal:
            scratch.rmdir()
            raise Refused(str(refusal)) from None
        body["status"] = {"phase": "Pending"}
        log = self._store.pod_log(name).resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        pod = self._pods[name] = LocalPod(body, container, log, self._machine.clock)
        task = asyncio.create_task(self._live(pod))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, pod: LocalPod) -> None:
        """A pod's life: started, ended, and gone when it was deleted."""
        await pod.start()
        self.bell.set()
        await pod.wait()
        self.bell.set()
        if pod.terminating:
            await asyncio.sleep(GONE_AFTER)
            self._forget(pod)

    def _forget(self, pod: LocalPod) -> None:
        if self._pods.get(pod.name) is pod:
            del self._pods[pod.name]
        self.bell.set()

    async def delete(self, key: Key, what: Delete) -> None:
        assert key == self._store.key
        pod = self._pods.get(what.name)
        if pod is None or pod.uid != what.uid:
            return
        pod.delete(what.grace)
        if pod.ended.is_set():
            self._forget(pod)
        self.bell.set()

    async def remove_job(self, key: Key, uid: str) -> None:
        """The folders are the user's: ``rfdetrctl local clean`` removes them."""

    async def read_node(self, name: str) -> NodeState | None:  # noqa: ARG002 - there is only one
        """The only node is the one on which this runs: nothing is to be known of it."""
        return None

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        assert key == self._store.key
        if resource_version != self._job["metadata"]["resourceVersion"]:
            raise Conflict(f"job {key} was written in between")
        merged = merge(self._job.get("status", {}), status)
        if merged != self._job.get("status"):
            self._job["status"] = merged
            self._stored()
        return self.job

    def _stored(self) -> None:
        metadata = self._job["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        self._store.save(self._job)
        self.bell.set()

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        assert (key, uid) == (self._store.key, self._job["metadata"]["uid"])
        self.tell(notice)

    def tell(self, notice: Notice) -> None:
        """Add an event; the same one twice in a row only raises its count."""
        last = self._events[-1] if self._events else {}
        if (last.get("reason"), last.get("message")) == (notice.reason, notice.message):
            last["count"] += 1
            return
        event = {
            "time": self._machine.clock().isoformat(timespec="seconds"),
            "type": notice.type,
            "reason": str(notice.reason),
            "message": notice.message,
            "count": 1,
        }
        self._events.append(event)
        self._store.append_event(event)

    async def close(self) -> None:
        """Kill what still runs and wait until it is gone."""
        for pod in tuple(self._pods.values()):
            pod.delete(0)
        await asyncio.gather(*self._tasks)


def merge(target: Body, change: Mapping[str, Any]) -> Body:
    """A JSON merge-patch: maps are merged, null removes, everything else replaces."""
    merged = dict(target)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            old = merged.get(key)
            merged[key] = merge(old if isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged
