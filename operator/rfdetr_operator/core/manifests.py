"""The children as Kubernetes objects: a headless Service, a claim when it is templated, and one pod a node rank."""

from __future__ import annotations

from typing import Any

from rfdetr_contract import names
from rfdetr_operator.api.v1alpha1 import Pod, TrainingJob
from rfdetr_operator.core.model import Manifest
from rfdetr_operator.core.naming import (
    build_address,
    build_claim_name,
    build_labels,
    build_pod_name,
    build_service_name,
)
from rfdetr_operator.core.settings import CoreSettings

GPU = "nvidia.com/gpu"
POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": names.USER_ID,
    "runAsGroup": names.USER_ID,
    "fsGroup": names.USER_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def build_owner(job: TrainingJob) -> Manifest:
    """The controlling owner; without blockOwnerDeletion, which would need a right on our finalizers."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
    }


def build_service(job: TrainingJob) -> Manifest:
    """The headless Service; it publishes addresses of pods that are not ready, since they meet before they are."""
    name, uid = job.metadata.name, job.metadata.uid
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": build_service_name(name),
            "namespace": job.metadata.namespace,
            "labels": build_labels(name, uid),
            "ownerReferences": [build_owner(job)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.LABEL_JOB: name, names.LABEL_JOB_UID: uid},
            "ports": [
                {"name": "metrics", "port": names.HTTP_PORT},
                {"name": "rendezvous", "port": names.RENDEZVOUS_PORT},
            ],
        },
    }


def build_claim(job: TrainingJob) -> Manifest:
    """The checkpoint claim of the template; a retained one has no owner and outlives the job."""
    template = job.spec.checkpoints.volume_claim_template
    if template is None:
        raise ValueError("checkpoints.volumeClaimTemplate is not set")
    storage_class = {"storageClassName": template.storage_class_name} if template.storage_class_name else {}
    owners = {} if job.spec.checkpoints.retain else {"ownerReferences": [build_owner(job)]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": build_claim_name(job.metadata.name),
            "namespace": job.metadata.namespace,
            "labels": build_labels(job.metadata.name, job.metadata.uid),
            **owners,
        },
        "spec": {
            "accessModes": list(template.access_modes),
            "resources": {"requests": {"storage": template.storage}},
            **storage_class,
        },
    }


def choose_checkpoint_claim(job: TrainingJob) -> str:
    """The name of the claim that checkpoints go to."""
    return job.spec.checkpoints.claim_name or build_claim_name(job.metadata.name)


def build_command(job: TrainingJob, rank: int, settings: CoreSettings) -> list[str]:
    """The launcher with torchrun's own flags, as the guide writes them."""
    meta = job.metadata
    return [
        "python",
        "-m",
        "rfdetr_trainer.launch",
        f"--nnodes={job.spec.nodes}",
        f"--nproc-per-node={job.processes}",
        f"--node-rank={rank}",
        f"--master-addr={build_address(meta.name, meta.namespace, 0, settings.cluster_domain)}",
        f"--master-port={names.RENDEZVOUS_PORT}",
    ]


def build_environment(pod: Pod) -> list[Manifest]:
    """The trainer's environment: the user's own, then ours."""
    fixed = {
        names.ENV_RUN_CONFIG: f"{names.RUN_CONFIG_MOUNT}/{names.RUN_CONFIG_FILE}",
        names.ENV_DATA_ROOT: names.DATA_MOUNT,
        names.ENV_OUTPUT_ROOT: names.OUTPUT_MOUNT,
        names.ENV_HTTP_PORT: str(names.HTTP_PORT),
        names.ENV_TERMINATION_LOG: names.TERMINATION_LOG,
    }
    downward = {names.ENV_POD_NAME: "metadata.name", names.ENV_POD_UID: "metadata.uid"}
    users = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in pod.env]
    return [
        *(each for each in users if not names.is_reserved_env(each["name"])),
        *({"name": name, "value": value} for name, value in fixed.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in downward.items()),
    ]


def build_resources(pod: Pod, gpus: int) -> Manifest:
    """The user's requests and limits, with the GPUs in both."""
    resources: dict[str, Any] = dict(pod.resources)
    if gpus > 0:
        for part in ("requests", "limits"):
            resources[part] = {**(resources.get(part) or {}), GPU: str(gpus)}
    return resources


