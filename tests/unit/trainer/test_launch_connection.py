"""How one launcher finds rank 0's: names that lag behind, addresses that belong to others, floods of garbage."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rfdetr_contract.report import FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.channel import connect
from rfdetr_trainer.launch.leader import Leader
from rfdetr_trainer.launch.ports import find_free_port, listen
from rfdetr_trainer.launch.storage import Storage
from rfdetr_trainer.launch.wire import LEADER, End, FromLeader, Hello, Ping
from rfdetr_trainer.resume import Digests
from runs import make_run_config

RUN = make_run_config(attempt=2)


def make_hello(uid: str = "u1", attempt: int = 2) -> Hello:
    """Node rank 1's first words."""
    return Hello(job_uid=uid, attempt=attempt, node_rank=1, nproc=1, config_hash=RUN.hash(), pod_uid="p1")


class Stale:
    """A resolver whose answers lag behind, as a cached record does."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _host: str, _port: int) -> list[str]:
        """The next answer; the last one holds."""
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


async def greet(port: int, hello: Hello) -> list[FromLeader]:
    """What rank 0's launcher answers until it closes the connection, or beats."""
    channel = await connect(("127.0.0.1", port), LEADER, 2.0)
    channel.send(hello)
    heard: list[FromLeader] = []
    while (message := await channel.receive()) is not None:
        heard.append(message)
        if isinstance(message, Ping | End):
            break
    channel.close()
    return heard


async def lead(folder: Path, reports: list[RunReport]) -> tuple[Leader, int]:
    """A launcher of rank 0 on a free port."""
    with listen(0) as probe:
        port = int(probe.getsockname()[1])
    storage = Storage(folder, RUN, "p0", Digests(), lambda: None)
    leader = Leader(storage, Board(node_rank=0, attempt=2), reports.append, lambda *_: None)
    await leader.start(port)
    return leader, port


def test_a_stale_address_is_left_as_soon_as_the_name_has_a_new_one() -> None:
    """The name is resolved anew at each try: no launcher waits for a pod that is gone."""

    async def play() -> int:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        resolver = Stale(["127.9.9.9"], ["127.9.9.9"], ["127.0.0.1"])
        while True:
            try:
                channel = await connect(("rank-0", port), LEADER, 1.0, resolver)
            except OSError:
                continue
            channel.close()
            server.close()
            return resolver.asked

    assert 3 == asyncio.run(play())


def test_a_name_with_a_stale_and_a_new_address_is_tried_through() -> None:
    """A record may hold both for a while; workers are told the one that answered."""

    async def play() -> str:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        channel = await connect(("rank-0", port), LEADER, 1.0, Stale(["127.9.9.9", "127.0.0.1"]))
        channel.close()
        server.close()
        return channel.address

    assert "127.0.0.1" == asyncio.run(play())


def test_a_launcher_of_another_job_at_an_old_address_is_refused(tmp_path: Path) -> None:
    """An address that another pod has got meanwhile: nobody joins a run that is not his, nor ends it."""

    async def play() -> tuple[list[FromLeader], list[FromLeader], list[RunReport]]:
        reports: list[RunReport] = []
        leader, port = await lead(tmp_path, reports)
        foreign, own = await greet(port, make_hello(uid="u2")), await greet(port, make_hello())
        leader.close()
        return foreign, own, reports

    assert ([], [Ping()], []) == asyncio.run(play())


def test_a_launcher_of_an_older_attempt_is_told_to_end(tmp_path: Path) -> None:
    """What a lost node still runs does not join what has replaced it."""

    async def play() -> tuple[list[FromLeader], list[RunReport]]:
        reports: list[RunReport] = []
        leader, port = await lead(tmp_path, reports)
        heard = await greet(port, make_hello(attempt=1))
        leader.close()
        return heard, reports

    words = "node rank 1 runs attempt 1, rank 0 attempt 2"
    report = RunReport(outcome=Outcome.FAILED, reason=FailureReason.OVERTAKEN, message=words)
    assert ([End(report=report)], []) == asyncio.run(play())


def test_no_store_gets_the_port_of_an_older_one() -> None:
    """A worker of an older round that wakes late finds nobody there."""
    used = {port for port in range(1 << 16) if port % 4 < 2}

    assert set() == {find_free_port(used) for _ in range(20)} & used


def test_garbage_at_the_rendezvous_port_is_shown_the_door(tmp_path: Path) -> None:
    """A scanner's bytes end its own connection, nothing else."""

    async def play() -> tuple[bytes, list[FromLeader]]:
        leader, port = await lead(tmp_path, [])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"\xff" * 1000 + b"\n")
        answer = await reader.read()
        writer.close()
        heard = await greet(port, make_hello())
        leader.close()
        return answer, heard

    assert (b"", [Ping()]) == asyncio.run(play())
