"""The real two-node cluster of the end-to-end suite, for as long as a benchmark needs it, and the operator on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.operator_process import Site
from benchmarks.result import Say, WentWrong
from cluster.harness.cluster import Cluster, running
from cluster.harness.images import choose_target_name
from cluster.harness.paths import REPOSITORY, HarnessError, Paths, read_paths
from cluster.harness.plain_install import build_manifest
from cluster.harness.store import read_names

NAMESPACE = "rfdetr-system"
ACCOUNT = "rfdetr-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


class NoCluster(Exception):
    """No real cluster at hand; the message says why in one sentence."""


def check_at_hand(paths: Paths, *, build: bool) -> None:
    """A cluster that starts in seconds; ``build``: one that first builds its images will do."""
    if os.geteuid() != 0:
        raise NoCluster("the test cluster needs root")
    if not (paths.programs / "kube-apiserver").exists():
        raise NoCluster("the test cluster's programs are not built (make test-cluster builds them)")
    if not build and choose_target_name("operator") not in read_names(paths):
        raise NoCluster("the images of these sources are not built (without --short they are)")


@contextmanager
def open_cluster(say: Say, *, build: bool) -> Iterator[Cluster]:
    """A fresh cluster for the block.

    Raises:
        NoCluster: this machine cannot have one now.

    """
    paths = read_paths(dict(os.environ))
    check_at_hand(paths, build=build)
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(running(paths))
        except HarnessError as error:
            raise NoCluster(str(error)) from None
        say("a real two-node cluster runs")
        try:
            yield cluster
        except HarnessError as error:
            raise WentWrong(str(error)) from None


def build_kubeconfig(admin: dict[str, Any], token: str) -> dict[str, Any]:
    """The administrator's view of the API server with another user in it."""
    users = [{"name": user["name"], "user": {"token": token}} for user in admin["users"]]
    return admin | {"users": users}


def create_site(cluster: Cluster, folder: Path) -> Site:
    """The resource served, and an operator outside of the cluster with the rights that its own account has inside."""
    cluster.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/rfdetrtrainingjobs.rfdetr.io", "--timeout=30s")
    cluster.kubectl("apply", "-f", "-", stdin=build_manifest(cluster, replicas=0))
    token = cluster.kubectl("-n", NAMESPACE, "create", "token", ACCOUNT).strip()
    admin = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    path = folder / "kubeconfig.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(build_kubeconfig(admin, token)))
    return Site(tuple(cluster.argv()), path, cluster.images.quick)
