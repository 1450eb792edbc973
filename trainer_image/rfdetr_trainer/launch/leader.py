"""Rank 0's launcher: it listens for the others and carries out what ``rounds`` decides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial

from rfdetr_contract.report import PERMANENT, FailureReason, RunReport
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.generations import build_overtaken
from rfdetr_trainer.launch import rounds
from rfdetr_trainer.launch import rounds_model as model
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.channel import LINE_LIMIT, Channel
from rfdetr_trainer.launch.logs import say
from rfdetr_trainer.launch.overseer import LOOK_SECONDS, Overseer
from rfdetr_trainer.launch.ports import find_free_port, listen
from rfdetr_trainer.launch.storage import Storage, build_crashed, build_failed, read_result
from rfdetr_trainer.launch.threads import in_thread
from rfdetr_trainer.launch.wire import MEMBER, Done, End, FromLeader, FromMember, Hello, Ping, Preempted, Stop, Views
from rfdetr_trainer.resume import Resume, Seal

OVERTAKEN_SECONDS = 3.0
BIND_SECONDS = 10.0
DRAIN_SECONDS = 3.0
AHEAD_SECONDS = 0.2
Members = Channel[FromMember]


class Leader:
    """The rendezvous of one run.

    ``end_here`` ends this pod alone, when another one has taken over; ``load_ahead`` gets each new checkpoint.
    """

    def __init__(
        self,
        storage: Storage,
        board: Board,
        end_here: Callable[[RunReport], None],
        load_ahead: Callable[[str, Seal], None],
    ) -> None:
        run = storage.run
        self._storage = storage
        self._board = board
        self._end_here = end_here
        self._load_ahead = load_ahead
        self._state = model.State(
            model.Spec(
                nodes=run.topology.nodes,
                nproc=run.topology.processes_per_node,
                config_hash=run.hash(),
                same_failure_limit=run.limits.same_failure_limit,
            )
        )
        self._overseer = Overseer(run.limits, run.topology.nodes, self._broadcast, time.monotonic)
        self._channels: dict[int, Members] = {}
        self._met: set[int] = set()  # node ranks that were ever connected
        self._ports: set[int] = set()  # of every round's store: a worker of an older one must find nobody there
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._alone = False  # the others are to look for another launcher of rank 0

    async def start(self, port: int) -> None:
        """Listen. The port of a predecessor on this machine may take a moment to be free."""
        deadline = time.monotonic() + BIND_SECONDS
        while self._server is None:
            try:
                self._server = await asyncio.start_server(self._accept, sock=listen(port), limit=LINE_LIMIT)
            except OSError as error:
                if time.monotonic() > deadline:
                    words = f"--master-port={port}: {error.strerror}"
                    raise RunError(FailureReason.CRASHED, words) from error
                await asyncio.sleep(0.1)
        self._spawn(self._watch_claims())
        self._spawn(self._oversee())
        self._spawn(self._look_ahead())

    async def drain(self) -> None:
        """Wait a moment for the others: to be idle, or gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._is_busy():
                    self._changed.clear()
                    await self._changed.wait()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for channel in self._channels.values():
            channel.close()

    def _is_busy(self) -> bool:
        if self._alone:
            return False
        others = {rank for rank in self._channels if rank != 0}
        if self._state.phase is model.Phase.ENDED:
            return bool(others) or self._is_early_refusal()
        return any(not self._state.peers[rank].idle for rank in others if rank in self._state.peers)

    def _is_early_refusal(self) -> bool:
        """The run is refused before its first round, and some launcher that is about to come was not told."""
        refused = self._state.report is not None and self._state.report.reason in PERMANENT
        return refused and not self._state.rounds and len(self._met) < self._state.spec.nodes

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._notice)

    def _notice(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_way(build_crashed(error))

    def _give_way(self, report: RunReport) -> None:
        self._alone = True
        self._end_here(report)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._greet(Channel(reader, writer, MEMBER, self._storage.run.limits.peer_seconds)))

    async def _greet(self, channel: Members) -> None:
        hello = await channel.receive()
        if not isinstance(hello, Hello) or hello.job_uid != self._storage.run.job.uid:
            channel.close()
            return
        if hello.attempt != self._storage.run.attempt:
            self._refuse(hello, channel)
            return
        self._spawn(channel.beat(self._build_ping))
        before = self._channels.get(hello.node_rank)
        self._channels[hello.node_rank] = channel
        self._met.add(hello.node_rank)
        if before is not None:
            before.close()
        await self._attend(hello, channel)

    def _refuse(self, hello: Hello, channel: Members) -> None:
        """The older attempt gives way, whichever of the two launchers runs it."""
        words = f"node rank {hello.node_rank} runs attempt {hello.attempt}, rank 0 attempt {self._storage.run.attempt}"
        report = build_failed(RunError(FailureReason.OVERTAKEN, words))
        if hello.attempt > self._storage.run.attempt:
            self._give_way(report)
        else:
            channel.send(End(report=report))
        channel.close()

    async def _attend(self, hello: Hello, channel: Members) -> None:
        node_rank = hello.node_rank
        message: FromMember | None = hello
        while message is not None and self._channels.get(node_rank) is channel:
            if isinstance(message, Ping | Views):
                self._overseer.hear(node_rank, message)
            else:
                self._feed(model.From(node_rank, message))
                self._watch_stragglers(message)
            message = await channel.receive()
        channel.close()
        if self._channels.get(node_rank) is channel:
            del self._channels[node_rank]
            self._feed(model.Lost(node_rank))

    def _watch_stragglers(self, message: FromMember) -> None:
        if isinstance(message, Done | Preempted):
            late = model.Overdue(message.generation)
            seconds = self._storage.run.limits.process_group_seconds
            asyncio.get_running_loop().call_later(seconds, self._feed, late)

    def _feed(self, event: model.Event) -> None:
        self._state, commands = rounds.advance(self._state, event)
        self._changed.set()
        for command in commands:
            self._do(command)

    def _do(self, command: model.Command) -> None:
        match command:
            case model.Choose():
                self._spawn(self._guard(self._choose()))
            case model.Claim(resume, redone):
                self._spawn(self._guard(self._claim(resume, redone)))
            case model.Publish(order):
                self._broadcast(order)
            case model.StopAll(generation):
                culprit = rounds.choose_culprit(self._state.deaths) if self._state.deaths else None
                say(f"round {generation} is over: {culprit.message if culprit else 'a peer is gone'}")
                self._broadcast(Stop(generation=generation, reason=culprit.reason if culprit else None))
            case model.EndAll(report):
                self._broadcast(End(report=self._board.complete(report, time.time())))

    def _build_ping(self) -> Ping:
        return Ping(step=max(self._state.reached, self._board.heard_step))

    async def _oversee(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._state.phase is not model.Phase.RUNNING:
                continue
            generation = self._state.generation
            self._board.straggler = self._overseer.watch_pace(generation)
            death = await self._overseer.find_death(generation)
            if death is not None:
                self._board.hang = death
                self._feed(model.From(0, death))

    def _broadcast(self, message: FromLeader) -> None:
        for channel in self._channels.values():
            channel.send(message)

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except RunError as error:
            if error.reason is FailureReason.OVERTAKEN:
                self._give_way(build_failed(error))
            else:
                self._feed(model.Over(build_failed(error)))
        except OSError as error:
            self._feed(model.Over(build_failed(error)))

    async def _choose(self) -> None:
        self._feed(model.Reached(self._board.heard_step))
        result = await in_thread(lambda: read_result(self._storage.folder))
        if result is not None:
            self._feed(model.Over(result))
            return
        choice, redone = await in_thread(self._storage.choose)
        for note in choice.notes:
            say(note)
        self._feed(model.Chosen(self._storage.seal(choice), redone))

    async def _claim(self, resume: Resume | None, redone: int) -> None:
        last = self._state.generation
        generation = await in_thread(lambda: self._storage.claim(last, resume, redone, time.time()))
        port = find_free_port(self._ports)
        self._ports.add(port)
        self._feed(model.Claimed(generation, port))

    async def _look_ahead(self) -> None:
        """Get each new checkpoint ready while the training goes on: a restart waits for neither digest nor pickle."""
        last = None
        while True:
            await asyncio.sleep(AHEAD_SECONDS)
            sealed = self._board.sealed
            if sealed is None or sealed == last:
                continue
            last = sealed
            whole = await in_thread(partial(self._storage.learn, sealed))
            if whole is not None and whole.seal is not None:
                self._load_ahead(whole.file, whole.seal)

    async def _watch_claims(self) -> None:
        while True:
            await asyncio.sleep(OVERTAKEN_SECONDS)
            generation = self._state.generation
            with contextlib.suppress(OSError):
                if generation and await in_thread(lambda: self._storage.is_overtaken(self._state.generation)):
                    self._give_way(build_failed(build_overtaken(generation)))
                    return
