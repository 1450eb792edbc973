"""One launcher: it carries out what ``node`` decides, over a fork server, a connection to rank 0's launcher, and signals."""

from __future__ import annotations

import asyncio
import importlib
import signal
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

from rfdetr_contract.report import PERMANENT, FailureReason, Outcome, RunReport
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.fingerprint import DatasetFacts
from rfdetr_trainer.launch import node
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.channel import RETRY_SECONDS, Channel, connect
from rfdetr_trainer.launch.crew import Crew
from rfdetr_trainer.launch.flags import Flags, build_flags, check_world
from rfdetr_trainer.launch.forkserver import ForkServer
from rfdetr_trainer.launch.goodput import read_age
from rfdetr_trainer.launch.leader import Leader
from rfdetr_trainer.launch.logs import LogFiles, say
from rfdetr_trainer.launch.settings import Settings
from rfdetr_trainer.launch.spawn import Spawned, spawn
from rfdetr_trainer.launch.storage import Storage, build_crashed, build_failed, read_result
from rfdetr_trainer.launch.threads import in_thread
from rfdetr_trainer.launch.wire import (
    LEADER,
    End,
    Ended,
    FromLeader,
    FromZygote,
    Hello,
    Inspect,
    Parsed,
    Ping,
    Started,
    Stop,
    Unfit,
    Warm,
)
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.resume import Digests, Seal

RESULT_EVERY = 8  # tries to connect between two looks at the result
LOG_SECONDS = 5.0
UNFIT_SECONDS = 3.0  # for telling the others that this node cannot take part


