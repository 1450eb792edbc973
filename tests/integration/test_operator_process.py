"""The operator as its own process against an API server over HTTP: what kopf does and does not do to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from builders import JOB, NAMESPACE, make_body
from fake_api import FakeApi, Seen
from fake_cluster import make_claim_body
from rfdetr_contract import names
from rfdetr_contract.metrics import OPERATOR

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds


@dataclass
class Stage:
    """An API server and an operator that watches it."""

    api: FakeApi
    operator: asyncio.subprocess.Process
    http_port: int
    log: Path

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
async def staged(folder: Path, api: FakeApi) -> AsyncIterator[Stage]:
    """An operator in its own process; it is gone at the end."""
    port, http_port = find_port(), find_port()
    runner = await serve(api, port)
    log = folder / "operator.log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "RFDETR_KUBECONFIG": str(write_kubeconfig(folder, port)),
        "RFDETR_HTTP_PORT": str(http_port),
    }
    with log.open("wb") as output:
        operator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rfdetr_operator", env=environment, stderr=output, stdout=output
        )
        try:
            yield Stage(api, operator, http_port, log)
        finally:
            if operator.returncode is None:
                operator.kill()
                await operator.wait()
            await runner.cleanup()


def play(folder: Path, scene: Callable[[Stage], Awaitable[None]], api: FakeApi | None = None) -> None:
    """One scene."""

    async def run() -> None:
        async with staged(folder, api or FakeApi()) as stage:
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


def test_kopf_only_rings_the_bell(tmp_path: Path) -> None:
    """A job runs, loses a pod and gets it back; not one write is kopf's, no object carries a mark of it."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))

        writers = {seen.agent.split("/")[0] for seen in stage.api.seen if is_write(seen)}
        assert {"OpenAPI-Generator"} == writers
        marked = [key for key, body in stage.api.objects.items() if "kopf" in json.dumps(body).lower()]
        assert [] == marked

    play(tmp_path, scene)


def test_sigterm_ends_the_operator_in_time(tmp_path: Path) -> None:
    """Exit code 0 in under five seconds, with jobs running."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        code, seconds = await stage.leave()
        assert (0, True) == (code, seconds < 5)

    play(tmp_path, scene)


def test_a_failed_watcher_ends_the_operator(tmp_path: Path) -> None:
    """An operator that hears nothing must not look alive: exit code 1."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.api.watchers) == 2)
        stage.api.break_watches(500)
        assert 1 == await asyncio.wait_for(stage.operator.wait(), PATIENCE)

    play(tmp_path, scene)


def test_a_watch_that_is_too_old_is_begun_again(tmp_path: Path) -> None:
    """410 Gone is everyday life; what happens afterwards is seen."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.api.watchers) == 2)
        stage.api.break_watches(410)
        stage.submit()
        await stage.until(lambda: len(stage.api.named("pods")) == 2)

    play(tmp_path, scene)


@pytest.mark.parametrize("status", [503, 429])
def test_an_outage_of_the_api_is_survived(tmp_path: Path, status: int) -> None:
    """Readiness was reached before; afterwards the lost pod comes back."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        stage.api.answer = web.HTTPServiceUnavailable() if status == 503 else web.HTTPTooManyRequests()
        stage.api.remove("pods", NAMESPACE, "shelves-1")
        await asyncio.sleep(1)
        stage.api.answer = None
        await stage.until(lambda: "shelves-1" in stage.api.named("pods"))

    play(tmp_path, scene)


def test_a_crd_that_comes_late_is_seen(tmp_path: Path) -> None:
    """Alive and not ready until then."""

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: any(names.PLURAL in seen.path for seen in stage.api.seen))
        assert [200, 503] == [(await stage.get("/healthz"))[0], (await stage.get("/readyz"))[0]]
        stage.api.has_crd = True
        await run_job(stage)
        assert 200 == (await stage.get("/readyz"))[0]

    play(tmp_path, scene, FakeApi(has_crd=False))


def test_the_operators_metrics_are_those_of_the_contract(tmp_path: Path) -> None:
    """Every family that it exports is on the one list, and the job is counted under its phase."""

    async def scene(stage: Stage) -> None:
        await run_job(stage)
        _, text = await stage.get("/metrics")
        found = {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE")}
        assert {each.name.removesuffix("_total") for each in OPERATOR} == found
        told = {
            'rfdetr_jobs{namespace="team",phase="Running"} 1.0',
            'rfdetr_job_status_condition{namespace="team",job_name="shelves",condition="Running",status="true"} 1.0',
            "rfdetr_operator_leader 1.0",
        }
        assert told == told & set(text.splitlines())

    play(tmp_path, scene)
