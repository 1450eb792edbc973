"""One pod of this machine: an API object, and the process group that makes it true. What the kubelet does, in small."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from rfdetr_contract import names
from rfdetr_operator.shell import local_shim
from rfdetr_operator.shell.cluster import Body
from rfdetr_operator.shell.local_container import LOOPBACK, Container

DEFAULT_GRACE = 30  # seconds, Kubernetes' own


def stamp(moment: datetime) -> str:
    """A time as the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def build_terminated(returncode: int, message: str, moment: datetime) -> Body:
    """The ``terminated`` state of a container: a death by signal has exit code 128 + signal."""
    state: Body = {
        "exitCode": returncode if returncode >= 0 else 128 - returncode,
        "reason": "Completed" if returncode == 0 else "Error",
        "finishedAt": stamp(moment),
    }
    if returncode < 0:
        state["signal"] = -returncode
    if message:
        state["message"] = message
    return state


def build_status(phase: str, state: Body) -> Body:
    """The status of a pod of one container."""
    return {
        "phase": phase,
        "podIP": LOOPBACK,
        "podIPs": [{"ip": LOOPBACK}],
        "hostIP": LOOPBACK,
        "containerStatuses": [
            {"name": names.CONTAINER, "state": state, "ready": "running" in state, "restartCount": 0, "lastState": {}}
        ],
    }


class LocalPod:
    """A pod from its creation until its process is gone; it never restarts by itself (restartPolicy Never)."""

    def __init__(self, body: Body, container: Container, log: Path, clock: Callable[[], datetime]) -> None:
        self.body = body
        self._container = container
        self._log = log
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The incarnation's uid."""
        return str(self.body["metadata"]["uid"])

    @property
    def terminating(self) -> bool:
        """Whether it was deleted and has not gone yet."""
        return "deletionTimestamp" in self.body["metadata"]

    @property
    def alive(self) -> bool:
        """Whether its container runs."""
        return self._process is not None and not self.ended.is_set()

    async def start(self) -> None:
        """Make folders and files, start the container."""
        for folder in self._container.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in self._container.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._container.termination.write_text("")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", local_shim.__file__, str(os.getpid()), str(self._log), *self._container.argv),
            cwd=self._container.cwd,
            env=self._container.env,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self.body["status"] = build_status("Running", {"running": {"startedAt": stamp(self._clock())}})
        if self.terminating:  # deleted while it started
            self.terminate()

    async def wait(self) -> None:
        """Until the container is gone; its last words are in the status then."""
        assert self._process is not None
        returncode = await self._process.wait()
        if self._deadline:
            self._deadline.cancel()
        terminated = build_terminated(returncode, self._last_words(), self._clock())
        phase = "Succeeded" if returncode == 0 else "Failed"
        self.body["status"] = build_status(phase, {"terminated": terminated})
        shutil.rmtree(self._container.env["TMPDIR"], ignore_errors=True)
        self.ended.set()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            raw = self._container.termination.read_bytes()[: names.TERMINATION_LIMIT]
            return raw.decode(errors="replace")
        return ""

    def delete(self, grace: int | None) -> None:
        """Delete it as the kubelet does: SIGTERM to process 1, SIGKILL to all after the grace period."""
        own = self.body["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)
        seconds = own if grace is None else grace
        metadata = self.body["metadata"]
        if not self.terminating:
            metadata["deletionTimestamp"] = stamp(self._clock() + timedelta(seconds=seconds))
        elif seconds >= metadata["deletionGracePeriodSeconds"]:
            return
        metadata["deletionGracePeriodSeconds"] = seconds
        if self.alive:
            self.terminate()

    def terminate(self) -> None:
        """SIGTERM now, SIGKILL when the grace period of the deletion is over."""
        seconds = self.body["metadata"]["deletionGracePeriodSeconds"]
        if self._deadline:
            self._deadline.cancel()
        if seconds == 0:
            self.kill()
            return
        self._signal(signal.SIGTERM)
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.kill)

    def kill(self) -> None:
        """SIGKILL to every process of the container, now."""
        self._signal(local_shim.KILL)

    def _signal(self, number: int) -> None:
        if self.alive and self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
