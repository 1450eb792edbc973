"""The documentation's commands for a cluster, as they stand, from the first to the last."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness import nodes
from cluster.harness.cluster import Cluster
from cluster.harness.paths import REPOSITORY
from cluster.harness.workspace import Claim, create_claim
from cluster.jobs import write_digits
from docs.pages import list_blocks

pytestmark = pytest.mark.cluster

REGISTRY = "registry.test/ml"
# A running job is paused and scaled before it may end; what is shown last is shown last.
LATE = ("kubectl wait --for=condition=Complete",)
PAGES = ("docs/install.md", "docs/guides/resume.md", "late", "docs/guides/observability.md", "docs/guides/upgrade.md")
LAST = ("docs/guides/uninstall.md",)


def list_commands() -> tuple[str, ...]:
    """Every command for a cluster, once, in an order in which a person would type them."""
    found = [(block.page, command) for block in list_blocks() if block.way == "cluster" for command in block.commands]
    late = [command for _, command in found if command.startswith(LATE)]
    early = {page: [command for at, command in found if at == page and command not in late] for page, _ in found}
    early["late"] = late
    rest = [page for page in early if page not in (*PAGES, *LAST)]
    ordered = [command for page in (*PAGES, *rest, *LAST) for command in early.get(page, [])]
    blocks = sorted((block for block in list_blocks() if block.way == "plain"), key=lambda block: block.page in LAST)
    plain = [command for block in blocks for command in block.commands]
    return tuple(dict.fromkeys([*plain, *ordered]))


def tag_images(cluster: Cluster, trainer: str) -> None:
    """The names that the pages use, on every node."""
    for node in nodes.NODES:
        for image, name in ((cluster.images.operator, "rfdetr-operator"), (trainer, "rfdetr-trainer")):
            for target in (f"{REGISTRY}/{name}:0.1.0", f"docker.io/library/{name}:0.1.0"):
                tag = ["ctr", "--namespace", "k8s.io", "images", "tag", "--force", image, target]
                assert cluster.paths is not None
                nodes.call(cluster.paths, cluster.env, "exec", node.name, *tag)


@pytest.fixture
def fresh(own_cluster: Cluster, monitoring_kinds: None) -> Iterator[Cluster]:
    """A cluster without our resource and with the Prometheus operator's; afterwards ours is there again, for other tests."""
    own_cluster.kubectl("delete", "-f", str(REPOSITORY / "crds"), "--ignore-not-found", "--timeout=60s", seconds=90)
    yield own_cluster
    own_cluster.kubectl("delete", "namespace", "rfdetr-system", "--ignore-not-found", "--timeout=150s", seconds=180)
    own_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))


@pytest.fixture
def folder(cluster: Cluster, namespace: str, tmp_path: Path) -> Path:
    """Where a reader would stand: the repository's files, a data set, and kubectl set to the namespace."""
    for name in ("charts", "examples", "crds"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    (tmp_path / "kubeconfig").write_bytes(Path(cluster.env["KUBECONFIG"]).read_bytes())
    write_digits(tmp_path / "digits", "--classes", "2", train=160, valid=40)
    return tmp_path


@pytest.mark.timeout(1200)
def test_the_commands_of_the_pages_work_in_their_order(
    fresh: Cluster, namespace: str, folder: Path, trainer_image: str, volumes: Path
) -> None:
    """Install, test, the first job, pause, scale, upgrade, roll back, uninstall: all as the pages say it."""
    tag_images(fresh, trainer_image)
    for name in ("digits", "runs"):
        create_claim(fresh, namespace, Claim(name, volumes / namespace / name), writable=True)
        fresh.kubectl("-n", namespace, "delete", "pvc", name, "--wait=true")
        fresh.kubectl(
            "patch", "pv", f"{namespace}-{name}", "--type=merge", "-p", '{"spec": {"claimRef": {"uid": null}}}'
        )
    env = {**fresh.env, "KUBECONFIG": str(folder / "kubeconfig"), "REGISTRY": REGISTRY}
    run(fresh, env, folder, f"kubectl config set-context --current --namespace={namespace}")

    failed = next((seen for seen in (run(fresh, env, folder, command) for command in list_commands()) if seen[1]), None)

    assert failed is None  # what comes after it would only wait for it


def run(cluster: Cluster, env: dict[str, str], folder: Path, command: str) -> tuple[str, int, str]:
    """The command, its exit code, and what it said when it failed."""
    line = command.replace("python -m", f"{sys.executable} -m")
    done = subprocess.run(
        cluster.argv("bash", "-c", line), env={**os.environ, **env}, cwd=folder,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    print(f"$ {command}\n{done.stdout}{done.stderr}", flush=True)
    return command, done.returncode, (done.stdout + done.stderr)[-1500:] if done.returncode else ""
