"""What rank 0's launcher knows of the rounds, what can happen to them, and what it can do: plain data."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from rfdetr_contract.report import FailureReason, RunReport
from rfdetr_trainer.launch.wire import Died, Done, Hello, Idle, Leaving, Preempted, Round, Unfit
from rfdetr_trainer.resume import Resume


@dataclass(frozen=True, slots=True)
class Spec:
    """What every launcher of this run must agree with."""

    nodes: int
    nproc: int
    config_hash: str
    same_failure_limit: int


class Phase(enum.StrEnum):
    """Where the run stands between its rounds."""

    GATHERING = "gathering"  # not everybody is here and idle
    CHOOSING = "choosing"
    CLAIMING = "claiming"
    RUNNING = "running"
    STOPPING = "stopping"  # a round is over, some workers still live
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Peer:
    """A launcher that is connected."""

    pod_uid: str
    idle: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that rank 0's launcher knows of the run."""

    spec: Spec
    phase: Phase = Phase.GATHERING
    peers: Mapping[int, Peer] = field(default_factory=dict)
    generation: int = 0  # of the last published round
    rounds: int = 0  # published by this launcher
    deaths: tuple[Died, ...] = ()  # of this round, in order of arrival
    excused: bool = False  # this round ended for a peer, not for a failure
    done: frozenset[int] = frozenset()
    report: RunReport | None = None
    failure: Died | None = None  # of the last round, until it is seen whether the run had come further
    failed_step: int | None = None  # durable step at which failures are counted
    failures: Mapping[FailureReason, int] = field(default_factory=dict)
    reached: int = 0  # optimizer step the run is known to have reached
    redone: int = 0
    ahead: int = 0  # steps beyond the chosen checkpoint that the run had reached
    resume: Resume | None = None


@dataclass(frozen=True, slots=True)
class From:
    """A launcher's message."""

    node_rank: int
    message: Hello | Idle | Died | Done | Preempted | Leaving | Unfit


@dataclass(frozen=True, slots=True)
class Lost:
    """A launcher's connection is gone."""

    node_rank: int


@dataclass(frozen=True, slots=True)
class Reached:
    """An optimizer step was heard of."""

    step: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint for the next round, and the steps redone that the newest claim knows of."""

    resume: Resume | None
    redone: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The next round's generation is ours, and a port for its store is free."""

    generation: int
    store_port: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """Some launchers' workers left this round long ago, others' did not."""

    generation: int


@dataclass(frozen=True, slots=True)
class Over:
    """The run is over for a reason that no launcher told: the storage says so, or it cannot be read."""

    report: RunReport


Event = From | Lost | Reached | Chosen | Claimed | Overdue | Over


@dataclass(frozen=True, slots=True)
class Choose:
    """Find the checkpoint to resume from."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim the next generation."""

    resume: Resume | None
    redone: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell every launcher to start its workers."""

    round: Round


@dataclass(frozen=True, slots=True)
class StopAll:
    """Tell every launcher to kill its workers."""

    generation: int


@dataclass(frozen=True, slots=True)
class EndAll:
    """Tell every launcher that the run is over."""

    report: RunReport


Command = Choose | Claim | Publish | StopAll | EndAll
Next = tuple[State, tuple[Command, ...]]
