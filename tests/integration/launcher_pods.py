"""Pods of a test: launchers as processes of this machine, with the toy as their worker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rfdetr_contract import names
from rfdetr_contract.report import RunReport
from rfdetr_contract.run import JobRef, LimitsRun, ResumeRun, RunConfig
from rfdetr_trainer.manifest import RunFolder
from runs import make_run_config

ROOT = Path(__file__).parents[2]
PATHS = (ROOT / "operator", ROOT / "trainer_image", ROOT / "tests")


def build_run(nodes: int = 2, nproc: int = 1, source: str = "auto", uid: str = "u1", **limits: float) -> RunConfig:
    """A run that says little: the toy reads hardly any of it."""
    job = JobRef(namespace="ns", name="toy", uid=uid)
    return make_run_config(
        nodes, nproc, job=job, resume=ResumeRun(source=source), limits=LimitsRun.model_validate(limits)
    )


def find_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@dataclass
class Pod:
    """One launcher and what it has said so far."""

    process: subprocess.Popen[str]
    termination_log: Path
    lines: list[tuple[float, str]] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def read(self, stream: IO[str]) -> None:
        """Take in its lines, with the time of each."""
        for line in stream:
            with self.news:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self.news.notify_all()
        stream.close()

    def wait_for(self, pattern: str, start: int = 0, seconds: float = 40) -> re.Match[str]:
        """The first line from index ``start`` on that matches."""
        deadline = time.monotonic() + seconds
        with self.news:
            while True:
                for _, line in self.lines[start:]:
                    if found := re.search(pattern, line):
                        return found
                if not self.news.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no line matches {pattern!r}:\n{self.text}")

    def time_of(self, pattern: str) -> float:
        """When the first matching line came."""
        return next(when for when, line in self.lines if re.search(pattern, line))

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(line for _, line in self.lines)

    def end(self, seconds: float = 60) -> int:
        """The exit code, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the launcher does not end:\n{self.text}") from None

    def report(self) -> RunReport:
        """What it left for the kubelet."""
        return RunReport.model_validate_json(self.termination_log.read_bytes())

    def fetch(self, path: str) -> str:
        """What it answers."""
        port = self.wait_for(r"serving /metrics on port (\d+)").group(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the launcher alone."""
        self.process.send_signal(number)


@dataclass
class Cluster:
    """The pods of one run on one machine."""

    folder: Path
    run: RunConfig
    toy: dict[str, object]
    port: int = field(default_factory=find_port)
    pods: list[Pod] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    launcher: str = "rfdetr_trainer.launch"
    master: str = "127.0.0.1"

    @property
    def output(self) -> RunFolder:
        """The run's folder."""
        return RunFolder.of(self.folder / "output", self.run)

    def start(
        self, node_rank: int, *flags: str, nproc: int | None = None, port: int | None = None, **environ: str
    ) -> Pod:
        """Start the launcher of a rank; each one is a pod of its own. ``port``: where it looks for rank 0's."""
        number = len(self.pods)
        config = self.folder / f"run-{number}.json"
        config.write_text(self.run.to_json())
        log = self.folder / f"termination-{number}"
        nproc = nproc or self.run.topology.processes_per_node
        command = [sys.executable, "-m", self.launcher, f"--nnodes={self.run.topology.nodes}"]
        command += [f"--nproc-per-node={nproc}", f"--node-rank={node_rank}", f"--master-addr={self.master}"]
        process = subprocess.Popen(
            [*command, f"--master-port={port or self.port}", *flags],
            env={**os.environ, **self.build_environ(config, log, f"pod-{number}"), **self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        pod = Pod(process, log)
        assert process.stdout is not None
        threading.Thread(target=pod.read, args=(process.stdout,), daemon=True).start()
        self.pods.append(pod)
        return pod

    def build_environ(self, config: Path, log: Path, pod_uid: str) -> dict[str, str]:
        """What a pod's manifest would set."""
        return {
            "PYTHONPATH": os.pathsep.join(str(path) for path in PATHS),
            names.ENV_RUN_CONFIG: str(config),
            names.ENV_DATA_ROOT: str(self.folder),
            names.ENV_OUTPUT_ROOT: str(self.folder / "output"),
            names.ENV_HTTP_PORT: "0",
            names.ENV_TERMINATION_LOG: str(log),
            names.ENV_POD_UID: pod_uid,
            "RFDETR_WORKER_MODULE": "integration.launcher_toy",
            "RFDETR_PRELOAD": "",
            "RFDETR_PREFLIGHT_MODULE": "",
            "TOY": json.dumps(self.toy),
        }

    def close(self) -> None:
        """Nothing stays."""
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.kill()
            pod.process.wait()


class Cut:
    """A connection's way through this process, which can stop to pass anything on without closing it."""

    def __init__(self, target: int, place: tuple[str, int] = ("", 0)) -> None:
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._server = socket.create_server(place)
        self._ends: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def off(self) -> None:
        """Nothing passes."""
        self._open.clear()

    def on(self) -> None:
        """Everything passes, late."""
        self._open.set()

    def close(self) -> None:
        """Nobody is let in any more."""
        self._server.shutdown(socket.SHUT_RDWR)
        for end in (self._server, *self._ends):
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._server.accept()[0]
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class BlackHole:
    """An address that answers nothing, not even that nobody is there, as one that belonged to a pod does."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._ends = [socket.create_server(place, backlog=0)]
        for _ in range(3):  # the kernel drops what its queue has no room for
            self._ends.append(socket.socket())
            self._ends[-1].setblocking(False)
            self._ends[-1].connect_ex(place)

    def close(self) -> None:
        """Whoever comes is refused at once."""
        for end in self._ends:
            end.close()


def find_worker(pod: Pod, rank: int, generation: int) -> int:
    """The process id of a rank's worker in a round."""
    return int(pod.wait_for(rf"^\[rank {rank}\] generation {generation} pid (\d+) ").group(1))


def is_alive(pid: int) -> bool:
    """A process of this id runs (one that is dead but not reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """The condition became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
