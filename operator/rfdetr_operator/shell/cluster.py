"""The ten verbs by which the shell touches the world. ``kubernetes_cluster.py`` and ``local.py`` speak them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from rfdetr_operator.core.model import Create, Delete, NodeState, Notice

Body = dict[str, Any]


class ClusterError(Exception):
    """A verb that did not work."""

    retry_after: float = 0.0  # seconds that the API server asks to be left alone


class Unavailable(ClusterError):
    """The API server is away, slow or overloaded: try again."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(ClusterError):
    """Somebody wrote in between: read again."""


class NameTaken(ClusterError):
    """The name belongs to an object that is not this job's, or to one that is still going."""


class NotLeading(Unavailable):
    """Another operator may be serving the jobs: this one must not write."""


class Refused(ClusterError):
    """The API server will not do this, now or later; the message is its own."""


class NamespaceEnding(Refused):
    """The namespace is being deleted, and everything in it with it: nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """A job's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Children:
    """Raw API objects of one job, listed by its label."""

    pods: tuple[Body, ...] = ()
    services: tuple[Body, ...] = ()
    claims: dict[str, Body | None] = field(default_factory=dict)


class Cluster(Protocol):
    """What the reconcile needs of the world."""

    async def list_jobs(self) -> tuple[Key, ...]:
        """Every job that is served."""

    async def get_job(self, key: Key) -> Body | None:
        """The job, or None when it is gone."""

    async def list_children(self, key: Key, claims: tuple[str, ...]) -> Children:
        """The job's pods and Services by label, and the claims of these names."""

    async def create(self, key: Key, what: Create, owner_uid: str) -> None:
        """Create a child; one that is already there and owned by ``owner_uid`` is success.

        Raises:
            NameTaken: the name belongs to something else, or to an object that is still terminating.

        """

    async def delete(self, key: Key, what: Delete) -> None:
        """Delete exactly that pod (by uid); one that is already gone is success."""

    async def remove_job(self, key: Key, uid: str) -> None:
        """Delete exactly that job; its children go with it. One that is already gone is success."""

    async def read_node(self, name: str) -> NodeState | None:
        """How a node stands; None when that may not be known.

        Raises:
            ClusterError: it could not be read this time.

        """

    async def write_status(self, key: Key, resource_version: str, status: Body) -> Body:
        """Merge-patch the status; the job as stored now.

        Raises:
            Conflict: the job is no longer at ``resource_version``.

        """

    async def emit(self, key: Key, uid: str, notice: Notice) -> None:
        """Tell the user; the same notice again only raises its count."""
