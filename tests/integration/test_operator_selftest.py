"""``python -m rfdetr_operator selftest`` and reports by way of the API server, against an API server over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from builders import make_progress, make_report, make_worker
from fake_api import FakeApi
from fake_cluster import KEY
from operator_stage import ROOT, Stage, find_port, is_write, play, serve, write_kubeconfig
from rfdetr_contract.report import RunReport
from rfdetr_operator.core.rights import Duties, Right, choose_rights
from rfdetr_operator.shell.kubernetes import connect
from rfdetr_operator.shell.proxied_reports import ProxiedReports

REPORT = make_report(progress=make_progress())


async def check(stage: Stage, folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of the self-test."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "RFDETR_KUBECONFIG": str(write_kubeconfig(folder, stage.api_port)),
        "RFDETR_LEADER_ELECTION": "true",
        "POD_NAMESPACE": "system",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rfdetr_operator", "selftest", *words, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def test_a_sound_installation_passes_and_nothing_is_stored(tmp_path: Path) -> None:
    """One line a check; the job is tried and not kept."""

    async def scene(stage: Stage) -> None:
        url = f"http://127.0.0.1:{stage.http_port}/metrics"
        await stage.until_ready()
        code, text = await check(stage, tmp_path, "--namespace", "team", "--metrics-url", url)

        assert (0, set()) == (code, {line[:4] for line in text.splitlines()} - {"ok  "})
        assert text.startswith("ok   a job is accepted in team (dry run)\n")
        assert [] == [key for key in stage.api.objects if key[0] == "rfdetrtrainingjobs"]

    play(tmp_path, scene)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A right that was not granted, and metrics that nobody serves."""

    async def scene(stage: Stage) -> None:
        stage.api.denied = {("create", "pods"), ("patch", "rfdetrtrainingjobs/status")}
        code, text = await check(stage, tmp_path, "--metrics-url", f"http://127.0.0.1:{find_port()}/metrics")
        failed = [line.split(": ")[0] for line in text.splitlines() if line.startswith("FAIL")]

        assert (1, ["FAIL may create pods", "FAIL may patch rfdetrtrainingjobs/status.rfdetr.io"]) == (code, failed[:2])
        assert failed[2].startswith("FAIL metrics at")

    play(tmp_path, scene)


def test_an_operator_of_namespaces_asks_for_no_nodes() -> None:
    """Its rights stand in each of them."""
    found = choose_rights(Duties(namespaces=("a", "b"), through_proxy=True, nodes=False, lease=("system", "ours")))

    assert {"a", "b", "system"} == {each.namespace for each in found}
    assert Right("get", "", "pods/proxy", "b") in found
    assert [
        Right("create", "coordination.k8s.io", "leases", "system"),
        Right("get", "coordination.k8s.io", "leases", "system", "ours"),
        Right("update", "coordination.k8s.io", "leases", "system", "ours"),
    ] == list(found[-3:])


def read(folder: Path, said: str | None) -> tuple[RunReport | None, list[str]]:
    """What is heard of a pod through the API server, and the paths that were asked for."""
    api = FakeApi()
    if said is not None:
        api.reports["shelves-0:9400"] = said

    async def run() -> RunReport | None:
        port = find_port()
        runner = await serve(api, port)
        connection = await connect(str(write_kubeconfig(folder, port)), lambda _verb, _resource, _code: None)
        try:
            return await ProxiedReports(connection).read(KEY, make_worker(0))
        finally:
            await connection.close()
            await runner.cleanup()

    report = asyncio.run(run())
    assert not any(is_write(seen) for seen in api.seen)
    return report, [seen.path for seen in api.seen]


def test_a_report_is_read_through_the_api_server(tmp_path: Path) -> None:
    """For an operator that does not reach the pods' network."""
    path = "/api/v1/namespaces/team/pods/shelves-0:9400/proxy/report"

    assert (REPORT, [path]) == read(tmp_path, REPORT.model_dump_json())


@pytest.mark.parametrize("said", [None, "nonsense", '{"surprise": 1}', " " * 70000 + REPORT.model_dump_json()])
def test_nothing_else_is_believed(tmp_path: Path, said: str | None) -> None:
    """The same limits hold as over the pod's address."""
    assert read(tmp_path, said)[0] is None
