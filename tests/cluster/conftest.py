"""Fixtures of the end-to-end suite. `cluster` is a real Kubernetes: the harness's own, or a marked one by KUBECONFIG."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from cluster.harness import external
from cluster.harness.cluster import Cluster, running
from cluster.harness.paths import REPOSITORY, HarnessError, read_paths
from cluster.harness.plain_install import build_manifest
from cluster.harness.releases import Release
from cluster.harness.timings import Stopwatch, Timings
from cluster.harness.workspace import (
    Claim,
    PodFields,
    build_pod_fields,
    create_claim,
    create_namespace,
    delete_namespace,
    describe_failure,
    remove_leftovers,
)
from cluster.scrapes import build_kinds

TIMINGS = pytest.StashKey[Timings]()
FAILED = pytest.StashKey[bool]()
OPERATOR_NAMESPACE = "rfdetr-system"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMINGS] = Timings()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    if report.when == "call" and item.get_closest_marker("cluster") is not None:
        item.config.stash[TIMINGS].add(item.nodeid, "the whole test", report.duration)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    timings = config.stash.get(TIMINGS, None)
    if timings is not None and timings.rows:
        terminalreporter.section("measured times")
        for row in timings.format():
            terminalreporter.line(row)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running two-node cluster; it is gone when the run of pytest ends."""
    environ = dict(os.environ)
    try:
        if external.is_asked_for(environ):
            yield external.connect(environ)
            return
        with running(read_paths(environ), trainer=wants_trainer(request.session)) as started:
            yield started
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)


def wants_trainer(session: pytest.Session) -> bool:
    """The trainer's own image is gigabytes: it is there when a test of this run asks for it."""
    return any("trainer_image" in getattr(item, "fixturenames", ()) for item in session.items)


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> Cluster:
    """A cluster whose nodes may be switched off."""
    if cluster.paths is None:
        pytest.skip("nodes of a cluster that the harness did not start are not switched off")
    return cluster


@pytest.fixture(scope="session")
def trainer_image(cluster: Cluster) -> str:
    """The name of the real trainer image, which every node has."""
    assert cluster.images.trainer is not None
    return cluster.images.trainer


@pytest.fixture
def kubectl(cluster: Cluster) -> Callable[..., str]:
    """kubectl's standard output; CommandError with its standard error when it fails."""
    return cluster.kubectl


@pytest.fixture(scope="session")
def volumes(cluster: Cluster) -> Path:
    """The folder of this machine whose subfolders are the tests' volumes."""
    return external.choose_volumes(cluster.env) if cluster.paths is None else cluster.paths.volumes


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: Cluster, volumes: Path) -> Iterator[str]:
    """A namespace of this test alone, under Pod Security `restricted`."""
    node: pytest.Item = request.node
    words = re.sub(r"[^a-z0-9]+", "-", node.name.lower().removeprefix("test_"))[:24].strip("-")
    name = f"{words}-{zlib.crc32(node.nodeid.encode()):08x}"
    remove_leftovers(cluster, volumes)
    (volumes / name).mkdir(parents=True)
    create_namespace(cluster, name)
    yield name
    if node.stash.get(FAILED, False):
        print(describe_failure(cluster, name))
    delete_namespace(cluster, name)


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """The project's resource is served."""
    cluster.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/rfdetrtrainingjobs.rfdetr.io", "--timeout=30s")


@pytest.fixture(scope="session")
def operator(cluster: Cluster, crds: None) -> Iterator[str]:
    """The namespace in which the operator runs, from its image and under its own ServiceAccount."""
    manifest = build_manifest(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    try:
        cluster.kubectl(
            "-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/rfdetr-operator", "--timeout=60s", seconds=90
        )
    except HarnessError as error:
        pytest.fail(f"{error}\n{describe_failure(cluster, OPERATOR_NAMESPACE)}", pytrace=False)
    yield OPERATOR_NAMESPACE
    cluster.kubectl("delete", "-f", "-", "--wait=false", stdin=manifest)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Releases come first: the suite's own operator has the chart's default names, and serves every namespace."""
    items.sort(key=lambda item: "make_release" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def make_release(cluster: Cluster, tmp_path: Path) -> Callable[[str, str], Release]:
    """A release that is not installed yet, by name and namespace."""
    return lambda name, namespace: Release(cluster, name, namespace, tmp_path)


@pytest.fixture
def crd_afterwards(cluster: Cluster) -> Iterator[None]:
    """Afterwards the CRD is there without a release, as other tests want it."""
    yield
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))


@pytest.fixture
def monitoring_kinds(cluster: Cluster) -> Iterator[None]:
    """The kinds of the Prometheus operator are served."""
    cluster.kubectl("apply", "-f", "-", stdin=build_kinds())
    cluster.kubectl("wait", "--for=condition=Established", "-f", "-", "--timeout=30s", stdin=build_kinds())
    yield
    cluster.kubectl("delete", "-f", "-", "--timeout=30s", stdin=build_kinds())


@pytest.fixture
def pod_fields(cluster: Cluster) -> PodFields:
    """`spec.pod` of a job of the quick suite."""
    return build_pod_fields(cluster)


@pytest.fixture
def dataset(cluster: Cluster, namespace: str, volumes: Path) -> Claim:
    """An empty claim `data`; the test puts its data set into the folder."""
    return create_claim(cluster, namespace, Claim("data", volumes / namespace / "data"), writable=True)


@pytest.fixture
def output(cluster: Cluster, namespace: str, volumes: Path) -> Claim:
    """An empty claim `checkpoints`."""
    return create_claim(cluster, namespace, Claim("checkpoints", volumes / namespace / "checkpoints"), writable=True)


@pytest.fixture
def timings(request: pytest.FixtureRequest) -> Stopwatch:
    """What the test measures stands in the closing summary."""
    return Stopwatch(request.config.stash[TIMINGS], request.node.nodeid)
