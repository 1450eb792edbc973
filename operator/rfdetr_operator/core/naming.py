"""Names, labels and addresses of a job's children: deterministic, so that a name is a lock."""

from __future__ import annotations

from rfdetr_contract import names


def build_pod_name(job: str, rank: int) -> str:
    """The pod of a node rank; it keeps this name for the life of the job."""
    return f"{job}-{rank}"


def build_service_name(job: str) -> str:
    """The headless Service that gives each node rank its DNS name."""
    return f"{job}-ranks"


def build_claim_name(job: str) -> str:
    """The claim made from ``checkpoints.volumeClaimTemplate``."""
    return f"{job}-checkpoints"


def build_address(job: str, namespace: str, rank: int, cluster_domain: str = "") -> str:
    """The DNS name of a node rank."""
    base = f"{build_pod_name(job, rank)}.{build_service_name(job)}.{namespace}.svc"
    return f"{base}.{cluster_domain}" if cluster_domain else base


def build_labels(job: str, uid: str) -> dict[str, str]:
    """Labels of every child."""
    return {
        "app.kubernetes.io/name": "rfdetr",
        "app.kubernetes.io/instance": job,
        "app.kubernetes.io/component": names.CONTAINER,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_JOB: job,
        names.LABEL_JOB_UID: uid,
    }


def build_selector(job: str) -> str:
    """The label selector of a job's children."""
    return f"{names.LABEL_JOB}={job},{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


def read_job_name(labels: dict[str, str]) -> str | None:
    """The job that a child's labels name."""
    if labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return None
    return labels.get(names.LABEL_JOB)


def read_node_rank(labels: dict[str, str]) -> int | None:
    """The node rank that a pod's labels name."""
    text = labels.get(names.LABEL_NODE_RANK, "")
    return int(text) if text.isdecimal() else None
