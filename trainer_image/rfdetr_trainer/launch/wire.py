"""What travels: between launchers as JSON lines over TCP, between a launcher and its fork server as JSON datagrams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from rfdetr_contract._base import Frozen
from rfdetr_contract.report import FailureReason, RunReport
from rfdetr_trainer.messages import Phase
from rfdetr_trainer.resume import Resume, Seal


class Hello(Frozen):
    """A launcher's first words to rank 0's. ``step`` is the last optimizer step it knows the run to have reached."""

    kind: Literal["hello"] = "hello"
    job_uid: str
    attempt: int
    node_rank: int
    nproc: int
    config_hash: str
    pod_uid: str
    step: int = 0


class Idle(Frozen):
    """No worker lives here and the fork server is warm."""

    kind: Literal["idle"] = "idle"


class Died(Frozen):
    """The first death of a round on this node, before anybody was killed for it."""

    kind: Literal["died"] = "died"
    generation: int
    rank: int
    reason: FailureReason
    message: str
    last_lines: str = ""


class Done(Frozen):
    """All workers of this node ended well; rank 0's node knows the report."""

    kind: Literal["done"] = "done"
    generation: int
    report: RunReport | None = None


class Preempted(Frozen):
    """The workers of this node left as they were told to."""

    kind: Literal["preempted"] = "preempted"
    generation: int


class Leaving(Frozen):
    """The launcher was told to stop: it takes part in no further round."""

    kind: Literal["leaving"] = "leaving"


class Unfit(Frozen):
    """A node cannot take part: its data set or its configuration was judged and refused."""

    kind: Literal["unfit"] = "unfit"
    report: RunReport


class RankBeat(Frozen):
    """How one living rank stands: ``silent`` and ``longest`` count seconds without progress, now and before.

    ``longest`` is the longest silence of its present phase that ended in progress; None: none has ended yet.
    """

    rank: int
    phase: Phase
    step: int
    silent: float
    longest: float | None = None
    own_seconds: float | None = None


class Ping(Frozen):
    """A sign of life. Rank 0's launcher says how far the run is, the others how their ranks stand."""

    kind: Literal["ping"] = "ping"
    step: int = 0
    generation: int = 0
    ranks: tuple[RankBeat, ...] = ()


class Inspect(Frozen):
    """Nobody makes progress: every launcher is to look at its workers."""

    kind: Literal["inspect"] = "inspect"
    generation: int


class RankView(Frozen):
    """What a look at one worker showed: whether it is stopped, and its main thread's calls, the innermost first."""

    rank: int
    stopped: bool
    calls: tuple[str, ...] = ()


class Views(Frozen):
    """What a look at a node's workers showed."""

    kind: Literal["views"] = "views"
    generation: int
    views: tuple[RankView, ...]


class Round(Frozen):
    """A round begins: every launcher starts its workers against a fresh store.

    ``cause``: the culprit's reason, where a death ended the round before.
    """

    kind: Literal["round"] = "round"
    generation: int
    store_port: int
    resume: Resume | None
    steps_redone: int = 0
    steps_ahead: int = 0  # that the round before had done beyond the checkpoint: they are done again first
    cause: FailureReason | None = None


class Stop(Frozen):
    """The round is over: kill what is left of it. ``reason`` is the culprit's; None: a peer is gone."""

    kind: Literal["stop"] = "stop"
    generation: int
    reason: FailureReason | None = None


class End(Frozen):
    """The run is over."""

    kind: Literal["end"] = "end"
    report: RunReport


FromMember = Hello | Idle | Died | Done | Preempted | Leaving | Unfit | Ping | Views
FromLeader = Round | Stop | End | Ping | Inspect
MEMBER: TypeAdapter[FromMember] = TypeAdapter(Annotated[FromMember, Field(discriminator="kind")])
LEADER: TypeAdapter[FromLeader] = TypeAdapter(Annotated[FromLeader, Field(discriminator="kind")])


class Fork(Frozen):
    """Start one worker; its output goes to the descriptor that comes with this message."""

    kind: Literal["fork"] = "fork"
    rank: int
    env: dict[str, str]


class Signal(Frozen):
    """Send a signal to every living worker."""

    kind: Literal["signal"] = "signal"
    number: int


class Ahead(Frozen):
    """A checkpoint that was just hashed: a worker that resumes will want it. None: let go of the one that is held."""

    kind: Literal["ahead"] = "ahead"
    file: str | None
    seal: Seal | None


class Parsed(Frozen):
    """The flags that were given, as torchrun's own parser understands them, or its complaint."""

    kind: Literal["parsed"] = "parsed"
    values: dict[str, str] = {}
    error: str | None = None


class Warm(Frozen):
    """The imports are done. ``failed`` maps modules that could not be imported to why, ``unprepared`` says why
    nothing could be built for the workers.
    """

    kind: Literal["warm"] = "warm"
    seconds: float
    failed: dict[str, str] = {}
    unprepared: str = ""


class Started(Frozen):
    """A worker lives. ``cold``: why it had to be started without the preloaded imports."""

    kind: Literal["started"] = "started"
    rank: int
    pid: int
    cold: str | None = None


class Ended(Frozen):
    """A worker is dead and reaped; ``code`` is negative for a signal, ``killed`` says that the signal was ours."""

    kind: Literal["ended"] = "ended"
    rank: int
    pid: int
    code: int
    killed: bool = False


ToZygote = Fork | Signal | Ahead
FromZygote = Parsed | Warm | Started | Ended
TO_ZYGOTE: TypeAdapter[ToZygote] = TypeAdapter(Annotated[ToZygote, Field(discriminator="kind")])
FROM_ZYGOTE: TypeAdapter[FromZygote] = TypeAdapter(Annotated[FromZygote, Field(discriminator="kind")])
