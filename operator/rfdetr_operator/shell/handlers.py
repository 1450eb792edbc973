"""kopf as a doorbell: an event puts a key into the queue and returns nothing. kopf never writes to any object."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf

from rfdetr_contract import names
from rfdetr_operator.core.naming import read_job_name
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.doorbell import OTHER
from rfdetr_operator.shell.kubernetes import Credentials

LONGEST_BACKOFF: Final = 30.0  # seconds
LOGIN_AGAIN: Final = timedelta(minutes=10)
IDENTITY: Final = "rfdetr-operator"  # kopf's own choice looks up the user's name, which a pod may lack

Ring = Callable[[Key, str], None]
ReadCredentials = Callable[[], Awaitable[Credentials]]


class NoDiff(kopf.DiffBaseStorage):  # type: ignore[misc] # kopf is untyped here
    """Keeps no last-handled state: without it kopf copies and compares every event's whole body."""

    def build(self, *, body: object, extra_fields: object = None) -> dict[str, Any]:  # noqa: ARG002 - the signature is kopf's
        """Nothing is remembered."""
        return {}

    def fetch(self, *, body: object) -> None:
        """Nothing was remembered."""

    def store(self, *, body: object, patch: object, essence: object) -> None:
        """Nothing is written."""


class EndlessBackoff:
    """Pauses between tries of a call of kopf's: they never run out, so an outage of the API is no crash loop."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance

    def __iter__(self) -> Iterator[float]:
        """Doubled up to 30 seconds, spread by +-30 %."""
        pause = 1.0
        while True:
            yield pause * (0.7 + 0.6 * self._chance())
            pause = min(pause * 2, LONGEST_BACKOFF)


def build_settings(chance: Callable[[], float]) -> kopf.OperatorSettings:
    """What kopf is told: our pods only, no posting, no scanning, no diffs, calls that end, tries that do not."""
    settings = kopf.OperatorSettings()
    settings.watching.label_selectors["pods"] = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = EndlessBackoff(chance)
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.level = logging.CRITICAL
    settings.persistence.diffbase_storage = NoDiff()
    settings.queueing.worker_limit = None
    return settings


def register(registry: kopf.OperatorRegistry, ring: Ring, read_credentials: ReadCredentials) -> None:
    """The handlers: a job rings for itself, a pod for the job that its label names."""

    async def login(**_: object) -> kopf.ConnectionInfo:
        found = await read_credentials()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            insecure=found.insecure,
            expiration=datetime.now(UTC) + LOGIN_AGAIN if found.token else None,
        )

    async def job_changed(namespace: str | None, name: str | None, meta: Any, **_: object) -> None:  # noqa: ANN401 - kopf's own mapping
        if namespace and name:
            ring(Key(namespace, name), str(meta.get("resourceVersion", "")))

    async def pod_changed(namespace: str | None, labels: Any, **_: object) -> None:  # noqa: ANN401 - kopf's own mapping
        job = read_job_name(dict(labels))
        if namespace and job:
            ring(Key(namespace, job), OTHER)

    kopf.on.login(registry=registry)(login)
    kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)(job_changed)
    kopf.on.event("", "v1", "pods", registry=registry)(pod_changed)
