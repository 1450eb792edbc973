"""The decisions of one launcher about its own workers. No input, no output: ``advance(state, event)`` says what to do."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import TypeGuard, assert_never

from rfdetr_contract.report import ExitCode, FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.wire import Died, Done, End, FromMember, Idle, Leaving, Preempted, Round, Stop, Unfit


@dataclass(frozen=True, slots=True)
class State:
    """What a launcher knows of its own node."""

    ranks: tuple[int, ...]  # global ranks of this node
    connected: bool = False
    warm: bool = False
    told_idle: bool = False
    stopping: bool = False  # this launcher was told to stop
    generation: int = 0  # of the last round that ran here
    rounds: int = 0  # that ran here
    alive: frozenset[int] = frozenset()
    killing: bool = False
    left: bool = False  # a worker left as it was told to
    unsaved: bool = False  # and the volume has not taken its state
    finished: bool = False  # all workers of this round ended well
    report: RunReport | None = None  # rank 0's last word
    ending: RunReport | None = None
    unfit: RunReport | None = None  # why this node can take part in no round


@dataclass(frozen=True, slots=True)
class Connected:
    """Rank 0's launcher was found and greeted."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Rank 0's launcher is gone."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """The fork server has its imports."""


@dataclass(frozen=True, slots=True)
class ZygoteLost:
    """The fork server is dead, and its workers with it."""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker is dead. ``death`` says why when that was no good end; ``report`` is rank 0's last word.

    ``unsaved``: it left as it was told to, and the volume has not taken its state.
    """

    rank: int
    code: int
    death: Died | None = None
    report: RunReport | None = None
    unsaved: bool = False


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class StopNow:
    """The time to stop is over."""


Event = Connected | Disconnected | Warmed | ZygoteLost | WorkerEnded | StopAsked | StopNow | Round | Stop | End | Unfit


@dataclass(frozen=True, slots=True)
class Tell:
    """A message for rank 0's launcher."""

    message: FromMember


@dataclass(frozen=True, slots=True)
class StartWorkers:
    """Start all workers of this node."""

    round: Round


@dataclass(frozen=True, slots=True)
class SignalWorkers:
    """Send a signal to every living worker."""

    number: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The launcher ends."""

    report: RunReport


Command = Tell | StartWorkers | SignalWorkers | Finish
Next = tuple[State, tuple[Command, ...]]
KILL = SignalWorkers(signal.SIGKILL)


def advance(state: State, event: Event) -> Next:  # noqa: C901 - one branch an event
    """The state after the event, and what is to be done."""
    match event:
        case Connected():
            state = replace(state, connected=True, told_idle=False)
            return _tell_idle(state) if state.unfit is None else (state, (Tell(Unfit(report=state.unfit)),))
        case Disconnected():
            return _kill(replace(state, connected=False, told_idle=False))
        case Warmed():
            return _tell_idle(replace(state, warm=True))
        case ZygoteLost():
            return _lose_zygote(state)
        case WorkerEnded():
            return _end_worker(state, event)
        case StopAsked():
            return _ask(state)
        case StopNow():
            return _kill(state) if state.alive else (state, (Finish(build_preempted(state)),))
        case Round():
            return _start(state, event)
        case Stop():
            return _kill(state) if event.generation >= state.generation else (state, ())
        case End():
            state, commands = _kill(replace(state, ending=event.report))
            return state, commands if state.alive else (Finish(event.report),)
        case Unfit():
            return replace(state, unfit=event.report), (Tell(event),) if state.connected else ()
        case _:
            assert_never(event)


def build_preempted(state: State) -> RunReport:
    """What a launcher says that was told to stop."""
    if state.unsaved:
        message = "stopped on a signal, without a new checkpoint: the volume refused it"
    elif state.left:
        message = "stopped on a signal, with a checkpoint"
    elif state.generation and not state.finished:
        message = "stopped on a signal, without a new checkpoint"
    else:
        message = "stopped on a signal, with no training in progress"
    return RunReport(outcome=Outcome.PREEMPTED, message=message)


def is_news(death: Died | None, state: State) -> TypeGuard[Died]:
    """Rank 0's launcher is to hear of it: the first death, and after it a cause, which may be heard after its effect."""
    return death is not None and (not state.killing or death.reason is not FailureReason.PEER_LOST)


def _kill(state: State) -> Next:
    if not state.alive or state.killing:
        return state, ()
    return replace(state, killing=True), (KILL,)


def _tell_idle(state: State) -> Next:
    if not state.connected or not state.warm or state.alive or state.told_idle or state.stopping:
        return state, ()
    return replace(state, told_idle=True), (Tell(Idle()),)


def _start(state: State, order: Round) -> Next:
    if state.alive or state.stopping or state.ending:
        return state, (Tell(Leaving()),)
    fresh = State(
        state.ranks,
        connected=state.connected,
        warm=state.warm,
        generation=order.generation,
        rounds=state.rounds + 1,
        alive=frozenset(state.ranks),
        unfit=state.unfit,
    )
    return fresh, (StartWorkers(order),)


def _end_worker(state: State, end: WorkerEnded) -> Next:
    state = replace(
        state,
        alive=state.alive - {end.rank},
        left=state.left or end.code == ExitCode.PREEMPTED,
        unsaved=state.unsaved or end.unsaved,
        report=end.report or state.report,
    )
    commands: tuple[Command, ...] = ()
    if is_news(end.death, state):
        commands = (Tell(end.death), *((KILL,) if state.alive and not state.killing else ()))
        state = replace(state, killing=True)
    if state.alive:
        return state, commands
    state, more = _leave_round(state)
    return state, (*commands, *more)


def _leave_round(state: State) -> Next:
    """All workers of this node are dead."""
    if state.ending is not None:
        return state, (Finish(state.ending),)
    told: tuple[Command, ...] = ()
    if not state.killing:
        state = replace(state, finished=not state.left)
        done = Done(generation=state.generation, report=state.report)
        told = (Tell(done if state.finished else Preempted(generation=state.generation)),)
    if state.stopping:
        return state, told if state.finished else (*told, Finish(build_preempted(state)))
    state, idle = _tell_idle(state)
    return state, (*told, *idle)


def _lose_zygote(state: State) -> Next:
    state = replace(state, warm=False)
    if not state.alive:
        return state, ()
    death = Died(
        generation=state.generation,
        rank=min(state.alive),
        reason=FailureReason.CRASHED,
        message="the fork server was killed, and its workers with it",
    )
    told = () if state.killing else (Tell(death),)
    state, more = _leave_round(replace(state, alive=frozenset(), killing=True))
    return state, (*told, *more)


def _ask(state: State) -> Next:
    if state.stopping:
        return _kill(state) if state.alive else (state, (Finish(build_preempted(state)),))
    state = replace(state, stopping=True)
    told = Tell(Leaving())
    if state.alive:
        return state, (told,) if state.killing else (told, SignalWorkers(signal.SIGTERM))
    return state, (told,) if state.finished else (told, Finish(build_preempted(state)))
