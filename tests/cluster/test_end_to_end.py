"""The whole thing on a real Kubernetes: the operator as a pod, real torchrun, real RF-DETR, real data."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.harness.cluster import Cluster
from cluster.harness.paths import REPOSITORY
from cluster.harness.timings import Stopwatch
from cluster.harness.workspace import Claim, PodFields
from cluster.jobs import (
    Job,
    Kubectl,
    Watched,
    copy_digits,
    make_job,
    make_quickstart,
    merge,
    read_checkpoint_step,
    start,
    write_digits,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator", "output")]

LONG = {"training": {"epochs": 400}}  # long enough to be hurt, never meant to end


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detection set."""
    return write_digits(tmp_path_factory.mktemp("digits") / "set")


@pytest.fixture
def data(digits: Path, dataset: Claim) -> Claim:
    """The claim `data` with the detection set in its folder `digits`."""
    copy_digits(digits, dataset)
    return dataset


@pytest.fixture
def running(kubectl: Kubectl, namespace: str, data: Claim, pod_fields: PodFields, timings: Stopwatch) -> Watched:
    """A long job with a durable checkpoint: the one that the faults happen to."""
    job = start(kubectl, namespace, make_job("long", pod_fields, LONG))
    timings.add("apply to Running", job.wait_for_phase("Running"))
    timings.add("Running to the first checkpoint", job.wait_for_step(5))
    return job


def wait_for_recovery(job: Watched, reached: int, timings: Stopwatch, what: str) -> None:
    """The run goes on past the step it had reached, with two pods, and says so."""
    taken = job.wait("a newer checkpoint", lambda status: is_past(status, reached + 5), 240)
    timings.add(f"{what} to a newer checkpoint", taken)


def is_past(status: dict[str, Any], step: int) -> bool:
    """Running, and with a durable checkpoint at or after that step."""
    return status.get("phase") == "Running" and read_checkpoint_step(status) >= step


