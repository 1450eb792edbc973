"""The chart through a real OCI registry, as a release does it."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.cluster import Cluster, wait_until
from cluster.harness.commands import run
from cluster.harness.releases import CHART

pytestmark = pytest.mark.cluster


def choose_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def registry(own_cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of an empty registry on this machine."""
    port = choose_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yaml").write_text(json.dumps(config))
    env = own_cluster.env | {"OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        ["registry", "serve", str(tmp_path / "registry.yaml")], env=env, stderr=subprocess.DEVNULL
    ) as server:
        wait_until("the registry listens", lambda: answers(port))
        yield f"127.0.0.1:{port}"
        server.terminate()


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_the_chart_comes_out_of_a_registry_as_it_went_in(
    own_cluster: Cluster, registry: str, tmp_path: Path, helm: str
) -> None:
    """Packaged, pushed, pulled: the same bytes, and what is rendered from there is the same."""
    folder = tmp_path / "pulled"
    folder.mkdir()
    run([helm, "package", str(CHART), "--destination", str(tmp_path)], env=own_cluster.env)
    (package,) = tmp_path.glob("rfdetr-operator-*.tgz")
    run([helm, "push", str(package), f"oci://{registry}/charts", "--plain-http"], env=own_cluster.env)
    place = f"oci://{registry}/charts/rfdetr-operator"
    run([helm, "pull", place, "--plain-http", "--destination", str(folder)], env=own_cluster.env)
    (pulled,) = folder.glob("*.tgz")

    assert hashlib.sha256(package.read_bytes()).hexdigest() == hashlib.sha256(pulled.read_bytes()).hexdigest()
    assert run([helm, "template", "rfdetr", str(CHART)], env=own_cluster.env) == run(
        [helm, "template", "rfdetr", place, "--plain-http"], env=own_cluster.env
    )
