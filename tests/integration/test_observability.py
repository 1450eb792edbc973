"""Every expression of dashboards and rules, asked of a real Prometheus that scraped a real operator and a real training."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import yaml

from charts.chart_rules import read_groups, read_rules
from examples.data.digits import Recipe, write_digits
from local.test_local_training import MANIFEST
from programs import need
from promql import MAY_BE_SILENT, Json, fill, list_expressions
from watched import Fleet, watched_fleet

RANGE = {"__rate_interval": "15s", "__interval": "1s", "namespace": "vision", "job_name": "smoke"}


async def train(fleet: Fleet) -> None:
    """One job to its end; a pod of it is taken on the way. Another one waits for its claim."""
    job: Json = yaml.safe_load(MANIFEST)
    job["metadata"]["namespace"] = "vision"
    job["spec"]["training"]["earlyStopping"] = {"enabled": True, "patience": 5}
    job["spec"]["training"]["overrides"] |= {"compute_val_loss": True, "eval_base_model": True}
    waiting: Json = yaml.safe_load(MANIFEST)
    waiting["metadata"] = {"namespace": "vision", "name": "waiting"}
    waiting["spec"]["dataset"] = {"claimName": "not-there"}
    fleet.kubelet.submit(waiting)
    key = fleet.kubelet.submit(job)
    await fleet.until(lambda: fleet.progress(key).get("step", 0) >= 8)
    fleet.kubelet.preempt(key, 1)
    await fleet.until(lambda: fleet.phase(key) in ("Succeeded", "Failed"), patience=240)
    assert "Succeeded" == fleet.phase(key), fleet.kubelet.status(key)


def find_silent(fleet: Fleet) -> set[str]:
    """The expressions that returned no finite value in the whole run."""
    now = time.time()
    values = {**RANGE, "__range": f"{now - fleet.began + 5:.0f}s"}
    return {
        place
        for place, expr in list_expressions().items()
        if not fleet.prometheus.values(fill(expr, values), fleet.began, now)
    }


def find_unhealthy(fleet: Fleet) -> list[tuple[str, str]]:
    """Rules that Prometheus could not evaluate."""
    groups = fleet.prometheus.ask("rules")["groups"]
    return [
        (rule["name"], rule.get("lastError", ""))
        for group in groups
        for rule in group["rules"]
        if rule["health"] != "ok"
    ]


@pytest.mark.timeout(420)
def test_every_expression_returns_data_of_a_real_training(tmp_path: Path) -> None:
    """Boards draw something in every panel, recording rules record, and no alert is raised by one preemption."""
    need("prometheus")
    claims = {name: tmp_path / name for name in ("digits", "runs")}
    write_digits(claims["digits"], Recipe(train=40, valid=8))
    claims["runs"].mkdir()
    groups = [{**group, "interval": "2s"} for group in read_groups()]
    recorded = [rule["record"] for rule in read_rules() if "record" in rule]

    async def scene() -> None:
        async with watched_fleet(tmp_path / "fleet", claims, rules=yaml.safe_dump({"groups": groups})) as fleet:
            await train(fleet)
            silent = await asyncio.to_thread(find_silent, fleet)
            unhealthy = await asyncio.to_thread(find_unhealthy, fleet)
            empty = [name for name in recorded if not fleet.prometheus.values(name, fleet.began, time.time())]
            alerts = fleet.prometheus.ask("alerts")["alerts"]

            assert set() == silent - MAY_BE_SILENT
            assert [] == unhealthy
            assert [] == empty
            assert [] == [each["labels"]["alertname"] for each in alerts if each["state"] == "firing"]

    asyncio.run(scene())