def read_uids(job: Watched) -> dict[str, str]:
    """Pod names to uids."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in job.pods()}


def test_two_nodes_reach_the_map_of_the_same_run_without_kubernetes(
    kubectl: Kubectl, namespace: str, dataset: Claim, pod_fields: PodFields, timings: Stopwatch, tmp_path: Path
) -> None:
    """Same YAML, same data, same seed: on the cluster and as local processes the mAP is the same within 0.02."""
    write_digits(dataset.folder / "digits", "--classes", "2", train=160, valid=40)
    spec = {"dataset": {"path": "digits"}, "training": {"epochs": 5}}
    job = start(kubectl, namespace, make_quickstart(pod_fields, spec))
    timings.add("apply to Complete", job.wait("Complete", lambda status: status.get("phase") == "Succeeded", 400))
    status = job.status()

    local = run_locally(make_quickstart({}, spec), dataset, tmp_path)

    there, here = float(status["result"]["mAP50_95"]), float(local["result"]["mAP50_95"])
    timings.add(f"mAP 50:95 {there:.3f} on the cluster, {here:.3f} without", abs(there - here))
    assert job.condition("Complete")[:2] == ("True", "Completed")
    assert (True, "2/2", "5/5", 2) == (
        status["result"]["evaluatorsAgree"],
        status["display"]["nodes"],
        status["display"]["epoch"],
        status["world"]["attested"],
    )
    assert {"perDevice": 4, "accumulation": 1, "ranks": 2, "effective": 8} == status["batchPlan"]
    assert here == pytest.approx(there, abs=0.02)


def run_locally(job: Job, dataset: Claim, folder: Path) -> dict[str, Any]:
    """The status that the same job ends with as processes of this machine."""
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "rfdetr_operator.cli", "local", "run", str(file), "--plain"]
    command += ["--claim", f"data={dataset.folder}", "--state", str(folder / "state")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = next((folder / "state").rglob("job.json"))
    status: dict[str, Any] = json.loads(stored.read_text())["status"]
    return status


@pytest.mark.parametrize("rank", [1, 0])
def test_a_gracefully_deleted_pod_is_replaced_and_loses_no_step(
    kubectl: Kubectl, running: Watched, timings: Stopwatch, rank: int
) -> None:
    """All ranks save, the one is made again under its name, the other only waits; no restart is spent."""
    before, reached = read_uids(running), read_checkpoint_step(running.status())

    kubectl("-n", running.namespace, "delete", "pod", f"long-{rank}", "--wait=false")

    wait_for_recovery(running, reached, timings, f"rank {rank} deleted")
    after, restarts = read_uids(running), running.status()["restarts"]
    assert (False, True) == (
        after[f"long-{rank}"] == before[f"long-{rank}"],
        after[f"long-{1 - rank}"] == before[f"long-{1 - rank}"],
    )
    assert (0, 1) == (restarts["counted"], restarts["preemptions"])


def test_a_pod_that_is_deleted_by_force_is_replaced(kubectl: Kubectl, running: Watched, timings: Stopwatch) -> None:
    """The pod object is gone at once: the run goes on from the last durable step."""
    reached = read_checkpoint_step(running.status())

    kubectl("-n", running.namespace, "delete", "pod", "long-1", "--grace-period=0", "--force")

    wait_for_recovery(running, reached, timings, "force-deleted")
    assert 0 == running.status()["restarts"]["counted"]


def test_a_killed_container_spends_one_restart(own_cluster: Cluster, running: Watched, timings: Stopwatch) -> None:
    """kill -9 of process 1: the pod fails without a word and is replaced."""
    reached = read_checkpoint_step(running.status())

    own_cluster.kill_container(running.namespace, "long-1")

    wait_for_recovery(running, reached, timings, "kill -9")
    assert 1 == running.status()["restarts"]["counted"]


def test_a_suspended_job_saves_leaves_and_resumes_where_it_was(
    running: Watched, output: Claim, timings: Stopwatch
) -> None:
    """suspend: true for 10 s, then back: no pod meanwhile, a newer attempt after, no step lost."""
    running.patch({"suspend": True})
    timings.add("suspend to Suspended", running.wait_for_phase("Suspended", 120))
    assert [] == running.pods()
    assert ("True", "Suspended") == running.condition("Suspended")[:2]
    saved = max(int(path.stem.split("-s")[1][:8]) for path in output.folder.rglob("checkpoints/*.json"))
    time.sleep(10)
    assert [] == running.pods()

    running.patch({"suspend": False})

    timings.add(
        "resume to a newer checkpoint", running.wait("progress", lambda status: is_past(status, saved + 1), 240)
    )
    status = running.status()
    assert (2, 0, 0) == (status["attempt"], status["restarts"]["counted"], status["restarts"]["preemptions"])


def test_early_stopping_ends_as_complete(
    kubectl: Kubectl, namespace: str, data: Claim, pod_fields: PodFields, timings: Stopwatch
) -> None:
    """Patience 2 with a gain that nobody reaches: Complete with reason EarlyStopped, and the counter says 2/2."""
    stop = {"enabled": True, "patience": 2, "minDelta": 1.0}
    spec = {"training": {"epochs": 50, "earlyStopping": stop}}

    job = start(kubectl, namespace, make_job("early", pod_fields, spec))

    timings.add("apply to Complete", job.wait("the end", lambda status: status.get("phase") == "Succeeded", 400))
    kubectl("-n", namespace, "wait", "--for=condition=Complete", "rfj/early", "--timeout=5s")
    assert (("True", "EarlyStopped"), "2/2") == (
        job.condition("Complete")[:2],
        job.status()["display"]["patience"],
    )


def test_an_operator_that_dies_twice_harms_nothing(
    kubectl: Kubectl, operator: str, namespace: str, data: Claim, pod_fields: PodFields, timings: Stopwatch
) -> None:
    """Killed during the start and during the run: the job never notices."""

    def kill_operator() -> None:
        kubectl(
            "-n", operator, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force"
        )

    job = start(kubectl, namespace, make_job("steady", pod_fields, {"training": {"epochs": 12}}))
    kill_operator()
    timings.add("apply, operator killed, to Running", job.wait_for_phase("Running"))
    job.wait_for_step(5)
    before = read_uids(job)
    kill_operator()

    timings.add("Running to Complete", job.wait("the end", lambda status: status.get("phase") == "Succeeded", 400))
    assert (before, {"counted": 0, "nodeLosses": 0, "preemptions": 0, "process": 0}, 1) == (
        read_uids(job),
        job.status()["restarts"],
        job.status()["attempt"],
    )


MISTAKES = [
    pytest.param({"dataset": {"path": "nowhere"}}, "DataError", "nowhere", id="missing dataset"),
    pytest.param({"model": {"numClasses": 7}}, "DataError", "numClasses", id="wrong class count"),
    pytest.param(
        {"model": {"variant": "seg-nano", "resolution": 72, "overrides": {"patch_size": 12}}},
        "DataError",
        "segmentation",
        id="boxes only for a segmentation model",
    ),
    pytest.param({"model": {"overrides": {"hiden_dim": 64}}}, "ConfigError", "hiden_dim", id="unknown override"),
]


@pytest.mark.parametrize(("spec", "reason", "word"), MISTAKES)
def test_a_mistake_fails_in_one_sentence_without_a_restart(
    kubectl: Kubectl,
    namespace: str,
    data: Claim,
    pod_fields: PodFields,
    timings: Stopwatch,
    spec: dict[str, Any],
    reason: str,
    word: str,
) -> None:
    """Nothing is tried twice that cannot work."""
    job = start(kubectl, namespace, make_job("mistake", pod_fields, spec))
    started = time.monotonic()
    kubectl("-n", namespace, "wait", "--for=condition=Failed", "rfj/mistake", "--timeout=180s", seconds=200)
    timings.add("apply to Failed", time.monotonic() - started)

    status, found, message = job.condition("Failed")
    assert (("True", reason), True, False, 0) == (
        (status, found),
        word in message,
        "Traceback" in message,
        job.status()["restarts"]["counted"],
    )


def test_a_claim_that_is_not_there_is_named(
    kubectl: Kubectl, namespace: str, data: Claim, pod_fields: PodFields
) -> None:
    """Not accepted, with the claim's name, and no pod is made."""
    job = start(kubectl, namespace, make_job("unclaimed", pod_fields, {"dataset": {"claimName": "absent"}}))

    job.wait("not accepted", lambda _: job.condition("Accepted")[0] == "False", 60)
    assert (("ClaimNotFound", True), []) == (
        (job.condition("Accepted")[1], "absent" in job.condition("Accepted")[2]),
        job.pods(),
    )


