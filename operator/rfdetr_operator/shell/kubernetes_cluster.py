"""The Cluster over a real API server: each verb as calls of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rfdetr_contract import names
from rfdetr_operator.core.model import Create, Delete, NodeState, Notice
from rfdetr_operator.core.naming import build_selector
from rfdetr_operator.core.observed import is_owned, read_node_state
from rfdetr_operator.shell.cluster import Body, Children, Conflict, Key, NameTaken
from rfdetr_operator.shell.events import build_event, build_event_name, build_series
from rfdetr_operator.shell.kubernetes import Caller, check

PAGE: Final = 500
RESOURCES: Final = {"Pod": "pods", "Service": "services", "PersistentVolumeClaim": "persistentvolumeclaims"}
JOBS: Final = f"/apis/{names.API_VERSION}"
EVENTS: Final = "/apis/events.k8s.io/v1"
NODE_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class KubernetesCluster:
    """The ten verbs over the API server."""

    def __init__(
        self,
        calls: Caller,
        namespaces: tuple[str, ...] = (),
        instance: str = "rfdetr-operator",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._calls = calls
        self._namespaces = namespaces
        self._instance = instance
        self._clock = clock

    async def list_jobs(self) -> tuple[Key, ...]:
        """Every job that is served, page by page."""
        found: list[Key] = []
        for namespace in self._namespaces or ("",):
            scope = f"/namespaces/{namespace}" if namespace else ""
            found += await self._list_keys(f"{JOBS}{scope}/{names.PLURAL}")
        return tuple(found)

    async def _list_keys(self, path: str) -> list[Key]:
        found: list[Key] = []
        token = ""
        while True:
            query = (("limit", str(PAGE)), *((("continue", token),) if token else ()))
            body = check(await self._calls.call("GET", path, query=query), "list jobs")
            metas = [item["metadata"] for item in body.get("items", [])]
            found += [Key(meta["namespace"], meta["name"]) for meta in metas]
            token = body.get("metadata", {}).get("continue", "")
            if not token:
                return found

    async def get_job(self, key: Key) -> Body | None:
        """The job, or None when it is gone."""
        return await self._get(f"{build_path(key)}/{names.PLURAL}/{key.name}")

    async def list_children(self, key: Key, claims: tuple[str, ...]) -> Children:
        """The job's pods and Services by label, and the claims of these names."""
        core = f"/api/v1/namespaces/{key.namespace}"
        query = (("labelSelector", build_selector(key.name)),)
        pods = check(await self._calls.call("GET", f"{core}/pods", query=query), "list pods")
        services = check(await self._calls.call("GET", f"{core}/services", query=query), "list services")
        return Children(
            pods=tuple(pods.get("items", [])),
            services=tuple(services.get("items", [])),
            claims={name: await self._get(f"{core}/persistentvolumeclaims/{name}") for name in claims},
        )

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        """Create a child; one that is already there and ours is success."""
        path = f"/api/v1/namespaces/{key.namespace}/{RESOURCES[what.kind]}"
        name = what.manifest["metadata"]["name"]
        answer = await self._calls.call("POST", path, what.manifest)
        if answer.status != 409:
            check(answer, f"create {what.kind} {name}")
            return
        found = await self._get(f"{path}/{name}")
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise Conflict(f"{what.kind} {name} is still being deleted")
        if not is_ours(found, what, owner_uid):
            raise NameTaken(f"{what.kind} {name} exists and belongs to something else")

    async def delete(self, key: Key, what: Delete) -> None:
        """Delete exactly that pod; one that is gone, or another one under its name, is success."""
        body: Body = {"preconditions": {"uid": what.uid}, "propagationPolicy": "Background"}
        if what.grace is not None:
            body["gracePeriodSeconds"] = what.grace
        path = f"/api/v1/namespaces/{key.namespace}/pods/{what.name}"
        answer = await self._calls.call("DELETE", path, body)
        if answer.status not in (404, 409):
            check(answer, f"delete pod {what.name}")

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        """Merge-patch the status; the resource version also protects a job made again under the same name."""
        path = f"{build_path(key)}/{names.PLURAL}/{key.name}/status"
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        answer = await self._calls.call("PATCH", path, body)
        if answer.status == 404:
            raise Conflict(f"{key} is gone")
        return check(answer, f"write status of {key}")

    async def remove_job(self, key: Key, uid: str) -> None:
        """Delete exactly that job; one that is gone, or another one under its name, is success."""
        path = f"{build_path(key)}/{names.PLURAL}/{key.name}"
        body: Body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        answer = await self._calls.call("DELETE", path, body)
        if answer.status not in (404, 409):
            check(answer, f"delete job {key}")

    async def read_node(self, name: str) -> NodeState | None:
        """How a node stands; None when this operator may not look at nodes."""
        answer = await self._calls.call("GET", f"/api/v1/nodes/{name}")
        if answer.status == 403:
            return None
        if answer.status == 404:
            return NodeState(name, exists=False)
        node = check(answer, f"get node {name}")
        lease = await self._calls.call("GET", f"{NODE_LEASES}/{name}")
        return read_node_state(name, node, lease.body if lease.status == 200 else {}, self._clock())

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        """Tell the user; the same notice again raises its count."""
        path = f"{EVENTS}/namespaces/{key.namespace}/events"
        now = self._clock()
        answer = await self._calls.call("POST", path, build_event(key, uid, notice, now, self._instance))
        if answer.status != 409:
            check(answer, "create event")
            return
        named = f"{path}/{build_event_name(key, uid, notice)}"
        said = await self._get(named)
        if said is not None:
            check(await self._calls.call("PATCH", named, build_series(said, now)), "count event")

    async def _get(self, path: str) -> Body | None:
        answer = await self._calls.call("GET", path)
        return None if answer.status == 404 else check(answer, f"get {path}")


def build_path(key: Key) -> str:
    """The folder of a job's namespace in our group."""
    return f"{JOBS}/namespaces/{key.namespace}"


def is_ours(found: Body, what: Create, owner_uid: str) -> bool:
    """Owned by the job; a claim that outlived an earlier job of this name is taken up again."""
    if is_owned(found, owner_uid):
        return True
    labels, wanted = found["metadata"].get("labels") or {}, what.manifest["metadata"]["labels"]
    retained = not found["metadata"].get("ownerReferences")
    return what.kind == "PersistentVolumeClaim" and retained and labels.get(names.LABEL_JOB) == wanted[names.LABEL_JOB]
