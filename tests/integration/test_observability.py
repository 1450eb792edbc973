"""Every expression of dashboards and rules, asked of a real Prometheus that scraped a real operator and a real training."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from board_check import TELLS_ALL, fill_for, find_faults
from charts.chart_rules import read_groups
from examples.data.digits import Recipe, write_digits
from local.test_local_training import MANIFEST
from programs import need
from promql import Json, read_boards
from watched import Fleet, watched_fleet


async def train(fleet: Fleet) -> None:
    """One job to its end; a pod of it is taken on the way. Another one waits for its claim."""
    job: Json = yaml.safe_load(MANIFEST)
    job["metadata"]["namespace"] = "vision"
    job["spec"]["training"]["earlyStopping"] = {"enabled": True, "patience": 5}
    job["spec"]["training"]["overrides"] |= TELLS_ALL
    waiting: Json = yaml.safe_load(MANIFEST)
    waiting["metadata"] = {"namespace": "vision", "name": "waiting"}
    waiting["spec"]["dataset"] = {"claimName": "not-there"}
    fleet.kubelet.submit(waiting)
    key = fleet.kubelet.submit(job)
    await fleet.reaches(key, step=8)
    fleet.kubelet.preempt(key, 1)
    await fleet.until(lambda: fleet.phase(key) in ("Succeeded", "Failed"), patience=240)
    status = fleet.kubelet.status(key)
    assert ("Succeeded", 1) == (status["phase"], status["restarts"]["preemptions"]), status


@pytest.mark.timeout(420)
def test_every_expression_returns_data_of_a_real_training(tmp_path: Path) -> None:
    """Boards draw something in every panel, recording rules record, and no alert is raised by one preemption."""
    need("prometheus")
    claims = {name: tmp_path / name for name in ("digits", "runs")}
    write_digits(claims["digits"], Recipe(train=40, valid=8))
    claims["runs"].mkdir()
    groups = [{**group, "interval": "2s"} for group in read_groups()]

    async def scene() -> None:
        async with watched_fleet(tmp_path / "fleet", claims, rules=yaml.safe_dump({"groups": groups})) as fleet:
            await train(fleet)
            values = fill_for("vision", "smoke", fleet.began)

            assert [] == await asyncio.to_thread(
                find_faults, fleet.prometheus, read_boards(), groups, values, fleet.began
            )

    asyncio.run(scene())
