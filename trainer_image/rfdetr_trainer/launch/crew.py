"""The workers of one node: started by the fork server, their lines and messages taken in, their ends explained."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from rfdetr_contract import names
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.deaths import WorkerEnd, build_silent_end, classify_end, read_oom_kills
from rfdetr_trainer.launch.environment import build_defaults, build_worker_env
from rfdetr_trainer.launch.flags import Flags
from rfdetr_trainer.launch.forkserver import ForkServer
from rfdetr_trainer.launch.logs import LogFiles, Splitter, Tail, say
from rfdetr_trainer.launch.node import WorkerEnded
from rfdetr_trainer.launch.ranks import Ranks
from rfdetr_trainer.launch.stacks import DUMP_SECONDS, DUMP_SIGNAL, is_stopped, parse_calls
from rfdetr_trainer.launch.stop_limit import find_short_stop, measure_step
from rfdetr_trainer.launch.wire import Ended, RankView, Round, Started, Views
from rfdetr_trainer.messages import WorkerMessage

CHUNK = 1 << 16


class Output:
    """One worker's standard output and error."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._splitter = Splitter()
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        asyncio.get_running_loop().add_reader(self.read_end, self.read)

    def read(self) -> None:
        """Take all that is there."""
        while self.read_end >= 0:
            try:
                data = os.read(self.read_end, CHUNK)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            for line in self._splitter.feed(data):
                self._take(line)

    def close(self) -> None:
        """No more is read."""
        if self.read_end < 0:
            return
        asyncio.get_running_loop().remove_reader(self.read_end)
        os.close(self.read_end)
        self.read_end = -1
        for line in self._splitter.flush():
            self._take(line)


class Crew:
    """The living workers of this node."""

    def __init__(self, flags: Flags, run: RunConfig, board: Board, logs: LogFiles, folder: Path) -> None:
        self._flags = flags
        self._run = run
        self._longest_save = self._step = 0.0  # seconds
        self._board = board
        self._logs = logs
        self._path = folder / "launcher.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self._path))
        self._outputs: dict[int, Output] = {}
        self._tails: dict[int, Tail] = {}
        self._pids: dict[int, int] = {}
        self._dumps: dict[int, list[str]] | None = None  # of each rank, while stacks are asked for
        self.standing = Ranks()
        self._oom_kills = 0
        asyncio.get_running_loop().add_reader(self._socket, self._listen)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The global ranks of this node."""
        first = self._flags.node_rank * self._flags.nproc
        return tuple(range(first, first + self._flags.nproc))

    def start(self, server: ForkServer, order: Round, leader: str) -> None:
        """Start all workers of a round, whose store is at the leader's address."""
        if order.cause is not None:
            self._board.note_death(order.cause)
        self._board.begin(
            order.generation, order.steps_redone, order.resume.step if order.resume else None, order.steps_ahead
        )
        self.standing.begin(order.generation, self.ranks, order.resume.step if order.resume else 0, time.monotonic())
        self._oom_kills = read_oom_kills()
        start = f"resume from step {order.resume.step}" if order.resume else "from the start"
        say(f"round {order.generation}: {self._flags.nnodes * self._flags.nproc} ranks, {start}")
        for local_rank, rank in enumerate(self.ranks):
            tail = Tail()
            output = Output(lambda line, rank=rank, tail=tail: self._take(rank, tail, line))  # type: ignore[misc]
            self._tails[rank], self._outputs[rank] = tail, output
            told = build_worker_env(self._flags, local_rank, order, self._run.job.uid, leader)
            env = {**build_defaults(os.environ), **told, names.ENV_LAUNCHER_SOCKET: str(self._path)}
            server.fork(rank, env, output.write_end)

    def note_start(self, started: Started) -> None:
        """A worker lives; say so when it could not begin warm."""
        self._pids[started.rank] = started.pid
        if started.cold is not None:
            say(f"rank {started.rank} starts cold: {started.cold}")

    def explain(self, ended: Ended) -> WorkerEnded:
        """What a worker's end means; all that it said before is taken in first."""
        self._listen()
        self._pids.pop(ended.rank, None)
        self.standing.end(ended.rank)
        self._outputs[ended.rank].read()
        self._outputs[ended.rank].close()
        end = WorkerEnd(
            rank=ended.rank,
            generation=self._board.generation,
            code=ended.code,
            last_word=self._board.last_words.get(ended.rank),
            last_lines=self._tails[ended.rank].text(),
            oom_kills=read_oom_kills() - self._oom_kills,
            killed=ended.killed,
        )
        report = self._board.build_last_word(0, time.time()) if ended.rank == 0 and ended.code == 0 else None
        silent = ended.rank == 0 and ended.code == 0 and report is None
        death = build_silent_end(end) if silent else classify_end(end)
        return WorkerEnded(ended.rank, ended.code, death, report, unsaved=end.is_unsaved)

    async def inspect(self, server: ForkServer, generation: int) -> Views:
        """What a look at the living workers shows; their stacks go to the log as well."""
        self._dumps = {rank: [] for rank in self._pids}
        server.signal(DUMP_SIGNAL)
        await asyncio.sleep(DUMP_SECONDS)
        dumps, self._dumps = self._dumps, None
        views = [
            RankView(rank=rank, stopped=is_stopped(pid), calls=parse_calls(dumps.get(rank, ())))
            for rank, pid in self._pids.items()
        ]
        return Views(generation=generation, views=tuple(views))

    def bury(self) -> None:
        """The fork server is dead, and its workers with it: nor may their own children stay."""
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # a worker leads its own group
        for rank in tuple(self._pids):
            self.standing.end(rank)
        self._pids = {}

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for output in self._outputs.values():
            output.close()

    def _take(self, rank: int, tail: Tail, line: str) -> None:
        tail.add(line)
        if self._dumps is not None and rank in self._dumps:
            self._dumps[rank].append(line)
        self._logs.add(f"rank-{rank}.log", line)
        print(f"[rank {rank}] {line}", flush=True)

    def _listen(self) -> None:
        while True:
            try:
                data = self._socket.recv(CHUNK)
            except (BlockingIOError, OSError):
                return
            with contextlib.suppress(ValidationError):
                message = WorkerMessage.model_validate_json(data)
                self._board.hear(message)
                self.standing.hear(message, time.monotonic())
                self._measure(message)

    def _measure(self, message: WorkerMessage) -> None:
        if message.pulse is not None:
            self._step = measure_step(message.pulse) or self._step
        saved = message.progress.checkpoint if message.progress else None
        if saved is not None:
            self._longest_save = max(self._longest_save, saved.seconds)
        words = find_short_stop(self._longest_save, self._step, self._run.limits)
        if words and not self._board.warning:
            say(words)
        self._board.warning = words
