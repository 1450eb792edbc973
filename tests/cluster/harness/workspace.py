"""What a test gets of its own: a namespace under Pod Security `restricted`, and claims on folders of this machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cluster import Cluster
from .commands import CommandError
from .paths import TRAINING_UID

OWNER_LABEL = "rfdetr.io/test-namespace"
PodFields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim and the folder of this machine that is its volume."""

    name: str
    folder: Path


def build_volume(namespace: str, claim: Claim) -> list[Mapping[str, object]]:
    """A hostPath volume and the one claim it is for. All nodes see this machine's folder, so ReadWriteMany is true."""
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    name = f"{namespace}-{claim.name}"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {OWNER_LABEL: namespace}},
        "spec": shared
        | {
            "capacity": {"storage": "10Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(claim.folder), "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": claim.name},
        },
    }
    bound = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim.name, "namespace": namespace},
        "spec": shared | {"volumeName": name, "resources": {"requests": {"storage": "10Gi"}}},
    }
    return [volume, bound]


def build_namespace(name: str) -> Mapping[str, object]:
    labels = {OWNER_LABEL: name, "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def apply_objects(cluster: Cluster, objects: list[Mapping[str, object]]) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def create_claim(cluster: Cluster, namespace: str, claim: Claim, *, writable: bool) -> Claim:
    """The claim, bound; a writable folder belongs to the trainer's uid, since fsGroup does not apply to a hostPath."""
    if writable:
        claim.folder.mkdir(parents=True, exist_ok=True)
        os.chown(claim.folder, TRAINING_UID, TRAINING_UID)
    apply_objects(cluster, build_volume(namespace, claim))
    return claim


def create_namespace(cluster: Cluster, name: str) -> None:
    """A namespace in which a quick-suite pod can start."""
    objects = [build_namespace(name)]
    for claim in list_runtime_claims(cluster):
        objects += build_volume(name, claim)
    apply_objects(cluster, objects)
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")


def list_runtime_claims(cluster: Cluster) -> list[Claim]:
    claims = [("host-python", cluster.runtime), ("project-source", cluster.sources)]
    return [Claim(name, folder) for name, folder in claims if folder is not None]


def build_pod_fields(cluster: Cluster) -> PodFields:
    """`spec.pod` of the quick suite: a small image, with Python, packages and our code from read-only claims."""
    mounts = {"host-python": "/opt/host", "project-source": "/opt/src"}
    names = [claim.name for claim in list_runtime_claims(cluster)]
    return {
        "image": cluster.images.quick,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": True}} for name in names],
        "volumeMounts": [{"name": name, "mountPath": mounts[name], "readOnly": True} for name in names],
    }


def build_bare_pod(cluster: Cluster, name: str, *, node: str | None, command: list[str]) -> dict[str, object]:
    """A pod as restricted as a trainer's, without the operator."""
    fields = build_pod_fields(cluster)
    container = {
        "name": "main",
        "image": fields["image"],
        "imagePullPolicy": fields["imagePullPolicy"],
        "command": command,
        "volumeMounts": [*as_list(fields["volumeMounts"]), {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, object] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": TRAINING_UID,
            "runAsGroup": TRAINING_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [*as_list(fields["volumes"]), {"name": "tmp", "emptyDir": {}}],
    }
    if node is not None:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def as_list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def delete_namespace(cluster: Cluster, name: str) -> None:
    """Its pods are killed now; the rest goes while the next test runs."""
    cluster.kubectl("-n", name, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def remove_leftovers(cluster: Cluster, volumes: Path) -> None:
    """Volumes and folders of namespaces that are gone."""
    alive = cluster.kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split()
    for folder in volumes.glob("*") if volumes.is_dir() else ():
        if folder.name not in alive:
            cluster.kubectl("delete", "persistentvolume", "-l", f"{OWNER_LABEL}={folder.name}", "--wait=false")
            shutil.rmtree(folder, ignore_errors=True)


def describe_failure(cluster: Cluster, namespace: str) -> str:
    """What a person would ask for first."""
    asked = [
        ["get", "nodes,pods", "-A", "-o", "wide"],
        ["-n", namespace, "get", "rfdetrtrainingjobs", "-o", "yaml"],
        ["-n", namespace, "get", "events.v1.events.k8s.io", "--sort-by=.metadata.creationTimestamp"],
        ["-n", namespace, "describe", "pods"],
        ["-n", "rfdetr-system", "logs", "deployment/rfdetr-operator", "--tail=200"],
    ]
    pods = answer(cluster, ["-n", namespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]).split()
    asked += [["-n", namespace, "logs", pod, "--tail=80"] for pod in pods[:8]]
    return "\n".join(f"--- kubectl {' '.join(words)}\n{answer(cluster, words)}" for words in asked)


def answer(cluster: Cluster, words: list[str]) -> str:
    """kubectl's answer, or why there is none: a dump goes on past what is not there."""
    try:
        return cluster.kubectl(*words)
    except CommandError as error:
        return str(error)
