"""A worker without torch: it steps in lockstep over sockets, saves checkpoints with manifests, and heeds SIGTERM.

What it is to do beside that stands in the JSON of ``TOY``: steps, seconds (of a step), every (steps between
checkpoints), ``helper`` (a process of its own), and ``fail``: {"rank", "step", "how"}, where how is an exit code's
reason, "raise", "silent", "stuck" or, in the first round only, "hang"; ``eval`` ({"every", "seconds"}) and ``save``
(seconds that a checkpoint takes) are rank 0's; ``slow`` ({"rank", "seconds"}) makes one rank's own work longer.
``refuses``: the volume takes no checkpoint of those who leave.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from rfdetr_contract import names
from rfdetr_contract.report import EXIT_CODES, CheckpointState, ExitCode, FailureReason, Outcome, Progress, World
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.manifest import Manifest, RunFolder, build_model_line
from rfdetr_trainer.messages import Line, Pulse
from rfdetr_trainer.resume import Resume

stop_asked = False


class Ring:
    """Rank 0 collects one byte a step from each peer and answers with the largest: everybody agrees or nobody goes on."""

    def __init__(self, rank: int, world: int) -> None:
        address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        self.peers: list[socket.socket] = []
        if rank == 0:
            with socket.create_server(("", address[1])) as server:
                self.peers = [server.accept()[0] for _ in range(world - 1)]
        else:
            self.peers = [self.reach(address)]
        self.rank = rank

    def reach(self, address: tuple[str, int]) -> socket.socket:
        """Rank 0 may begin a moment later."""
        for _ in range(400):
            try:
                return socket.create_connection(address)
            except OSError:
                time.sleep(0.01)
        raise ConnectionError(address)

    def all_reduce(self, value: int) -> int:
        """The largest of all ranks' values."""
        if self.rank == 0:
            value = max([value, *(self.take(peer) for peer in self.peers)])
        for peer in self.peers:
            peer.sendall(bytes([value]))
        return value if self.rank == 0 else self.take(self.peers[0])

    def take(self, peer: socket.socket) -> int:
        """One byte."""
        data = peer.recv(1)
        if not data:
            raise ConnectionError("the peer closed the connection")
        return data[0]


def save(folder: RunFolder, run: RunConfig, generation: int, step: int, seconds: float = 0.0) -> CheckpointState:
    """A durable checkpoint, on a volume as slow as asked: the data first, then its manifest."""
    began = time.monotonic()
    time.sleep(seconds)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    stem, data = names.checkpoint_stem(generation, step), f"state at step {step}".encode() * 1000
    manifest = Manifest(
        file=f"{stem}.ckpt",
        generation=generation,
        step=step,
        epoch=0,
        batch_in_epoch=step,
        world_size=run.topology.world_size,
        effective_batch=run.batch.effective,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        time=time.time(),
        seconds=time.monotonic() - began,
        config_hash=run.hash(),
        model=build_model_line(run.model, run.model.num_classes),
        rfdetr="none",
        torch="none",
    )
    for name, content in ((f"{stem}.ckpt", data), (f"{stem}.json", manifest.model_dump_json().encode())):
        temporary = folder.checkpoints / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.rename(folder.checkpoints / name)
    return CheckpointState(
        step=step, epoch=0, time=manifest.time, size=len(data), file=manifest.file, seconds=manifest.seconds
    )


def ask_to_stop(*_: object) -> None:
    """The handler does nothing but set a flag."""
    global stop_asked
    stop_asked = True


def fail(line: Line, how: str) -> int:
    """End as asked."""
    if how == "raise":
        raise RuntimeError("the toy broke")
    if how == "silent":
        return 0
    if how in {"hang", "stuck"}:
        time.sleep(600)
    reason = FailureReason(how)
    line.send(outcome=Outcome.FAILED, reason=reason, message=f"the toy says {how}")
    return EXIT_CODES.get(reason, ExitCode.FAILED)


def main() -> int:
    """Train as a toy does."""
    global stop_asked
    stop_asked = False
    signal.signal(signal.SIGTERM, ask_to_stop)
    toy = json.loads(os.environ.get("TOY", "{}"))
    run = RunConfig.model_validate_json(Path(os.environ[names.ENV_RUN_CONFIG]).read_bytes())
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    generation = int(os.environ[names.ENV_GENERATION])
    line = Line(os.environ[names.ENV_LAUNCHER_SOCKET], rank, generation)
    resume = Resume.model_validate_json(os.environ[names.ENV_RESUME]) if os.environ[names.ENV_RESUME] else None
    step = resume.step if resume else 0
    print(f"generation {generation} pid {os.getpid()} begins at step {step}")
    if toy.get("helper") and generation == 1:
        helper = subprocess.Popen(["sleep", "600"])
        print(f"helper {helper.pid}")
    try:
        return train(line, run, toy, (rank, world, generation, step))
    except ConnectionError as error:
        line.send(outcome=Outcome.FAILED, reason=FailureReason.PEER_LOST, message=f"rank {rank} lost a peer: {error}")
        return ExitCode.FAILED


def work(rank: int, toy: dict[str, object], before: float | None) -> float:
    """One step's own work; what it takes, as a moving average."""
    began, slow = time.monotonic(), toy.get("slow")
    time.sleep(float(str(toy.get("seconds", 0.01))))
    if isinstance(slow, dict) and slow["rank"] == rank:
        time.sleep(slow["seconds"])
    spent = time.monotonic() - began
    return spent if before is None else before + (spent - before) / 8


def train(line: Line, run: RunConfig, toy: dict[str, object], place: tuple[int, int, int, int]) -> int:
    """Steps until the end, a failure or an agreed stop."""
    rank, world, generation, step = place
    folder = RunFolder.of(Path(os.environ[names.ENV_OUTPUT_ROOT]), run)
    ring, last = Ring(rank, world), int(str(toy.get("steps", 100)))
    checkpoint: CheckpointState | None = None
    own: float | None = None
    planned = toy.get("fail") or {}
    assert isinstance(planned, dict)
    while step < last:
        due = planned.get("rank") == rank and planned.get("step") == step
        if due and (planned["how"] != "hang" or generation == 1):
            return fail(line, planned["how"])
        own = work(rank, toy, own)
        leave = ring.all_reduce(int(stop_asked))
        step += 1
        line.send(phase="train", step=step, pulse=Pulse(own_seconds=own))
        refused = leave and toy.get("refuses")
        if rank == 0 and not refused and (leave or step % int(str(toy.get("every", 5))) == 0):
            line.send(phase="checkpoint")
            checkpoint = save(folder, run, generation, step, float(str(toy.get("save", 0))))
        if rank == 0:
            progress = Progress(epoch=0, epochs=1, step=step, steps_per_epoch=last, checkpoint=checkpoint)
            line.send(progress=progress, world=World(expected=world, attested=world))
        print(f"generation {generation} step {step}")
        pause = toy.get("eval")
        if rank == 0 and isinstance(pause, dict) and step % pause["every"] == 0:
            line.send(phase="eval")
            time.sleep(pause["seconds"])
        if leave:
            ring.all_reduce(0)
            line.send(outcome=Outcome.PREEMPTED, message=f"left at step {step}", saved=not refused)
            return ExitCode.PREEMPTED
    if rank == 0:
        report = line.build(outcome=Outcome.COMPLETED)
        folder.result.write_text(f'{{"outcome": "{report.outcome}", "time": {time.time()}}}')
    ring.all_reduce(0)
    line.send(outcome=Outcome.COMPLETED, message=f"trained {step} steps")
    return ExitCode.OK
