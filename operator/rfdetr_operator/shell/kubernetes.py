"""The Cluster over a real API server: raw calls and plain dicts, a time-out on every call, errors in the shell's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from rfdetr_contract import names
from rfdetr_operator.core.model import Create, Delete, Notice
from rfdetr_operator.core.naming import build_selector
from rfdetr_operator.core.observed import is_owned
from rfdetr_operator.shell.cluster import (
    Body,
    Children,
    Conflict,
    Key,
    NamespaceEnding,
    NameTaken,
    Refused,
    Unavailable,
)
from rfdetr_operator.shell.events import build_event, build_event_name, build_series

TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
POOL: Final = 32
PAGE: Final = 500
MERGE_PATCH: Final = "application/merge-patch+json"
RESOURCES: Final = {"Pod": "pods", "Service": "services", "PersistentVolumeClaim": "persistentvolumeclaims"}
JOBS: Final = f"/apis/{names.API_VERSION}"
EVENTS: Final = "/apis/events.k8s.io/v1"

CallObserver = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: Body


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the API server, for whoever else must."""

    server: str
    ca_path: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool


class Connection:
    """One HTTP client for the life of the process; close it at the end."""

    def __init__(self, configuration: Any, observe: CallObserver) -> None:  # noqa: ANN401 - the client is untyped
        configuration.connection_pool_maxsize = POOL
        configuration.client_session_kwargs = {"trust_env": False}  # a stray proxy must not see API traffic
        self._configuration = configuration
        self._client = kubernetes_client.ApiClient(configuration)
        self._observe = observe

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read_credentials(self) -> Credentials:
        """The credentials as they are now; a projected token is read anew when it is due."""
        found = self._configuration
        token = await found.get_api_key_with_prefix("BearerToken")
        return Credentials(
            server=found.host,
            ca_path=found.ssl_ca_cert,
            token=token.split()[-1] if token else None,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            insecure=not found.verify_ssl,
        )

    async def call(
        self, method: str, path: str, body: Body | None = None, query: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        """One call, whatever the answer's status.

        Raises:
            Unavailable: there was no answer.

        """
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        if method in ("POST", "PATCH"):
            query = (*query, ("fieldManager", names.FIELD_MANAGER))
        code = "none"
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=TIMEOUT)
            raw = await response.response.read()
            code = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__} {error}") from error
        finally:
            self._observe(method.lower(), read_resource(path), code)
        return Answer(response.status, read_body(raw))


async def connect(kubeconfig: str | None, observe: CallObserver) -> Connection:
    """A connection by a kubeconfig file, or by the pod's own service account."""
    configuration = kubernetes_client.Configuration()
    if kubeconfig is None:
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    else:
        await kubernetes_config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    return Connection(configuration, observe)


def read_resource(path: str) -> str:
    """The resource of a path, for the metric: few values, no names."""
    parts = path.strip("/").split("/")
    known = (*RESOURCES.values(), names.PLURAL, "events")
    found = next((part for part in parts if part in known), "other")
    return f"{found}/status" if parts[-1] == "status" else found


def read_body(raw: bytes) -> Body:
    """The answer as an object; anything else is an empty one."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check(answer: Answer, what: str) -> Body:
    """The body of a good answer.

    Raises:
        Unavailable: try again.
        Conflict: somebody wrote in between.
        NamespaceEnding: the namespace is being deleted.
        Refused: the API server will not do this.

    """
    if 200 <= answer.status < 300:
        return answer.body
    message = f"{what}: {answer.status} {str(answer.body.get('message', ''))[:300]}"
    if answer.status in (401, 429) or answer.status >= 500:
        raise Unavailable(message)
    if answer.status == 409:
        raise Conflict(message)
    causes = (answer.body.get("details") or {}).get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        raise NamespaceEnding(message)
    raise Refused(message)


class KubernetesCluster:
    """The eight verbs over the API server."""

    def __init__(
        self,
        connection: Connection,
        namespaces: tuple[str, ...] = (),
        instance: str = "rfdetr-operator",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
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
            body = check(await self._connection.call("GET", path, query=query), "list jobs")
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
        pods = check(await self._connection.call("GET", f"{core}/pods", query=query), "list pods")
        services = check(await self._connection.call("GET", f"{core}/services", query=query), "list services")
        return Children(
            pods=tuple(pods.get("items", [])),
            services=tuple(services.get("items", [])),
            claims={name: await self._get(f"{core}/persistentvolumeclaims/{name}") for name in claims},
        )

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        """Create a child; one that is already there and ours is success."""
        path = f"/api/v1/namespaces/{key.namespace}/{RESOURCES[what.kind]}"
        name = what.manifest["metadata"]["name"]
        answer = await self._connection.call("POST", path, what.manifest)
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
        answer = await self._connection.call("DELETE", path, body)
        if answer.status not in (404, 409):
            check(answer, f"delete pod {what.name}")

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        """Merge-patch the status; the resource version also protects a job made again under the same name."""
        path = f"{build_path(key)}/{names.PLURAL}/{key.name}/status"
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        answer = await self._connection.call("PATCH", path, body)
        if answer.status == 404:
            raise Conflict(f"{key} is gone")
        return check(answer, f"write status of {key}")

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        """Tell the user; the same notice again raises its count."""
        path = f"{EVENTS}/namespaces/{key.namespace}/events"
        now = self._clock()
        answer = await self._connection.call("POST", path, build_event(key, uid, notice, now, self._instance))
        if answer.status != 409:
            check(answer, "create event")
            return
        named = f"{path}/{build_event_name(key, uid, notice)}"
        said = await self._get(named)
        if said is not None:
            check(await self._connection.call("PATCH", named, build_series(said, now)), "count event")

    async def _get(self, path: str) -> Body | None:
        answer = await self._connection.call("GET", path)
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
