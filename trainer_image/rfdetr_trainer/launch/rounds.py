"""The decisions of rank 0's launcher: when a round begins, what a death means, when the run is over. No input, no output.

``advance(state, event)`` returns the next state and what is to be done. A round is agreed in three steps, each of which
waits for storage: Choose (what to resume from), Claim (a generation), Publish.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from rfdetr_contract.report import PERMANENT, FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.rounds_model import (
    Choose,
    Chosen,
    Claim,
    Claimed,
    Command,
    EndAll,
    Event,
    From,
    Lost,
    Next,
    Over,
    Overdue,
    Peer,
    Phase,
    Publish,
    Reached,
    Spec,
    State,
    StopAll,
)
from rfdetr_trainer.launch.wire import Died, Done, Hello, Idle, Leaving, Preempted, Round, Unfit


def advance(state: State, event: Event) -> Next:
    """The state after the event, and what is to be done."""
    if state.phase is Phase.ENDED:
        return state, _tell_latecomer(state, event)
    match event:
        case From(node_rank, message):
            return _hear(state, node_rank, message)
        case Lost(node_rank):
            return _lose(state, node_rank)
        case Reached(step):
            return replace(state, reached=max(step, state.reached)), ()
        case Chosen():
            return _choose(state, event)
        case Claimed():
            return _publish(state, event)
        case Overdue(generation):
            late = state.phase is Phase.RUNNING and generation == state.generation
            return _stop(replace(state, excused=True)) if late else (state, ())
        case Over(report):
            return end(state, report)
        case _:
            assert_never(event)


def _tell_latecomer(state: State, event: Event) -> tuple[Command, ...]:
    match event:
        case From(_, Hello()) if state.report is not None:
            return (EndAll(state.report),)
        case _:
            return ()


def _hear(state: State, node_rank: int, message: Hello | Idle | Died | Done | Preempted | Leaving | Unfit) -> Next:
    match message:
        case Hello():
            return _join(state, node_rank, message)
        case Idle():
            return _settle(_change(state, node_rank, idle=True))
        case Leaving():
            return replace(_change(state, node_rank, leaving=True), excused=True), ()
        case Died():
            return _die(state, message)
        case Done():
            return _finish(state, node_rank, message)
        case Preempted():
            return replace(state, excused=True), ()
        case Unfit():
            return end(state, message.report)
        case _:
            assert_never(message)


def end(state: State, report: RunReport) -> Next:
    """The run is over."""
    return replace(state, phase=Phase.ENDED, report=report), (EndAll(report),)


def is_complete(state: State) -> bool:
    """Every launcher is here, idle, and stays."""
    ready = [peer for peer in state.peers.values() if peer.idle and not peer.leaving]
    return len(ready) == state.spec.nodes


def find_mismatch(spec: Spec, hello: Hello) -> RunReport | None:
    """Why the run cannot go on with this launcher; None: it can."""
    if not 0 <= hello.node_rank < spec.nodes:
        return _mismatch(f"node rank {hello.node_rank} joined a world of {spec.nodes} nodes")
    if hello.nproc != spec.nproc:
        words = f"node rank {hello.node_rank} has --nproc-per-node={hello.nproc}, node rank 0 has {spec.nproc}"
        return _mismatch(words)
    if hello.config_hash != spec.config_hash:
        return _mismatch(f"node rank {hello.node_rank} runs another configuration than node rank 0")
    return None


def _mismatch(message: str) -> RunReport:
    return RunReport(outcome=Outcome.FAILED, reason=FailureReason.WORLD_SIZE_MISMATCH, message=message)


def choose_culprit(deaths: tuple[Died, ...]) -> Died:
    """The first death that no lost connection explains: those who lose a peer may be heard first."""
    causes = [death for death in deaths if death.reason is not FailureReason.PEER_LOST]
    return (causes or list(deaths))[0]


def _change(state: State, node_rank: int, *, idle: bool | None = None, leaving: bool | None = None) -> State:
    peer = state.peers.get(node_rank)
    if peer is None:
        return state
    changed = replace(
        peer,
        idle=peer.idle if idle is None else idle,
        leaving=peer.leaving if leaving is None else leaving,
    )
    return replace(state, peers={**state.peers, node_rank: changed})


def _join(state: State, node_rank: int, hello: Hello) -> Next:
    mismatch = find_mismatch(state.spec, hello)
    if mismatch is not None:
        return end(state, mismatch)
    state, commands = _lose(state, node_rank) if node_rank in state.peers else (state, ())
    peers = {**state.peers, node_rank: Peer(hello.pod_uid)}
    return replace(state, peers=peers, reached=max(state.reached, hello.step)), commands


def _lose(state: State, node_rank: int) -> Next:
    peers = {rank: peer for rank, peer in state.peers.items() if rank != node_rank}
    state = replace(state, peers=peers)
    if state.phase in {Phase.RUNNING, Phase.STOPPING}:
        return _stop(replace(state, excused=True))
    return state, ()


def _stop(state: State) -> Next:
    if state.phase is Phase.STOPPING:
        return _settle(state)
    state, commands = _settle(replace(state, phase=Phase.STOPPING))
    return state, (StopAll(state.generation), *commands)


def _die(state: State, death: Died) -> Next:
    if death.generation != state.generation or state.phase not in {Phase.RUNNING, Phase.STOPPING}:
        return state, ()
    return _stop(replace(state, deaths=(*state.deaths, death)))


def _finish(state: State, node_rank: int, done: Done) -> Next:
    if done.generation != state.generation or state.phase is not Phase.RUNNING:
        return state, ()
    state = replace(state, done=state.done | {node_rank}, report=done.report or state.report)
    if len(state.done) < state.spec.nodes or state.report is None:
        return state, ()
    return end(state, state.report.model_copy(update={"steps_redone": state.redone}))


def _settle(state: State) -> Next:
    """The round's verdict, once nobody has a worker of it; then the next round, once everybody is here."""
    if state.phase in {Phase.RUNNING, Phase.STOPPING}:
        if not all(peer.idle for peer in state.peers.values()):
            return state, ()
        failure = None if state.excused or not state.deaths else choose_culprit(state.deaths)
        if failure is not None and failure.reason in PERMANENT:
            return end(state, _build_failed(failure, failure.message))
        state = replace(state, phase=Phase.GATHERING, failure=failure)
    if state.phase is Phase.GATHERING and is_complete(state):
        return replace(state, phase=Phase.CHOOSING), (Choose(),)
    return state, ()


