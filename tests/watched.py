"""A fleet on this machine: the real operator's process, real trainings, and a real Prometheus that scrapes them all."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet import Kubelet, LiveApi, served
from operator_stage import find_port, write_kubeconfig
from prometheus import Prometheus, running_prometheus
from rfdetr_operator.shell.cluster import Key

ROOT = Path(__file__).parents[1]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a scene plays with."""

    kubelet: Kubelet
    prometheus: Prometheus
    log: Path
    began: float

    def phase(self, key: Key) -> str:
        """The job's phase."""
        return str(self.kubelet.status(key).get("phase"))

    async def reaches(self, key: Key, step: int) -> None:
        """Wait for a step of the training; its own word, since the status tells it seconds later."""
        deadline = time.monotonic() + 120.0
        while await self.kubelet.step(key) < step:
            assert time.monotonic() < deadline, f"step {step} never came; {self.kubelet.status(key)}"
            await asyncio.sleep(0.05)

    async def until(self, holds: Callable[[], bool], patience: float = 120.0) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + patience
        while not holds():
            assert time.monotonic() < deadline, (
                f"it never came to this; the operator said: {self.log.read_text()[-3000:]}"
            )
            await asyncio.sleep(0.1)


def build_config(targets: Path, operator_port: int, rules: str, interval: str) -> Json:
    """Scrapes as the chart's monitors ask for: the operator's labels are honoured, the pods get theirs from the cluster."""
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(targets.parent / "rules.yaml")] if rules else [],
        "scrape_configs": [
            {"job_name": "pods", "file_sd_configs": [{"files": [str(targets)]}]},
            {
                "job_name": "operator",
                "honor_labels": True,
                "static_configs": [
                    {"targets": [f"127.0.0.1:{operator_port}"], "labels": {"namespace": "rfdetr-system"}}
                ],
            },
        ],
    }


def prepare(folder: Path, rules: str) -> Path:
    """The folder with the rules in it; where the list of pods will be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(rules)
    return folder / "targets.json"


@asynccontextmanager
async def watched_fleet(
    folder: Path, claims: dict[str, Path], rules: str = "", interval: str = "1s"
) -> AsyncIterator[Fleet]:
    """Everything up, nothing submitted; at the end every process is gone."""
    api_port, operator_port, port = find_port(), find_port(), find_port()
    targets = prepare(folder, rules)
    kubelet = Kubelet(LiveApi(), folder / "state", claims, targets)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "RFDETR_KUBECONFIG": str(write_kubeconfig(folder, api_port)),
        "RFDETR_HTTP_PORT": str(operator_port),
        "RFDETR_REPORTS_VIA": "apiProxy",
        "RFDETR_NODE_LOST_SECONDS": "0",
    }
    log = folder / "operator.log"
    config = build_config(targets, operator_port, rules, interval)
    with running_prometheus(folder / "prometheus", port, config) as prometheus, log.open("wb") as output:
        async with served(kubelet, api_port):
            operator = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rfdetr_operator", env=environment, stderr=output, stdout=output
            )
            try:
                fleet = Fleet(kubelet, prometheus, log, time.time())
                await fleet.until(lambda: len(kubelet.api.watchers) == 2)
                yield fleet
            finally:
                if operator.returncode is None:
                    operator.kill()
                    await operator.wait()
