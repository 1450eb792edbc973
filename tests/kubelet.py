"""A kubelet for the small API server: its pods are processes of this machine, run as ``rfdetrctl local run`` runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from fake_api import FakeApi
from rfdetr_contract import names
from rfdetr_operator.core.model import Create, Delete
from rfdetr_operator.shell.cluster import Key, NameTaken
from rfdetr_operator.shell.local import LocalCluster, Machine
from rfdetr_operator.shell.local_ports import choose_ports
from rfdetr_operator.shell.local_store import Store

Body = dict[str, Any]
PACE = 0.05  # seconds between two looks


@dataclass
class LiveApi(FakeApi):
    """The small API server, whose subresource pods/proxy reaches the processes."""

    ports: dict[tuple[str, str], int] = field(default_factory=dict)  # by namespace and pod

    async def ask(self, namespace: str, name: str) -> bytes | None:
        """What a process' report says now; None where none answers."""
        port = self.ports.get((namespace, name))
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/report") as answer:
                return await answer.read()
        return None

    async def _get_report(self, request: web.Request) -> web.Response:
        name = request.match_info["name"].partition(":")[0]
        body = await self.ask(request.match_info["namespace"], name)
        if body is None:
            return web.json_response({"message": "no answer"}, status=503)
        return web.Response(body=body, content_type="application/json")


@dataclass
class Kubelet:
    """Makes pods true, writes their states back, and keeps the list of what Prometheus may scrape."""

    api: LiveApi
    root: Path
    claims: Mapping[str, Path]
    targets: Path  # in the form of Prometheus' file_sd_configs
    _hosts: dict[Key, LocalCluster] = field(default_factory=dict)
    _ports: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    _made: dict[str, str] = field(default_factory=dict)  # uid in the API server -> uid of the process' pod

    def submit(self, job: Body) -> Key:
        """A user creates a job and the claims that it names."""
        key = Key(job["metadata"]["namespace"], job["metadata"]["name"])
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        job["metadata"] |= {"generation": 1, "uid": f"uid-{key.name}", "creationTimestamp": stamp}
        for claim in self.claims:
            meta = {"name": claim, "namespace": key.namespace}
            self.api.put("persistentvolumeclaims", {"metadata": meta, "spec": {"accessModes": ["ReadWriteMany"]}})
        ports = choose_ports(job["metadata"]["uid"], job["spec"]["nodes"])
        machine = Machine(ports, 1, lambda: datetime.now(UTC), self.claims)
        self._hosts[key], self._ports[key] = LocalCluster(Store(self.root, key), job, machine), ports.http
        self.api.put(names.PLURAL, job)
        return key

    def status(self, key: Key) -> Body:
        """The job's status."""
        status: Body = self.api.objects[names.PLURAL, key.namespace, key.name].get("status") or {}
        return status

    async def step(self, key: Key) -> int:
        """Optimizer steps that the process of rank 0 has done; 0 while it does not say."""
        report = json.loads(await self.api.ask(key.namespace, f"{key.name}-0") or b"{}")
        return int((report.get("progress") or {}).get("step") or 0)

    def preempt(self, key: Key, rank: int) -> None:
        """Take a pod away with a warning, as a spot reclaim does."""
        pod = self._hosts[key].pod_of_rank(rank)
        if pod is not None:
            pod.delete(None)

    def kill(self, key: Key, rank: int) -> None:
        """Every process of a pod dies at once, as in a crash."""
        pod = self._hosts[key].pod_of_rank(rank)
        if pod is not None:
            pod.kill()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            for key, host in self._hosts.items():
                await self._look(key, host)
            self._write_targets()
            await asyncio.sleep(PACE)

    async def close(self) -> None:
        """No process is left."""
        for host in self._hosts.values():
            await host.close()

    def _pods(self, key: Key) -> dict[str, Body]:
        found = (
            (name, body)
            for (kind, space, name), body in self.api.objects.items()
            if (kind, space) == ("pods", key.namespace)
        )
        return {name: body for name, body in found if body["metadata"]["labels"][names.LABEL_JOB] == key.name}

    async def _look(self, key: Key, host: LocalCluster) -> None:
        wanted = self._pods(key)
        here = {pod["metadata"]["name"]: pod for pod in (await host.list_children(key, ())).pods}
        for name, pod in wanted.items():
            own = here.get(name)
            made = self._made.get(pod["metadata"]["uid"])
            if made is None:
                await self._start(key, host, pod)
            elif own is None:
                self.api.remove("pods", key.namespace, name)
            elif own["metadata"]["uid"] == made:
                self._tell(pod, own)
        for name, own in here.items():
            pod = wanted.get(name, {"metadata": {"uid": ""}})
            if self._made.get(pod["metadata"]["uid"]) != own["metadata"]["uid"]:
                await host.delete(key, Delete(name, own["metadata"]["uid"]))

    async def _start(self, key: Key, host: LocalCluster, pod: Body) -> None:
        """Not before the process of an earlier pod of this name is gone."""
        before = {each["metadata"]["name"] for each in (await host.list_children(key, ())).pods}
        name = pod["metadata"]["name"]
        if name in before:
            return
        with contextlib.suppress(NameTaken):
            await host.create(key, Create("Pod", pod), f"uid-{key.name}")
            made = next(each for each in (await host.list_children(key, ())).pods if each["metadata"]["name"] == name)
            self._made[pod["metadata"]["uid"]] = made["metadata"]["uid"]
            self.api.ports[key.namespace, name] = self._port(pod)

    def _tell(self, pod: Body, own: Body) -> None:
        ends: Body = {key: value for key, value in own["metadata"].items() if key.startswith("deletion")}
        state = dict(own["status"])
        if state["phase"] != "Pending":
            stamp = own["metadata"]["creationTimestamp"]  # a machine of its own has room at once
            state["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}]
            ends["creationTimestamp"] = stamp
        if pod.get("status") != state or not ends.items() <= pod["metadata"].items():
            self.api.put("pods", {**pod, "metadata": pod["metadata"] | ends, "status": state})

    def _port(self, pod: Body) -> int:
        labels = pod["metadata"]["labels"]
        key = Key(pod["metadata"]["namespace"], labels[names.LABEL_JOB])
        return self._ports[key][int(labels[names.LABEL_NODE_RANK])]

    def _write_targets(self) -> None:
        """What the PodMonitor's relabelling would make of the running pods."""
        found = []
        for (kind, namespace, name), pod in self.api.objects.items():
            if kind == "pods" and pod["status"]["phase"] == "Running":
                labels = pod["metadata"]["labels"]
                own = {
                    "namespace": namespace,
                    "job_name": labels[names.LABEL_JOB],
                    "node_rank": labels[names.LABEL_NODE_RANK],
                    "pod": name,
                }
                found.append({"targets": [f"127.0.0.1:{self._port(pod)}"], "labels": own})
        text = json.dumps(found)
        if not self.targets.exists() or self.targets.read_text() != text:
            fresh = self.targets.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(self.targets)


@asynccontextmanager
async def served(kubelet: Kubelet, port: int) -> AsyncIterator[None]:
    """The API server on a port, and the kubelet at work; no pod is left at the end."""
    runner = web.AppRunner(kubelet.api.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    work = asyncio.create_task(kubelet.run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await kubelet.close()
        await runner.cleanup()
