"""The rights that the operator needs, by what it is told to do. The chart grants these and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rfdetr_contract import names

NODE_LEASES = "kube-node-lease"
LEASES = "coordination.k8s.io"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; ``namespace`` empty: in all of them, or the resource has none."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{where}"


@dataclass(frozen=True, slots=True)
class Duties:
    """What the operator is told to do: the namespaces that it serves (none: all), and what else it reads."""

    namespaces: tuple[str, ...] = ()
    through_proxy: bool = False
    nodes: bool = True
    lease: tuple[str, str] | None = None  # namespace and name


SERVED = (
    ("", "pods", ("get", "list", "watch", "create", "delete")),
    ("", "services", ("get", "list", "create")),
    ("", "persistentvolumeclaims", ("get", "create")),
    ("events.k8s.io", "events", ("create", "get", "patch")),
    (names.GROUP, names.PLURAL, ("get", "list", "watch", "delete")),
    (names.GROUP, f"{names.PLURAL}/status", ("patch",)),
)


def choose_rights(duties: Duties) -> tuple[Right, ...]:
    """All of them, one by one."""
    return (*_choose_served(duties), *_choose_nodes(duties), *_choose_lease(duties))


def _choose_served(duties: Duties) -> Iterator[Right]:
    proxied = (("", "pods/proxy", ("get",)),) if duties.through_proxy else ()
    for namespace in duties.namespaces or ("",):
        for group, resource, verbs in (*SERVED, *proxied):
            yield from (Right(verb, group, resource, namespace) for verb in verbs)


def _choose_nodes(duties: Duties) -> Iterator[Right]:
    if duties.nodes:
        yield Right("get", "", "nodes")
        yield Right("get", LEASES, "leases", NODE_LEASES)


def _choose_lease(duties: Duties) -> Iterator[Right]:
    if duties.lease is not None:
        namespace, name = duties.lease
        yield Right("create", LEASES, "leases", namespace)
        yield Right("get", LEASES, "leases", namespace, name)
        yield Right("update", LEASES, "leases", namespace, name)
