"""The chart on a real Kubernetes, by the real Helm: from the installation to what an uninstall leaves."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.harness.cluster import Cluster, wait_until
from cluster.harness.commands import CommandError, run
from cluster.harness.paths import REPOSITORY
from cluster.harness.releases import CHART, Release, installed
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, PodFields, describe_failure
from cluster.jobs import Kubectl, Watched, copy_digits, make_job, read_checkpoint_step, start, write_digits

pytestmark = pytest.mark.cluster

CRD = "crd/rfdetrtrainingjobs.rfdetr.io"
CONTROLLERS = {"kube-controller-manager", "kube-apiserver"}


@pytest.fixture
def digits(dataset: Claim, tmp_path: Path) -> Claim:
    """The claim `data` with a small detection set."""
    copy_digits(write_digits(tmp_path / "set"), dataset)
    return dataset


def read_uids(job: Watched) -> dict[str, str]:
    """Pod names to uids."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in job.pods()}


def list_owners(objects: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Kind/name to the managers of its fields, the cluster's own controllers left out."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": {field["manager"] for field in each["metadata"]["managedFields"]}
        - CONTROLLERS
        for each in objects
    }


def wait_for_refusal(job: Watched) -> str:
    """Why an operator did not accept the job."""
    job.wait("not accepted", lambda _: job.condition("Accepted")[0] == "False", 60)
    return job.condition("Accepted")[1]


def count_ready(release: Release) -> int:
    """Addresses behind the operator's Service that are ready."""
    label = f"kubernetes.io/service-name={release.fullname}"
    found = release.cluster.kubectl("-n", release.namespace, "get", "endpointslices", "-l", label, "-o", "json")
    endpoints = [each for piece in json.loads(found)["items"] for each in piece.get("endpoints") or []]
    return sum(bool(each["conditions"].get("ready")) for each in endpoints)


