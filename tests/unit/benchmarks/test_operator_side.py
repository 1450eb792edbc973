"""What is read of the operator: its memory, its writes, and the stand-in that it talks to."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_writes, clusters, operator_footprint, writes_local, writes_real
from benchmarks.stand_in import open_stand_in
from cluster.jobs import make_job
from rfdetr_contract import names


def make_line(verb: str, resource: str, *, user: str = "operator", namespace: str = "jobs", sub: str = "") -> str:
    target = {"resource": resource, "namespace": namespace} | ({"subresource": sub} if sub else {})
    return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": target})


def test_the_audit_log_is_counted_for_one_user_in_one_namespace() -> None:
    """Other users, other namespaces and writes without an object are left out."""
    lines = [
        make_line("create", "services"),
        make_line("create", "pods"),
        make_line("create", "pods"),
        make_line("patch", names.PLURAL, sub="status"),
        make_line("create", "events"),
        make_line("patch", "events"),
        make_line("create", "pods", user="kubectl"),
        make_line("create", "pods", namespace="other"),
        json.dumps({"verb": "create", "user": {"username": "operator"}}),
    ]
    expected = Counter(
        {"create services": 1, "create pods": 2, "patch rfdetrtrainingjobs/status": 1, api_writes.EVENTS: 2}
    )

    assert expected == writes_real.count_lines(lines, "operator", "jobs")


def test_events_do_not_count_as_writes() -> None:
    """A Service, two pods and two status writes are the bound of two nodes."""
    counted = {"create Service": 1, "create Pod": 2, "patch status": 2, api_writes.EVENTS: 3}

    assert (5, 5) == (api_writes.count_writes(counted), api_writes.count_bound(nodes=2))


def test_a_local_job_comes_to_running_with_one_write_a_child_and_two_of_the_status(tmp_path: Path) -> None:
    """The very reconcile of the operator, over pods that only wait."""
    counted = writes_local.count_job(tmp_path, make_job("writes", {}, {"nodes": 2}))
    del counted["events"]

    assert {"create Service": 1, "create Pod": 2, "patch status": 2} == counted


def test_resident_memory_is_read_in_mebibytes() -> None:
    """VmRSS is in kB of 1024 bytes."""
    assert 66.5 == operator_footprint.parse_rss("Name:\tpython\nVmHWM:\t  90000 kB\nVmRSS:\t   68096 kB\n")


def test_the_operators_credentials_replace_the_administrators() -> None:
    """No certificate of the administrator stays in the file."""
    admin = {"clusters": [{"name": "c"}], "users": [{"name": "admin", "user": {"client-key-data": "secret"}}]}
    expected = {"clusters": [{"name": "c"}], "users": [{"name": "admin", "user": {"token": "t"}}]}

    assert expected == clusters.build_kubeconfig(admin, "t")


def test_the_stand_in_answers_discovery_and_lists_and_says_what_is_not_there(tmp_path: Path) -> None:
    """Our resource is found and empty; an unknown path is a 404."""

    def get(url: str) -> dict[str, Any]:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    with open_stand_in(tmp_path) as site:
        server = json.loads(site.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        kinds = [each["kind"] for each in get(f"{server}/apis/{names.API_VERSION}")["resources"]]
        listed = get(f"{server}/apis/{names.API_VERSION}/{names.PLURAL}")
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{server}/apis/nothing")
        caught.value.close()

    expected = {"kind": f"{names.KIND}List", "metadata": {"resourceVersion": "1"}, "items": []}
    assert ([names.KIND, names.KIND], expected, 404) == (kinds, listed, caught.value.code)
