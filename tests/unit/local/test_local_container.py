"""A pod's manifest becomes a container of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rfdetr_operator.shell.local_container import (
    Container,
    Place,
    Ports,
    Unsupported,
    build_container,
    rewrite_argument,
    rewrite_path,
)

PORTS = Ports(rendezvous=20000, http=(20001, 20002))
PLACE = Place(
    folder=Path("/state/pods/shelves-1/abc"),
    scratch=Path("/scratch"),
    threads=1,
    claims={"data": Path("/disk/data"), "runs": Path("/disk/runs")},
    ports=PORTS,
)
ANNOTATION = "rfdetr.io/run-config"


def make_pod(**container: object) -> dict[str, Any]:
    """The pod of node rank 1 with claims for data and output and a config from an annotation."""
    return {
        "metadata": {
            "name": "shelves-1",
            "namespace": "default",
            "uid": "abc",
            "labels": {"rfdetr.io/job-name": "shelves", "rfdetr.io/node-rank": "1"},
            "annotations": {ANNOTATION: "{}"},
        },
        "spec": {
            "containers": [
                {
                    "name": "trainer",
                    "command": ["python", "-m", "rfdetr_trainer.launch", "--node-rank=1"],
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        {"name": "output", "mountPath": "/output"},
                        {"name": "run", "mountPath": "/etc/rfdetr"},
                        {"name": "tmp", "mountPath": "/tmp"},
                    ],
                    **container,
                }
            ],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "output", "persistentVolumeClaim": {"claimName": "runs"}},
                {
                    "name": "run",
                    "downwardAPI": {
                        "items": [
                            {"path": "run.json", "fieldRef": {"fieldPath": f"metadata.annotations['{ANNOTATION}']"}}
                        ]
                    },
                },
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def keep(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command as it is."""
    return argv


def test_a_container_is_the_manifest_with_the_paths_of_this_machine() -> None:
    """Mounts, downward API, ports and the base environment, in one object."""
    env = [
        {"name": "RFDETR_DATA_ROOT", "value": "/data"},
        {"name": "RFDETR_RUN_CONFIG", "value": "/etc/rfdetr/run.json"},
        {"name": "RFDETR_TERMINATION_LOG", "value": "/dev/termination-log"},
        {"name": "RFDETR_HTTP_PORT", "value": "9400"},
        {"name": "RFDETR_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "WORD", "value": "/database"},
    ]

    container = build_container(make_pod(env=env), PLACE, {"PATH": "/bin", "SECRET": "x"}, keep)

    volumes = PLACE.folder / "volumes"
    assert container == Container(
        argv=("python", "-m", "rfdetr_trainer.launch", "--node-rank=1"),
        env={
            "PATH": "/bin",
            "TMPDIR": "/scratch",
            "OMP_NUM_THREADS": "1",
            "RFDETR_DATA_ROOT": "/disk/data",
            "RFDETR_RUN_CONFIG": str(volumes / "run/run.json"),
            "RFDETR_TERMINATION_LOG": str(PLACE.folder / "termination-log"),
            "RFDETR_HTTP_PORT": "20002",
            "RFDETR_POD_UID": "abc",
            "WORD": "/database",
        },
        cwd=PLACE.folder,
        termination=PLACE.folder / "termination-log",
        folders=(
            PLACE.folder,
            PLACE.scratch,
            Path("/disk/data"),
            Path("/disk/runs"),
            volumes / "run",
            volumes / "tmp",
        ),
        files=((volumes / "run/run.json", "{}"),),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/data", "/disk/data"),
        ("/data/coco/train", "/disk/data/coco/train"),
        ("/data/deep/x", "/disk/deep/x"),
        ("/database", "/database"),
        ("say /data", "say /data"),
    ],
)
def test_a_value_below_a_mount_moves_with_it(value: str, expected: str) -> None:
    """Only a whole value is a path, and the deepest mount wins."""
    mounts = {"/data": Path("/disk/data"), "/data/deep": Path("/disk/deep")}

    assert expected == rewrite_path(value, mounts)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--master-addr=shelves-0.shelves-ranks.default.svc", "--master-addr=127.0.0.1"),
        ("--master-addr=10.0.0.1", "--master-addr=10.0.0.1"),
        ("--master-port=29500", "--master-port=20000"),
        ("--nnodes=2", "--nnodes=2"),
    ],
)
def test_service_names_are_the_loopback(argument: str, expected: str) -> None:
    """The rendezvous is on this machine, at the job's own port."""
    assert expected == rewrite_argument(argument, "shelves", PORTS)


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        ({"envFrom": [{"secretRef": {}}]}, "pod.envFrom needs a cluster"),
        ({"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {}}}]}, "pod.env KEY: valueFrom secretKeyRef"),
        ({"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}, "'spec.nodeName'"),
    ],
)
def test_what_only_a_cluster_has_is_refused(container: dict[str, Any], sentence: str) -> None:
    """Nothing is silently left out of a container."""
    with pytest.raises(Unsupported, match=sentence):
        build_container(make_pod(**container), PLACE, {}, keep)
