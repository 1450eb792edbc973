"""The operator as processes of this machine before an API server over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from builders import JOB, NAMESPACE, make_body
from fake_api import FakeApi, Seen
from fake_cluster import make_claim_body
from rfdetr_contract import names

ROOT = Path(__file__).parents[1]
PATIENCE = 20.0  # seconds


@dataclass
class Stage:
    """An API server and an operator that watches it."""

    api: FakeApi
    operator: asyncio.subprocess.Process
    http_port: int
    log: Path
    api_port: int  # its own, so that its requests can be told from another operator's

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, (
                f"it never came to this; the operator said: {self.log.read_text()[-2000:]}"
            )
            assert self.operator.returncode is None, self.log.read_text()[-2000:]
            await asyncio.sleep(0.02)

    async def get(self, path: str) -> tuple[int, str]:
        """What the operator's own server says."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.http_port}{path}") as response,
        ):
            return response.status, await response.text()

    async def until_ready(self) -> None:
        """Wait until the operator says that it is ready."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if (await self.get("/readyz"))[0] == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
        raise AssertionError(f"never ready; the operator said: {self.log.read_text()[-2000:]}")

    def writes(self) -> list[Seen]:
        """Its requests that change something."""
        return [seen for seen in self.api.seen if seen.port == self.api_port and is_write(seen)]

    async def leave(self) -> tuple[int, float]:
        """SIGTERM: the exit code and the seconds that it took."""
        began = time.monotonic()
        self.operator.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.operator.wait(), PATIENCE), time.monotonic() - began

    def submit(self) -> None:
        """A user creates the job; its claims are there."""
        for claim in ("data", "out"):
            self.api.put("persistentvolumeclaims", make_claim_body(claim))
        self.api.put(names.PLURAL, make_body())

    def run_pods(self) -> None:
        """The kubelet starts every pod."""
        state = {"phase": "Running", "containerStatuses": [{"name": names.CONTAINER, "state": {"running": {}}}]}
        for name in self.api.named("pods"):
            pod = self.api.objects["pods", NAMESPACE, name]
            self.api.put("pods", {**pod, "status": state})

    def phase(self) -> str | None:
        """The job's phase."""
        job = self.api.objects[names.PLURAL, NAMESPACE, JOB]
        return (job.get("status") or {}).get("phase")


def write_kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig for the API server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "test", "user": {"token": "secret"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def find_port() -> int:
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def serve(api: FakeApi, port: int) -> web.AppRunner:
    """The API server on a port."""
    runner = web.AppRunner(api.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


@asynccontextmanager
async def staged(folder: Path, api: FakeApi, **settings: str) -> AsyncIterator[Stage]:
    """An API server and an operator in its own process with these settings; both are gone at the end."""
    port, http_port = find_port(), find_port()
    runner = await serve(api, port)
    log = folder / "operator.log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "RFDETR_KUBECONFIG": str(write_kubeconfig(folder, port)),
        "RFDETR_HTTP_PORT": str(http_port),
        **settings,
    }
    with log.open("wb") as output:
        operator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rfdetr_operator", env=environment, stderr=output, stdout=output
        )
        try:
            yield Stage(api, operator, http_port, log, port)
        finally:
            if operator.returncode is None:
                operator.kill()
                await operator.wait()
            await runner.cleanup()


def play(folder: Path, scene: Callable[[Stage], Awaitable[None]], api: FakeApi | None = None, **settings: str) -> None:
    """One scene with one operator."""

    async def run() -> None:
        async with staged(folder, api or FakeApi(), **settings) as stage:
            await scene(stage)

    asyncio.run(run())


def is_write(seen: Seen) -> bool:
    """A request that changes something."""
    return seen.method in ("POST", "PUT", "PATCH", "DELETE")


async def run_job(stage: Stage) -> None:
    """A job up to Running."""
    await stage.until(lambda: len(stage.api.watchers) == 2)
    stage.submit()
    await stage.until(lambda: len(stage.api.named("pods")) == 2)
    stage.run_pods()
    await stage.until(lambda: stage.phase() == "Running")


def play_two(folder: Path, scene: Callable[[Stage, Stage], Awaitable[None]], seconds: int) -> None:
    """One scene with two operators and one lease: the first of them leads when it begins."""

    async def run() -> None:
        api = FakeApi()
        lease = {"RFDETR_LEADER_ELECTION": "true", "POD_NAMESPACE": "system", "RFDETR_LEASE_SECONDS": str(seconds)}
        async with AsyncExitStack() as stack:
            for name in ("first", "second"):
                await asyncio.to_thread((folder / name).mkdir)
            first = await stack.enter_async_context(staged(folder / "first", api, POD_NAME="first", **lease))
            await first.until(lambda: read_holder(api) == "first" and len(api.watchers) == 2)
            second = await stack.enter_async_context(staged(folder / "second", api, POD_NAME="second", **lease))
            await second.until_ready()
            await scene(first, second)

    asyncio.run(run())


def read_holder(api: FakeApi) -> str:
    """Who holds the lease."""
    lease = api.objects.get(("leases", "system", "rfdetr-operator"))
    return lease["spec"]["holderIdentity"] if lease else ""
