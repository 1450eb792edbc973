"""``python -m tools.dashboards.record FOLDER SECONDS``: real trainings under a real operator, recorded by a real Prometheus.

For the pictures of the documentation. Five jobs: one that is preempted and killed, one that stops early, one that is
suspended, one whose data are refused, one whose claim is missing. Needs ``PYTHONPATH=operator:trainer_image:tests``.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from examples.data.digits import Recipe, write_digits
from rfdetr_contract import names
from rfdetr_operator.shell.cluster import Key
from watched import Fleet, watched_fleet

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


def build_job(namespace: str, name: str, example: str = "quickstart-cpu", **changes: Json | int) -> Json:
    """An example under another name; ``changes`` are merged into its training section, or are fields of the spec."""
    job: Json = yaml.safe_load((ROOT / "examples" / f"{example}.yaml").read_text())
    job["metadata"] = {"namespace": namespace, "name": name}
    spec = job["spec"]
    spec["training"]["overrides"] |= {"compute_val_loss": True, "eval_base_model": True}
    for field, change in changes.items():
        spec[field] = spec[field] | change if isinstance(change, dict) else change
    return job


def write_data(folder: Path) -> dict[str, Path]:
    """The claims: digits, digits with masks, digits whose annotations name an image that is not there, and the outputs."""
    claims = {name: folder / name for name in ("digits", "digit-masks", "broken", "runs")}
    write_digits(claims["digits"], Recipe(train=160, valid=40))
    write_digits(claims["digit-masks"], Recipe(train=80, valid=20, masks=True))
    write_digits(claims["broken"], Recipe(train=8, valid=4))
    next(claims["broken"].rglob("train/*.png")).unlink()
    claims["runs"].mkdir(exist_ok=True)
    return claims


def suspend(fleet: Fleet, key: Key) -> None:
    """What ``kubectl patch`` would do."""
    job = copy.deepcopy(fleet.kubelet.api.objects[names.PLURAL, key.namespace, key.name])
    job["spec"]["suspend"] = True
    job["metadata"]["generation"] += 1
    fleet.kubelet.api.put(names.PLURAL, job)


async def play(fleet: Fleet, seconds: float) -> None:
    """The scene."""
    submit = fleet.kubelet.submit
    stop: Json = {"enabled": True, "patience": 8, "minDelta": 0.001}
    shelves = submit(build_job("vision", "shelves", training={"epochs": 60, "earlyStopping": stop}))
    early: Json = {"enabled": True, "patience": 3, "minDelta": 0.3}
    submit(build_job("vision", "parts", nodes=1, training={"epochs": 30, "earlyStopping": early}))
    submit(build_job("research", "labels", nodes=1, dataset={"claimName": "broken"}))
    submit(build_job("research", "waiting", nodes=1, dataset={"claimName": "not-there"}))
    masks = submit(build_job("research", "masks", "segmentation-cpu", training={"epochs": 20}))
    harms = {
        0.30: lambda: suspend(fleet, masks),
        0.45: lambda: fleet.kubelet.preempt(shelves, 1),
        0.70: lambda: fleet.kubelet.kill(shelves, 0),
    }
    while (passed := (time.time() - fleet.began) / seconds) < 1:
        for moment in [moment for moment in harms if moment <= passed]:
            harms.pop(moment)()
        assert passed < 0.2 or fleet.kubelet.status(shelves).get("progress"), (
            f"no training after {passed * seconds:.0f} s: {fleet.kubelet.status(shelves)}"
        )
        await asyncio.sleep(1)


async def record(folder: Path, seconds: float) -> None:
    """Play, and say when it began and ended."""
    claims = write_data(folder)
    async with watched_fleet(folder / "fleet", claims, interval="2s") as fleet:
        await play(fleet, seconds)
        for (kind, namespace, name), job in fleet.kubelet.api.objects.items():
            if kind == names.PLURAL:
                print(
                    namespace,
                    name,
                    json.dumps(job.get("status", {}).get("display")),
                    job.get("status", {}).get("phase"),
                )
        times = {"began": fleet.began, "ended": time.time()}
        (folder / "times.json").write_text(json.dumps(times))
        print(json.dumps(times))


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), float(sys.argv[2])))