def test_delete_leaves_no_child_behind(kubectl: Kubectl, running: Watched, output: Claim, timings: Stopwatch) -> None:
    """Pods and Service go with the job; the checkpoints stay."""
    started = time.monotonic()
    kubectl("-n", running.namespace, "delete", "rfj", "long", "--timeout=30s")
    while left := list_children(kubectl, running.namespace):
        assert time.monotonic() - started < 60, left
        time.sleep(0.5)
    timings.add("delete to no child", time.monotonic() - started)

    kept = sorted(path.suffix for path in output.folder.rglob("checkpoints/*"))
    assert {".ckpt", ".json"} == set(kept)


def list_children(kubectl: Kubectl, namespace: str) -> list[str]:
    """Every object of the namespace with our label."""
    found = kubectl("-n", namespace, "get", "pods,services,pvc", "-l", "rfdetr.io/job-name", "-o", "name")
    return found.split()


def test_what_a_user_sees(kubectl: Kubectl, running: Watched) -> None:
    """get, describe, logs and scale each do what their user expects."""
    table = kubectl("-n", running.namespace, "get", "rfj").splitlines()
    described = kubectl("-n", running.namespace, "describe", "rfj", "long")
    logs = kubectl("-n", running.namespace, "logs", "long-0")

    assert table[0].split() == ["NAME", "PHASE", "EPOCH", "MAP", "BEST", "PATIENCE", "ETA", "NODES", "RESTARTS", "AGE"]
    assert ["long", "Running"] == table[1].split()[:2]
    assert "Running" in described.split("Events:")[1]
    assert "round 1" in logs


def test_the_real_trainer_image_trains(
    kubectl: Kubectl, namespace: str, data: Claim, trainer_image: str, timings: Stopwatch
) -> None:
    """The image that users run, from apply to Complete."""
    pod = {"image": trainer_image, "imagePullPolicy": "IfNotPresent"}
    job = start(kubectl, namespace, make_job("image", pod, {"training": {"epochs": 1}}))

    timings.add("apply to Complete", job.wait("the end", lambda status: status.get("phase") == "Succeeded", 400))
    assert ("True", "Completed") == job.condition("Complete")[:2]


def test_a_preempted_job_counts_in_its_conditions(kubectl: Kubectl, running: Watched) -> None:
    """While a rank is away the job says Restarting, and afterwards that it is over."""
    kubectl("-n", running.namespace, "delete", "pod", "long-1", "--wait=false")

    running.wait("Restarting", lambda status: status.get("phase") == "Restarting", 60)
    running.wait_for_phase("Running")
    assert "False" == running.condition("Restarting")[0]
    assert merge({}, running.status()["restarts"])["preemptions"] == 1
