"""The children, compared whole with the files of ``tests/golden``."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from builders import SETTINGS, make_job, start_job
from rfdetr_contract.run import RunConfig
from rfdetr_operator.core.manifests import build_claim, build_pod, build_service
from rfdetr_operator.core.model import Manifest
from rfdetr_operator.core.run_config import build_run_config

GOLDEN = Path(__file__).parents[2] / "golden"
FULL = {
    "gpusPerNode": 4,
    "memoryPreset": "8GB",
    "training": {"effectiveBatchSize": 64},
    "pod": {
        "image": "registry.example/trainer:1",
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [{"name": "pull"}],
        "resources": {"requests": {"cpu": "8"}, "limits": {"memory": "64Gi"}},
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "low",
        "schedulerName": "gang",
        "serviceAccountName": "trainer",
        "env": [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "HF", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        "envFrom": [{"configMapRef": {"name": "more"}}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "labels": {"team": "vision", "rfdetr.io/job-name": "stolen"},
        "annotations": {"note": "kept"},
        "sharedMemory": "16Gi",
        "terminationGracePeriodSeconds": 60,
    },
}


def build(kind: str) -> Manifest:
    """The manifest of a golden file."""
    plain, full = start_job(), start_job(**FULL)
    template = make_job(checkpoints={"volumeClaimTemplate": {"storage": "50Gi"}})
    owned = make_job(
        checkpoints={"volumeClaimTemplate": {"storage": "5Gi", "storageClassName": "nfs"}, "retain": False}
    )
    match kind:
        case "service":
            return build_service(plain)
        case "pod":
            return build_pod(plain, 1, build_run_config(plain, 1).to_json(), SETTINGS)
        case "pod-full":
            return build_pod(full, 0, build_run_config(full, 1).to_json(), SETTINGS)
        case "claim":
            return build_claim(template)
        case _:
            return build_claim(owned)


@pytest.mark.parametrize("kind", ["service", "pod", "pod-full", "claim", "claim-owned"])
def test_a_child_is_the_golden_one(kind: str) -> None:
    """The whole object: a change of a manifest is seen in review."""
    golden = yaml.safe_load((GOLDEN / f"{kind}.yaml").read_text())

    assert golden == build(kind)


def test_the_annotation_is_the_run_config() -> None:
    """What the downward API mounts parses as the config that was meant."""
    job = start_job()
    config = build_run_config(job, 1)
    pod = build_pod(job, 0, config.to_json(), SETTINGS)

    told = pod["metadata"]["annotations"]["rfdetr.io/run-config"]
    assert config == RunConfig.model_validate_json(told)


def test_a_reserved_variable_of_the_user_is_left_out() -> None:
    """The API server refuses it; an older stored job must not break the ranks."""
    job = start_job(pod={"env": [{"name": "MASTER_ADDR", "value": "evil"}, {"name": "MINE", "value": "1"}]})
    pod = build_pod(job, 0, "{}", SETTINGS)

    named = [each["name"] for each in pod["spec"]["containers"][0]["env"]]
    assert [True, False] == ["MINE" in named, "MASTER_ADDR" in named]
