"""A cluster that somebody else runs (kind, k3d): used when asked for, and only when it is marked as a test cluster."""

from __future__ import annotations

from pathlib import Path

from .cluster import TEST_LABEL, Cluster
from .images import Images
from .paths import HarnessError

SETTINGS = {
    "RFDETR_TEST_OPERATOR_IMAGE": "the operator's image, loaded into every node",
    "RFDETR_TEST_TRAINER_IMAGE": "the trainer's image, loaded into every node",
    "RFDETR_TEST_SHARED_FOLDER": "a folder of this machine that every node mounts at the same path",
}


def is_asked_for(environ: dict[str, str]) -> bool:
    return environ.get("RFDETR_TEST_CLUSTER") == "1" and bool(environ.get("KUBECONFIG"))


def connect(environ: dict[str, str]) -> Cluster:
    for name, meaning in SETTINGS.items():
        if not environ.get(name):
            raise HarnessError(f"RFDETR_TEST_CLUSTER=1 needs {name}: {meaning}")
    trainer = environ["RFDETR_TEST_TRAINER_IMAGE"]
    images = Images(quick=trainer, operator=environ["RFDETR_TEST_OPERATOR_IMAGE"], trainer=trainer)
    cluster = Cluster(dict(environ), images, runtime=None, sources=None, paths=None)
    refuse_unmarked(cluster)
    return cluster


def refuse_unmarked(cluster: Cluster) -> None:
    """The suite kills pods and changes cluster-wide objects: a cluster must say that it is there for that."""
    label = TEST_LABEL.replace(".", r"\.")
    path = f"jsonpath={{.metadata.labels.{label}}}"
    if cluster.kubectl("get", "namespace", "kube-system", "-o", path) != "true":
        context = cluster.kubectl("config", "current-context").strip()
        raise HarnessError(
            f"context '{context}' is not marked as a test cluster; if it is one, run: "
            f"kubectl label namespace kube-system {TEST_LABEL}=true"
        )


def choose_volumes(environ: dict[str, str]) -> Path:
    """A folder of the suite's own: what is in it may be deleted, what else the shared folder holds may not."""
    return Path(environ["RFDETR_TEST_SHARED_FOLDER"]).resolve() / "rfdetr-test-volumes"
