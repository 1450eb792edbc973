"""Jobs of the end-to-end suite: built, applied, watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.harness.paths import REPOSITORY, TRAINING_UID
from cluster.harness.workspace import Claim
from runs import SMALL

Job = dict[str, Any]
Kubectl = Callable[..., str]

# A model that is small enough to step in a third of a second: it proves plumbing, not learning.
SMOKE_MODEL = {
    "variant": "nano",
    "resolution": 64,
    "pretrainWeights": "none",
    "overrides": {"patch_size": 16, **SMALL},
}
SMOKE_TRAINING = {
    "epochs": 3,
    "effectiveBatchSize": 4,
    "numWorkers": 0,
    "earlyStopping": {"enabled": True, "patience": 1000},
    "overrides": {"multi_scale": False, "expanded_scales": False},
}


def merge(base: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``news`` put over it, object by object."""
    result = dict(base)
    for key, value in news.items():
        known = result.get(key)
        result[key] = merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def make_job(name: str, pod: Mapping[str, Any], spec: Mapping[str, Any] | None = None) -> Job:
    """A smoke job of two nodes on the CPU; ``spec`` is put over it."""
    base = {
        "nodes": 2,
        "gpusPerNode": 0,
        "model": SMOKE_MODEL,
        "dataset": {"claimName": "data", "path": "digits"},
        "training": SMOKE_TRAINING,
        "checkpoints": {"claimName": "checkpoints", "everySteps": 5},
        "pod": {**pod, "terminationGracePeriodSeconds": 30},
    }
    return {
        "apiVersion": "rfdetr.io/v1alpha1",
        "kind": "RFDETRTrainingJob",
        "metadata": {"name": name},
        "spec": merge(base, spec or {}),
    }


def make_quickstart(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> Job:
    """The README's own job on the claims of the suite."""
    job: Job = yaml.safe_load((REPOSITORY / "examples" / "quickstart-cpu.yaml").read_text())
    news = {"dataset": {"claimName": "data"}, "checkpoints": {"claimName": "checkpoints"}, "pod": dict(pod)}
    job["spec"] = merge(merge(job["spec"], news), spec)
    return job


def write_digits(folder: Path, *options: str, train: int = 16, valid: int = 8) -> Path:
    """A data set of real handwritten digits that the trainer's uid can read."""
    command = [sys.executable, "-m", "examples.data.digits", str(folder), "--train", str(train), "--valid", str(valid)]
    subprocess.run([*command, *options], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, TRAINING_UID, TRAINING_UID)
    return folder


def copy_digits(source: Path, claim: Claim) -> None:
    """The session's data set in this test's claim."""
    shutil.copytree(source, claim.folder / "digits")


@dataclass(frozen=True, slots=True)
class Watched:
    """One job on the cluster."""

    kubectl: Kubectl
    namespace: str
    name: str

    def get(self) -> Job:
        """The job as stored."""
        found: Job = json.loads(self.kubectl("-n", self.namespace, "get", "rfj", self.name, "-o", "json"))
        return found

    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.get().get("status", {})
        return found

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        for found in self.status().get("conditions", []):
            if found["type"] == kind:
                return found["status"], found.get("reason", ""), found.get("message", "")
        return "Unknown", "", ""

    def wait(self, what: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 240) -> float:
        """Seconds until the status holds; an ended job that does not is a failure at once."""
        started = time.monotonic()
        while True:
            status = self.status()
            if holds(status):
                return time.monotonic() - started
            ended = status.get("phase") in ("Failed", "Succeeded")
            if ended or time.monotonic() - started > seconds:
                raise AssertionError(f"{self.name} never came to: {what}\n{json.dumps(status, indent=1)}")
            time.sleep(0.25)

    def wait_for_phase(self, phase: str, seconds: float = 240) -> float:
        """Seconds until that phase."""
        return self.wait(f"phase {phase}", lambda status: status.get("phase") == phase, seconds)

    def wait_for_step(self, step: int, seconds: float = 240) -> float:
        """Seconds until a durable checkpoint at or after that optimizer step."""
        return self.wait(f"a checkpoint at step {step}", lambda status: read_checkpoint_step(status) >= step, seconds)

    def pods(self) -> list[dict[str, Any]]:
        """Its pods."""
        found = self.kubectl("-n", self.namespace, "get", "pods", "-l", f"rfdetr.io/job-name={self.name}", "-o", "json")
        items: list[dict[str, Any]] = json.loads(found)["items"]
        return items

    def patch(self, spec: Mapping[str, Any]) -> None:
        """What a user does with `kubectl patch`."""
        body = json.dumps({"spec": spec})
        self.kubectl("-n", self.namespace, "patch", "rfj", self.name, "--type=merge", "-p", body)


def read_checkpoint_step(status: Mapping[str, Any]) -> int:
    """The step of the newest durable checkpoint that the status knows."""
    progress = status.get("progress") or {}
    return int((progress.get("checkpoint") or {}).get("step", 0))


def start(kubectl: Kubectl, namespace: str, job: Job) -> Watched:
    """`kubectl apply`."""
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(job))
    return Watched(kubectl, namespace, job["metadata"]["name"])
