"""The words of the core: what is observed, and what a plan says."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from rfdetr_contract.report import RunReport
from rfdetr_operator.api.v1alpha1 import Status

Manifest = dict[str, Any]


class PodPhase(enum.StrEnum):
    """What a pod is, seen from its rank."""

    PENDING = "Pending"  # not scheduled, pulling, or its container waits
    RUNNING = "Running"  # the container runs
    SUCCEEDED = "Succeeded"  # exit 0
    FAILED = "Failed"  # any other end, or a pod that the cluster took


@dataclass(frozen=True, slots=True)
class Worker:
    """One pod of the job: ``report`` is its termination message, ``exit_code`` that of the trainer container."""

    node_rank: int
    name: str
    uid: str
    attempt: int
    phase: PodPhase
    terminating: bool = False
    exit_code: int | None = None
    signal_reason: str = ""  # OOMKilled, Evicted, ... as the kubelet said it
    report: RunReport | None = None
    node: str | None = None
    ip: str | None = None
    waiting: str = ""  # why the container waits, such as ImagePullBackOff
    run_config: str = ""  # what it was told, as its annotation says
    created: datetime | None = None
    scheduled: datetime | None = None
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim that the job names."""

    name: str
    access_modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of a node: ``silence`` is the time since its kubelet renewed its lease, None if that is unknown."""

    name: str
    exists: bool = True
    ready: bool = True
    silence: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """A pod that does not answer: for how long, and whether it or another pod of the job was ever heard."""

    lasted: timedelta
    heard: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """The truth of one moment: children that are the job's own, claims that it names, and rank 0's last report."""

    workers: tuple[Worker, ...] = ()
    service: bool = False
    claims: dict[str, Claim | None] = field(default_factory=dict)  # None: looked for and not there
    foreign: tuple[str, ...] = ()  # names we need that belong to something else
    report: RunReport | None = None  # rank 0's live report; no decision needs it
    report_time: datetime | None = None
    silent: dict[str, Silence] = field(default_factory=dict)  # by pod uid; looked for only when nothing moves
    nodes: dict[str, NodeState] = field(default_factory=dict)  # those of the silent pods
    avoid: tuple[str, ...] = ()  # nodes that were lost a short time ago


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a pod; ``grace`` in seconds, None for its own."""

    name: str
    uid: str
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Create a child."""

    kind: Literal["Service", "PersistentVolumeClaim", "Pod"]
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Notice:
    """An event for the user."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step. The status is stored before any Create of a new attempt: a plan raises it or creates, never both."""

    status: Status
    delete: tuple[Delete, ...] = ()
    create: tuple[Create, ...] = ()
    notices: tuple[Notice, ...] = ()
    requeue_after: timedelta | None = None
    again: bool = False  # plan once more at once, on what the status write returned
    poll: bool = False  # nothing is to be done: rank 0's live report is worth a reading
    remove: bool = False  # the job has outlived its time: delete it
