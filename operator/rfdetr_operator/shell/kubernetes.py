"""Calls of a real API server: raw and with plain dicts, a time-out on every one, errors in the shell's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from rfdetr_contract import names
from rfdetr_operator.shell.cluster import Body, Conflict, NamespaceEnding, NotLeading, Refused, Unavailable
from rfdetr_operator.shell.streams import read_limited

TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
POOL: Final = 32
SIZE_LIMIT: Final = 256 * 1024 * 1024  # bytes: no list is longer, an endless answer is
LONGEST_RETRY_AFTER: Final = 60.0  # seconds that an answer may make us wait
MERGE_PATCH: Final = "application/merge-patch+json"
WATCHED: Final = (
    "pods", "services", "persistentvolumeclaims", names.PLURAL, "events", "nodes", "leases", "selfsubjectaccessreviews",
)  # fmt: skip

Query = tuple[tuple[str, str], ...]
CallObserver = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: Body
    retry_after: float = 0.0  # seconds that it asks to be left alone


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
        self, method: str, path: str, body: Body | None = None, query: Query = (), *, limit: int = SIZE_LIMIT
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
            code = str(response.status)
            retry_after = read_retry_after(response.response.headers.get("Retry-After", ""))
            try:
                raw = await read_limited(response.response.content, limit)
            finally:
                response.response.release()
            if raw is None:
                raise Unavailable(f"{method} {path}: the answer is longer than {limit} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__} {error}") from error
        finally:
            self._observe(method.lower(), read_resource(path), code)
        return Answer(response.status, read_body(raw), retry_after)


class Caller(Protocol):
    """Whatever calls the API server."""

    async def call(
        self, method: str, path: str, body: Body | None = None, query: Query = (), *, limit: int = SIZE_LIMIT
    ) -> Answer:
        """One call, whatever the answer's status.

        Raises:
            Unavailable: there was no answer.

        """


class Fenced:
    """Calls that change nothing pass; the others only as long as this operator leads, which is asked for each of them."""

    def __init__(self, calls: Caller, may_write: Callable[[], bool]) -> None:
        self._calls = calls
        self._may_write = may_write

    async def call(
        self, method: str, path: str, body: Body | None = None, query: Query = (), *, limit: int = SIZE_LIMIT
    ) -> Answer:
        """One call.

        Raises:
            NotLeading: it would have changed something.
            Unavailable: there was no answer.

        """
        if method != "GET" and not self._may_write():
            raise NotLeading(f"{method} {path}: this operator does not lead")
        return await self._calls.call(method, path, body, query, limit=limit)


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
    if "namespaces" in parts[:4]:  # what follows is the namespace's own name, whatever it is
        parts = parts[parts.index("namespaces") + 2 :]
    found = next((part for part in parts if part in WATCHED), "other")
    last = next((part for part in ("status", "proxy") if part in parts[2:3]), "")
    return f"{found}/{last}" if last else found


def read_body(raw: bytes) -> Body:
    """The answer as an object; anything else is an empty one."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks for, within reason; 0 for none and for a date, which no API server sends."""
    return min(float(header), LONGEST_RETRY_AFTER) if header.isdecimal() else 0.0


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
        raise Unavailable(message, answer.retry_after)
    if answer.status == 409:
        raise Conflict(message)
    causes = (answer.body.get("details") or {}).get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        raise NamespaceEnding(message)
    raise Refused(message)