def build_volumes(job: TrainingJob) -> list[Manifest]:
    """Data read-only, checkpoints, the run's config from the annotation, and what a read-only root lacks."""
    annotation = f"metadata.annotations['{names.ANNOTATION_RUN_CONFIG}']"
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": job.spec.dataset.claim_name, "readOnly": True}},
        {"name": "output", "persistentVolumeClaim": {"claimName": choose_checkpoint_claim(job)}},
        {
            "name": "run",
            "downwardAPI": {"items": [{"path": names.RUN_CONFIG_FILE, "fieldRef": {"fieldPath": annotation}}]},
        },
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": job.spec.pod.shared_memory}},
        *job.spec.pod.volumes,
    ]


def build_mounts(pod: Pod) -> list[Manifest]:
    """Where the volumes are."""
    return [
        {"name": "data", "mountPath": names.DATA_MOUNT, "readOnly": True},
        {"name": "output", "mountPath": names.OUTPUT_MOUNT},
        {"name": "run", "mountPath": names.RUN_CONFIG_MOUNT, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - an emptyDir of the pod
        *pod.volume_mounts,
    ]


def build_container(job: TrainingJob, rank: int, settings: CoreSettings) -> Manifest:
    """The trainer container: process 1 is the launcher, and its termination message is the report."""
    pod = job.spec.pod
    optional = {
        "imagePullPolicy": pod.image_pull_policy,
        "envFrom": pod.env_from,
        "resources": build_resources(pod, job.spec.gpus_per_node),
    }
    return {
        "name": names.CONTAINER,
        "image": pod.image or settings.image,
        "command": build_command(job, rank, settings),
        "env": build_environment(pod),
        "ports": [
            {"name": "metrics", "containerPort": names.HTTP_PORT},
            {"name": "rendezvous", "containerPort": names.RENDEZVOUS_PORT},
        ],
        "volumeMounts": build_mounts(pod),
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": CONTAINER_SECURITY,
        **{key: value for key, value in optional.items() if value},
    }


def build_affinity(pod: Pod, avoid: tuple[str, ...]) -> Manifest:
    """The user's affinity; nodes that were just lost are taken last, since the scheduler may not know of it yet."""
    if not avoid:
        return pod.affinity
    shun = {
        "weight": 100,
        "preference": {
            "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in avoid]
        },
    }
    nodes = dict(pod.affinity.get("nodeAffinity") or {})
    part = "preferredDuringSchedulingIgnoredDuringExecution"
    return {**pod.affinity, "nodeAffinity": {**nodes, part: [*(nodes.get(part) or []), shun]}}


def build_placement(pod: Pod, avoid: tuple[str, ...]) -> Manifest:
    """Where and as what the pod runs, as far as the user says."""
    wanted = {
        "imagePullSecrets": pod.image_pull_secrets,
        "nodeSelector": pod.node_selector,
        "tolerations": pod.tolerations,
        "affinity": build_affinity(pod, avoid),
        "priorityClassName": pod.priority_class_name,
        "schedulerName": pod.scheduler_name,
        "serviceAccountName": pod.service_account_name,
    }
    return {key: value for key, value in wanted.items() if value}


def build_pod(
    job: TrainingJob, rank: int, run_config: str, settings: CoreSettings, avoid: tuple[str, ...] = ()
) -> Manifest:
    """The pod of a node rank in the stored attempt; ``run_config`` is the attempt's, frozen."""
    meta, pod = job.metadata, job.spec.pod
    name = build_pod_name(meta.name, rank)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": {**pod.labels, **build_labels(meta.name, meta.uid), names.LABEL_NODE_RANK: str(rank)},
            "annotations": {
                **pod.annotations,
                names.ANNOTATION_RUN_CONFIG: run_config,
                names.ANNOTATION_RUN_HASH: job.status.run_hash or "",
                names.ANNOTATION_ATTEMPT: str(job.status.attempt or 0),
            },
            "ownerReferences": [build_owner(job)],
        },
        "spec": {
            "hostname": name,
            "subdomain": build_service_name(meta.name),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": POD_SECURITY,
            **build_placement(pod, avoid),
            "containers": [build_container(job, rank, settings)],
            "volumes": build_volumes(job),
        },
    }