def _choose(state: State, chosen: Chosen) -> Next:
    if state.phase is not Phase.CHOOSING:
        return state, ()
    step = chosen.resume.step if chosen.resume else 0
    failure, state = state.failure, _count(state, step)
    if failure is not None and (count := state.failures[failure.reason]) >= state.spec.same_failure_limit:
        words = f"{failure.message} ({count} times at step {step}, without a new durable step)"
        return end(state, _build_failed(failure, words))
    if not is_complete(state):
        return replace(state, phase=Phase.GATHERING), ()
    ahead = max(0, state.reached - step)
    redone = chosen.redone + ahead
    state = replace(state, phase=Phase.CLAIMING, resume=chosen.resume, redone=redone, ahead=ahead, reached=step)
    return state, (Claim(chosen.resume, redone),)


def _count(state: State, step: int) -> State:
    """Failures are counted by reason as long as no new step became durable."""
    failures = dict(state.failures) if state.failed_step == step else {}
    if state.failure is not None:
        failures[state.failure.reason] = failures.get(state.failure.reason, 0) + 1
    return replace(state, failures=failures, failed_step=step, failure=None)


def _publish(state: State, claimed: Claimed) -> Next:
    if state.phase is not Phase.CLAIMING:
        return state, ()
    if not is_complete(state):
        return replace(state, phase=Phase.GATHERING), ()
    peers = {rank: replace(peer, idle=False) for rank, peer in state.peers.items()}
    order = Round(
        generation=claimed.generation,
        store_port=claimed.store_port,
        resume=state.resume,
        steps_redone=state.redone,
        steps_ahead=state.ahead,
        cause=choose_culprit(state.deaths).reason if state.deaths else None,
    )
    started = replace(state, phase=Phase.RUNNING, peers=peers, generation=claimed.generation)
    fresh = replace(started, deaths=(), excused=False, done=frozenset(), report=None)
    return replace(fresh, rounds=state.rounds + 1), (Publish(order),)


def _build_failed(failure: Died, message: str) -> RunReport:
    return RunReport(
        outcome=Outcome.FAILED,
        reason=failure.reason,
        message=message,
        culprit_rank=failure.rank,
        last_lines=failure.last_lines,
    )