def watch_upgrade(release: Release, *settings: str) -> list[int]:
    """How many operators were ready, seen again and again while Helm upgrades."""
    helm = subprocess.Popen(
        release.command(*release.build_upgrade(*settings)),
        env=release.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = []
    while helm.poll() is None:
        seen.append(count_ready(release))
        time.sleep(0.2)
    said, _ = helm.communicate()
    assert helm.returncode == 0, said
    return seen


def test_the_life_of_a_release(
    make_release: Callable[[str, str], Release],
    crd_afterwards: None,
    kubectl: Kubectl,
    namespace: str,
    digits: Claim,
    output: Claim,
    pod_fields: PodFields,
    timings: Stopwatch,
) -> None:
    """Install, upgrade and roll back under a running job, uninstall: no pod of the job is touched, and it completes."""
    release = make_release("rfdetr", f"{namespace}-system")
    try:
        with timings.measure("helm install, ready"):
            notes = release.install({"rbac": {"watchNamespaces": [namespace]}})
        assert f"kubectl -n {namespace} apply -f job.yaml" in notes
        with timings.measure("helm test"):
            release.helm("test", release.name)
        job = start(kubectl, namespace, make_job("steady", pod_fields, {"training": {"epochs": 40}}))
        job.wait_for_step(5)
        pods, operators = read_uids(job), release.read_pods()

        with timings.measure("helm upgrade"):
            ready = watch_upgrade(release, "reports.via=apiProxy", "replicas=2")
        upgraded = release.read_pods()
        with timings.measure("progress through the API server"):
            job.wait_for_step(read_checkpoint_step(job.status()) + 5)
        with timings.measure("helm rollback"):
            release.helm("rollback", release.name, "--wait")

        assert (set(), 2, True) == (operators & upgraded, len(upgraded), min(ready) > 0)
        assert ("Running", pods) == (job.status()["phase"], read_uids(job))
        owners = list_owners(release.list_objects())
        assert "helm" in owners.pop(
            f"CustomResourceDefinition/{CRD.split('/')[1]}"
        )  # kubectl applied it before the chart
        assert {"helm"} == set().union(*owners.values())
        job.wait("the end", lambda status: status.get("phase") == "Succeeded", 300)
        assert (pods, 0) == (read_uids(job), sum(job.status()["restarts"].values()))

        release.helm("uninstall", release.name, "--wait")

        kept = kubectl("-n", namespace, "get", "rfj/steady", "pvc/data", "pvc/checkpoints", CRD, "-o", "name").split()
        left = kubectl(
            "get",
            "deployments,services,clusterroles,clusterrolebindings,roles,rolebindings",
            "-A",
            "-l",
            f"app.kubernetes.io/instance={release.name}",
            "-o",
            "name",
        )
        assert (4, "") == (len(kept), left)
    except AssertionError:
        print(describe_failure(release.cluster, namespace))
        raise
    finally:
        release.helm("uninstall", release.name, "--ignore-not-found", "--wait")
        kubectl("delete", "namespace", release.namespace, "--ignore-not-found", "--wait=false")


def test_a_namespaced_release_works_beside_another(
    make_release: Callable[[str, str], Release],
    crd_afterwards: None,
    kubectl: Kubectl,
    namespace: str,
    pod_fields: PodFields,
) -> None:
    """Each serves its own namespace; the second brings nothing cluster-wide and may not look over the fence."""
    first, second = make_release("rfdetr", f"{namespace}-one"), make_release("own", f"{namespace}-two")
    narrow = {
        "crds": {"enabled": False},
        "rbac": {"scope": "namespace"},
        "reports": {"via": "apiProxy"},
        "podSecurityContext": {"runAsUser": 23456, "runAsGroup": 23456},  # any other user will do
    }
    with installed(first, {"rbac": {"watchNamespaces": [namespace]}}), installed(second, narrow):
        for release in (first, second):
            release.helm("test", release.name)
        absent = {"dataset": {"claimName": "absent"}}
        jobs = [start(kubectl, place, make_job("early", pod_fields, absent)) for place in (namespace, second.namespace)]
        refusals = [wait_for_refusal(job) for job in jobs]
        kinds = {each["kind"] for each in second.list_objects() if "namespace" not in each["metadata"]}
        with pytest.raises(CommandError) as refused:
            kubectl(
                "auth",
                "can-i",
                "list",
                "pods",
                "-n",
                namespace,
                f"--as=system:serviceaccount:{second.namespace}:{second.fullname}",
            )

        assert (["ClaimNotFound"] * 2, set()) == (refusals, kinds)
        assert 1 == refused.value.code
        kubectl("-n", second.namespace, "delete", "rfj", "early")


def test_the_users_roles_see_and_make_jobs(
    make_release: Callable[[str, str], Release], crd_afterwards: None, kubectl: Kubectl, namespace: str
) -> None:
    """Who may edit a namespace may run jobs in it; who may view it may look."""
    with installed(make_release("rfdetr", f"{namespace}-system"), {}):
        for role in ("view", "edit"):
            kubectl("-n", namespace, "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er")

        def may(who: str, verb: str) -> bool:
            try:
                kubectl("auth", "can-i", verb, "rfdetrtrainingjobs.rfdetr.io", "-n", namespace, f"--as={who}")
            except CommandError:
                return False
            return True

        wait_until("the roles are aggregated", lambda: may("editer", "create"))
        assert [True, False, True, True] == [
            may(who, verb) for who in ("viewer", "editer") for verb in ("list", "create")
        ]


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_both_lines_of_helm_take_the_chart(cluster: Cluster, helm: str) -> None:
    """Strict lint, the same objects, and the same refusal of a Kubernetes that is too old."""
    template = [helm, "template", "rfdetr", str(CHART), "--namespace=rfdetr-system"]
    run([helm, "lint", "--strict", str(CHART)], env=cluster.env)
    with pytest.raises(
        CommandError, match=r"kubeVersion: >=1\.33\.0-0 which is incompatible with Kubernetes v1\.32\.0"
    ):
        run([*template, "--kube-version=v1.32.0"], env=cluster.env)

    objects = [each for each in yaml.safe_load_all(run(template, env=cluster.env)) if each]
    assert sorted(f"{each['kind']}/{each['metadata']['name']}" for each in objects) == sorted(
        f"{each['kind']}/{each['metadata']['name']}"
        for each in yaml.safe_load_all(run(["helm", *template[1:]], env=cluster.env))
        if each
    )


def test_the_manifest_without_helm_is_taken_by_the_api_server(crd_afterwards: None, kubectl: Kubectl) -> None:
    """As the documentation says it: on the server's side, and nothing of it is unknown to it."""
    manifest = str(REPOSITORY / "charts" / "install.yaml")
    try:
        kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", manifest)
        kubectl("-n", "rfdetr-system", "get", "deployment/rfdetr-operator", "serviceaccount/rfdetr-operator")
    finally:
        kubectl("delete", "-f", manifest, "--ignore-not-found", "--timeout=150s", seconds=180)
