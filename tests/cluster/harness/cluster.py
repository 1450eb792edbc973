"""The cluster as the tests hold it: start, stop, kubectl, and the accidents that happen to nodes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import certificates, control_plane, host_python, nodes, store
from .commands import CommandError, run
from .daemons import end_daemon, read_pid
from .images import Images, prepare
from .paths import HARNESS, HarnessError, Paths, locked

TEST_LABEL = "rfdetr.io/test-cluster"


def wait_until(what: str, check: Callable[[], bool], *, seconds: float = 30, pause: float = 0.1) -> float:
    """Seconds until the check held."""
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > seconds:
            raise HarnessError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
    return time.monotonic() - started


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running test cluster. `paths` is None for one that the harness did not start."""

    env: dict[str, str]
    images: Images
    runtime: Path | None
    sources: Path | None
    paths: Paths | None

    def kubectl(self, *argv: str, stdin: str | None = None, seconds: float = 60) -> str:
        return run([*self._prefix(), "kubectl", *argv], env=self.env, stdin=stdin, seconds=seconds)

    def argv(self, *argv: str) -> list[str]:
        """The words that run a program where the API server and the pods can be reached."""
        return [*self._prefix(), *argv]

    def _prefix(self) -> list[str]:
        if self.paths is None:
            return []
        return ["nsenter", "-t", str(read_pid(self.paths.run / "fabric.pid")), "-n"]

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each write that reached the API server."""
        return self._own().control_plane / "audit.log"

    def _own(self) -> Paths:
        if self.paths is None:
            raise HarnessError("a cluster that the harness did not start has no nodes to switch off")
        return self.paths

    def lose_power(self, node: str) -> None:
        """Every process of the node is gone at once; nothing is told to anybody."""
        nodes.call(self._own(), self.env, "down", node)

    def restore_power(self, node: str) -> None:
        paths, machine = self._own(), nodes.find(node)
        nodes.power_on(paths, self.env, machine, self.images.quick)
        nodes.start_agents(paths, self.env, machine)

    def cut_network(self, node: str) -> None:
        nodes.call(self._own(), self.env, "link", node, "down")

    def heal_network(self, node: str) -> None:
        nodes.call(self._own(), self.env, "link", node, "up")

    def kill_container(self, namespace: str, pod: str) -> None:
        """SIGKILL for process 1 of the pod's first container, from outside it."""
        fields = "jsonpath={.spec.nodeName} {.status.containerStatuses[0].containerID}"
        node, identity = self.kubectl("-n", namespace, "get", "pod", pod, "-o", fields).split()
        ctr = ["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", identity.rpartition("/")[2]]
        nodes.call(self._own(), self.env, "exec", node, *ctr)

    def is_ready(self, node: str) -> bool:
        path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return self.kubectl("get", "node", node, "-o", path) == "True"


def check_machine(paths: Paths) -> None:
    """Refusals in one sentence, before anything is started."""
    if os.geteuid() != 0:
        raise HarnessError(
            "the test cluster needs root (namespaces, mounts, cgroups): run as root, "
            "or set KUBECONFIG and RFDETR_TEST_CLUSTER=1 to use a cluster that is there"
        )
    if not Path("/sys/fs/cgroup/memory/cgroup.procs").exists():
        raise HarnessError(
            "the test cluster's nodes need cgroup v1 controllers, which this machine has not: "
            "set KUBECONFIG and RFDETR_TEST_CLUSTER=1 to use a cluster that is there (kind, k3d)"
        )
    run([HARNESS / "build.sh"], env=dict(os.environ) | {"RFDETR_CLUSTER_CACHE": str(paths.cache)}, seconds=3600)


def build_env(paths: Paths) -> dict[str, str]:
    return dict(os.environ) | {
        "PATH": f"{paths.programs}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "KUBECONFIG": str(paths.control_plane / "admin.kubeconfig"),
    }


@contextmanager
def running(paths: Paths, *, trainer: bool = False) -> Iterator[Cluster]:
    """A fresh cluster for the block, and nothing of it after the block; what a killed run left is removed first."""
    with locked(paths):
        check_machine(paths)
        env = build_env(paths)
        stop(paths, env)
        try:
            yield start(paths, env, trainer=trainer)
        finally:
            stop(paths, env)


def prepare_all(paths: Paths, env: dict[str, str], *, trainer: bool) -> tuple[Images, Path]:
    """What takes minutes the first time and a second from then on."""
    paths.run.mkdir(parents=True, exist_ok=True)
    return prepare(paths, env, trainer=trainer), host_python.create_runtime(paths, env)


def start(paths: Paths, env: dict[str, str], *, trainer: bool) -> Cluster:
    images, runtime = prepare_all(paths, env, trainer=trainer)
    host_python.copy_sources(paths.run / "src")
    cluster = Cluster(env, images, runtime, paths.run / "src", paths)
    paths.control_plane.mkdir(parents=True)
    nodes.call(paths, env, "fabric-up")
    certificates.create_all(
        paths.control_plane, control_plane.ADDRESS, {node.name: node.address for node in nodes.NODES}
    )
    control_plane.start_api(paths, env)
    for node in nodes.NODES:
        paths.node(node.name).mkdir()
        store.clone(paths, paths.node(node.name) / "containerd")
        nodes.power_on(paths, env, node, images.quick)
    wait_until("the API server is ready", lambda: answers(cluster, "get", "--raw", "/readyz"), seconds=90)
    control_plane.start_controllers(paths, env)
    cluster.kubectl("apply", "-f", "-", stdin=control_plane.DNS_OBJECTS)
    cluster.kubectl("label", "namespace", "kube-system", f"{TEST_LABEL}=true")
    for node in nodes.NODES:
        nodes.start_agents(paths, env, node)
    for node in nodes.NODES:
        wait_until(f"{node.name} is Ready", partial(answers_ready, cluster, node.name), seconds=90)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    return cluster


def answers(cluster: Cluster, *argv: str) -> bool:
    try:
        cluster.kubectl(*argv, seconds=10)
    except CommandError:
        return False
    return True


def answers_ready(cluster: Cluster, node: str) -> bool:
    """As is_ready, for a node that has not registered yet."""
    return answers(cluster, "get", "node", node) and cluster.is_ready(node)


def stop(paths: Paths, env: dict[str, str]) -> None:
    """No process, mount, cgroup or network namespace of a run is left: all are found by the ids that it wrote."""
    for node in nodes.NODES:
        nodes.call(paths, env, "down", node.name)
    control_plane.stop(paths)
    end_daemon(paths.run / "store.pid")
    nodes.call(paths, env, "fabric-down")
    shutil.rmtree(paths.run, ignore_errors=True)