class Agent:
    """The launcher of one pod, from its first line to its report."""

    def __init__(self, settings: Settings, run: RunConfig, first: Spawned, words: list[str], folder: Path) -> None:
        self._settings = settings
        self._run = run
        self._first = first
        self._words = words
        self._folder = folder
        self._state = node.State(ranks=())
        self._events: asyncio.Queue[node.Event] = asyncio.Queue()
        self._parsed: asyncio.Future[Parsed] = asyncio.get_running_loop().create_future()
        self._logs = LogFiles(RunFolder.of(settings.output_root, run).logs)
        self._channel: Channel[FromLeader] | None = None
        self._leader_address = ""  # where rank 0's launcher was met last
        self._crew: Crew | None = None
        self._leader: Leader | None = None
        self._step = 0
        self._preloaded = False
        self._judged = False
        self._facts: DatasetFacts | None = None
        self._storage = Storage(settings.output_root, run, settings.pod_uid, Digests(), lambda: self._facts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.board = Board(node_rank=0, attempt=run.attempt, age=read_age())

    async def run(self) -> RunReport:
        """The report at the end of this launcher."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)
        self._server = ForkServer(self._first, self._hear)
        self._spawn(self._join())
        try:
            report = await self._serve()
        finally:
            await self._close()
        return self.board.complete(report, time.time())

    async def _serve(self) -> RunReport:
        while True:
            event = await self._events.get()
            self._note(event)
            self._state, commands = node.advance(self._state, event)
            for command in commands:
                if isinstance(command, node.Finish):
                    return command.report
                self._do(command)

    def _note(self, event: node.Event) -> None:
        """What ends a round, for the board: a death that nobody here was killed for, or what rank 0's launcher says."""
        match event:
            case node.WorkerEnded(death=death):
                if node.is_news(death, self._state):
                    self.board.note_death(death.reason)
                self.board.note_end(event.rank)
            case node.ZygoteLost() if self._state.alive:  # nobody is left to reap its workers
                self.board.note_death(FailureReason.CRASHED)
                self.board.note_end(self.board.first_rank)
            case Stop(reason=reason) if reason is not None:
                self.board.note_death(reason)

    def _do(self, command: node.Tell | node.StartWorkers | node.SignalWorkers) -> None:
        match command:
            case node.Tell(message):
                if self._channel is not None:
                    self._channel.send(message)
            case node.StartWorkers(order):
                assert self._crew is not None
                sealed = order.model_copy(update={"resume": self._storage.reseal(order.resume)})
                self._crew.start(self._server, sealed, self._leader_address)
                if self._leader is None:  # no newer checkpoint is heard of here
                    self._load_ahead(None, None)
            case node.SignalWorkers(number):
                self._server.signal(number)

    async def _close(self) -> None:
        self._server.close()
        if self._leader is not None:
            await self._leader.drain()
        for task in self._tasks:
            task.cancel()
        if self._leader is not None:
            self._leader.close()
        if self._crew is not None:
            self._crew.close()
        self._logs.close(LOG_SECONDS)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._notice)

    def _notice(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_here(build_crashed(error))

    def _end_here(self, report: RunReport) -> None:
        self._events.put_nowait(End(report=report))

    def _ask_to_stop(self) -> None:
        if not self._state.stopping:
            say(f"told to stop; at most {self._run.limits.stop_seconds} s for a checkpoint")
            loop = asyncio.get_running_loop()
            loop.call_later(self._run.limits.stop_seconds, self._events.put_nowait, node.StopNow())
        self._events.put_nowait(node.StopAsked())

    def _hear(self, message: FromZygote | None) -> None:
        match message:
            case None:
                self._replace_server()
            case Parsed():
                self._parsed.set_result(message)
            case Warm(seconds=seconds, failed=failed, unprepared=unprepared):
                say(f"fork server warm after {seconds:.1f} s")
                for name, why in failed.items():
                    say(f"fork server could not import {name}: {why}")
                if unprepared:
                    say(f"fork server built nothing ahead: {unprepared}")
                self._preloaded = True
                self._warm_up()
            case Started():
                assert self._crew is not None
                self._crew.note_start(message)
            case Ended():
                assert self._crew is not None
                self._events.put_nowait(self._crew.explain(message))

    def _warm_up(self) -> None:
        if self._preloaded and self._judged:
            self.board.note_ready()
            self._events.put_nowait(node.Warmed())

    def _replace_server(self) -> None:
        if not self._preloaded:
            words = "the fork server ended before it was ready"
            self._end_here(RunReport(outcome=Outcome.FAILED, reason=FailureReason.CRASHED, message=words))
            return
        say("the fork server is dead; starting another one")
        if self._crew is not None:
            self._crew.bury()
        self._events.put_nowait(node.ZygoteLost())
        self._preloaded = False
        self._parsed = asyncio.get_running_loop().create_future()
        self._server = ForkServer(spawn(self._words), self._hear)

    async def _join(self) -> None:
        try:
            flags = build_flags(await self._parsed)
            check_world(flags, self._run.topology)
            self.board.node_rank, self.board.first_rank = flags.node_rank, flags.node_rank * flags.nproc
            self._crew = Crew(flags, self._run, self.board, self._logs, self._folder)
            self._state = replace(self._state, ranks=self._crew.ranks)
            self._spawn(self._judge())
            self._spawn(self._read_ahead())
            if flags.node_rank == 0:
                await self._lead(flags)
            await self._stay_connected(flags)
        except (RunError, OSError) as error:
            self._end_here(build_failed(error))

    async def _read_ahead(self) -> None:
        """While the fork server imports, or rank 0's pod is replaced: hash what this pod will probably resume from."""
        newest = await in_thread(self._storage.hash_newest)
        if newest is not None and newest.seal is not None and not self._state.alive:
            self._load_ahead(newest.file, newest.seal)

    def _load_ahead(self, file: str | None, seal: Seal | None) -> None:
        self._server.load_ahead(file, seal)  # of the fork server that lives now: one that was killed is replaced

    async def _judge(self) -> None:
        """What is wrong here is wrong for the run: the others are told before this launcher ends."""
        try:
            await in_thread(self._check_data)
        except (RunError, OSError) as error:
            report = build_failed(error)
            if report.reason not in PERMANENT:
                self._end_here(report)
                return
            self._events.put_nowait(Unfit(report=report))
            asyncio.get_running_loop().call_later(UNFIT_SECONDS, self._end_here, report)
        else:
            self._judged = True
            self._warm_up()

    def _check_data(self) -> None:
        if self._settings.preflight:
            preflight = importlib.import_module(self._settings.preflight)
            self._facts = preflight.check(self._run, self._settings.data_root)

    async def _lead(self, flags: Flags) -> None:
        self._leader = Leader(self._storage, self.board, self._end_here, self._load_ahead)
        await self._leader.start(flags.master_port)

    async def _stay_connected(self, flags: Flags) -> None:
        host = "127.0.0.1" if flags.node_rank == 0 else flags.master_addr
        tries = 0
        while True:
            try:
                silence, resolve = self._run.limits.peer_seconds, self._settings.resolve
                channel = await connect((host, flags.master_port), LEADER, silence, resolve)
            except OSError as error:
                await self._wait_for_leader(f"{host}:{flags.master_port}", error, tries)
                tries += 1
                continue
            tries = 0
            await self._talk(channel, flags)
            self._spawn(self._read_ahead())
            await asyncio.sleep(RETRY_SECONDS)

    async def _wait_for_leader(self, place: str, error: OSError, tries: int) -> None:
        if tries == 0:
            say(f"waiting for node rank 0 at {place} ({error})")
        if tries % RESULT_EVERY == RESULT_EVERY - 1:
            result = await in_thread(lambda: read_result(RunFolder.of(self._settings.output_root, self._run)))
            if result is not None:
                self._end_here(result)
        await asyncio.sleep(RETRY_SECONDS)

    async def _talk(self, channel: Channel[FromLeader], flags: Flags) -> None:
        channel.send(self._build_hello(flags))
        self._channel = channel
        self._leader_address = channel.address
        self._events.put_nowait(node.Connected())
        beating = asyncio.get_running_loop().create_task(channel.beat(self._build_ping))
        try:
            while (message := await channel.receive()) is not None:
                if isinstance(message, Ping):
                    self._step = message.step
                elif isinstance(message, Inspect):
                    self._spawn(self._look(channel, message.generation))
                else:
                    self._events.put_nowait(message)
        finally:
            beating.cancel()
            self._channel = None
            channel.close()
        self._events.put_nowait(node.Disconnected())

    async def _look(self, channel: Channel[FromLeader], generation: int) -> None:
        assert self._crew is not None
        channel.send(await self._crew.inspect(self._server, generation))

    def _build_ping(self) -> Ping:
        assert self._crew is not None
        standing = self._crew.standing
        return Ping(generation=standing.generation, ranks=standing.build_beats(time.monotonic()))

    def _build_hello(self, flags: Flags) -> Hello:
        return Hello(
            job_uid=self._run.job.uid,
            attempt=self._run.attempt,
            node_rank=flags.node_rank,
            nproc=flags.nproc,
            config_hash=self._run.hash(),
            pod_uid=self._settings.pod_uid,
            step=self._step,
        )
