"""The operator's metrics: by the contract, bounded by the jobs that live, and correct for the real checker."""

from __future__ import annotations

import re
import subprocess
import time

from builders import (
    JOB,
    NAMESPACE,
    START,
    later,
    make_crashed,
    make_job,
    make_progress,
    make_report,
    make_worker,
    run_job,
    run_plan,
    with_status,
)
from programs import need
from rfdetr_contract.metrics import OPERATOR
from rfdetr_contract.report import CheckpointState
from rfdetr_operator.api.v1alpha1 import Status, TrainingJob
from rfdetr_operator.core.job_view import build_view, keep_progress_time
from rfdetr_operator.core.model import Worker
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.metrics import Metrics
from rfdetr_operator.shell.reconcile import Seen

KEY = Key(NAMESPACE, JOB)
OURS = re.compile(rf'namespace="{NAMESPACE}",job_name="{JOB}",?')


def see(job: TrainingJob, *workers: Worker, stored: Status | None = None, seconds: float = 0) -> Seen:
    """What a pass saw."""
    view = build_view(job.metadata, job.spec, job.status, workers)
    return Seen(later(seconds), stored or job.status, job.status, view)


def read(metrics: Metrics) -> dict[str, float]:
    """Samples of the job, without its own labels."""
    lines = [line for line in metrics.render().decode().splitlines() if OURS.search(line)]
    return {
        OURS.sub("", name).removesuffix("{}"): float(value) for name, value in (line.rsplit(" ", 1) for line in lines)
    }


def make_long_run() -> tuple[TrainingJob, Worker]:
    """A job with progress and a checkpoint, and a pod that waited 4 s for a node and 9 s for its image."""
    saved = CheckpointState(step=30, epoch=3, time=later(50).timestamp(), size=1, file="a.ckpt")
    progress = make_progress().model_copy(update={"checkpoint": saved})
    report = make_report(progress=progress, time=later(60).timestamp(), process_restarts=2)
    job = run_job()
    job = with_status(job, run_plan(job, make_worker(0), make_worker(1), report=report))
    return job, make_worker(0, created=START, scheduled=later(4), started=later(13))


def test_what_is_told_of_a_job() -> None:
    """Every sample of it."""
    metrics = Metrics()
    job, worker = make_long_run()
    metrics.observe_job(KEY, see(job, worker))
    found = read(metrics)

    phases = {name: value for name, value in found.items() if name.startswith("rfdetr_job_status_phase")}
    conditions = {name for name, value in found.items() if "condition" in name and value}
    assert 1 == sum(phases.values()) == phases['rfdetr_job_status_phase{phase="Running"}']
    assert {
        'rfdetr_job_status_condition{condition="Accepted",status="true"}',
        'rfdetr_job_status_condition{condition="Running",status="true"}',
    } == conditions
    assert {
        'rfdetr_job_info{uid="job-uid",model="medium",dataset_format="auto"}': 1,
        "rfdetr_job_started_timestamp_seconds": START.timestamp(),
        "rfdetr_job_last_progress_timestamp_seconds": later(60).timestamp(),
        "rfdetr_job_last_checkpoint_timestamp_seconds": later(50).timestamp(),
        "rfdetr_job_nodes_desired": 2,
        "rfdetr_job_nodes_ready": 1,
        'rfdetr_job_startup_seconds{stage="queue"}': 4,
        'rfdetr_job_startup_seconds{stage="pull"}': 9,
        'rfdetr_job_restarts_total{reason="WorkerFailed"}': 0,
        'rfdetr_job_restarts_total{reason="Preempted"}': 0,
        'rfdetr_job_restarts_total{reason="NodeLost"}': 0,
        'rfdetr_job_restarts_total{reason="ProcessRestart"}': 2,
        "rfdetr_job_resizes_total": 0,
    } == {name: value for name, value in found.items() if "_status_" not in name}


def test_telling_the_same_again_is_no_progress() -> None:
    """An alert for a run that stands still must not be put off by reports that come."""
    before = make_long_run()[0].status
    assert before.progress is not None
    again = before.progress.model_copy(update={"reported_time": "2026-01-02T04:00:00Z"})
    further = again.model_copy(update={"step": 31})
    kept, new = (
        keep_progress_time(before, before.model_copy(update={"progress": each})).progress for each in (again, further)
    )

    assert (before.progress, further) == (kept, new)


def test_the_series_of_a_job_go_with_it() -> None:
    """Ten thousand jobs came and went: what is left is what an operator without jobs says."""
    metrics = Metrics()
    empty = metrics.render()
    job, worker = make_long_run()
    seen = see(job, worker)
    largest = 0
    for n in range(10_000):
        metrics.observe_job(Key(NAMESPACE, f"job-{n}"), seen)
        if n >= 10:
            metrics.observe_job(Key(NAMESPACE, f"job-{n - 10}"), None)
        if n % 1000 == 999:
            largest = max(largest, len(metrics.render().splitlines()))
    for key in metrics.find_gone(frozenset()):
        metrics.observe_job(key, None)

    assert (empty, True) == (metrics.render(), largest < 10 * 60 + len(empty.splitlines()))


def test_a_job_that_left_without_a_word_is_found_with_the_next_list() -> None:
    """Its last event may be lost with a watch: a pass over it will see that it is gone."""
    metrics = Metrics()
    seen = see(*make_long_run())
    metrics.observe_job(Key("a", "stays"), seen)
    metrics.observe_job(Key("a", "left"), seen)

    assert frozenset({Key("a", "left")}) == metrics.find_gone(frozenset({Key("a", "stays"), Key("a", "new")}))


def test_a_recovery_lasts_from_the_loss_to_the_last_rank_that_runs() -> None:
    """Measured between two passes."""
    metrics = Metrics()
    running = run_job()
    lost = with_status(running, run_plan(running, make_worker(0), make_crashed(1)))
    metrics.observe_job(KEY, see(running))
    metrics.observe_job(KEY, see(lost, stored=running.status, seconds=10))
    metrics.observe_job(KEY, see(lost, seconds=12))
    metrics.observe_job(KEY, see(running, stored=lost.status, seconds=16.5))
    metrics.observe_job(KEY, see(running, seconds=20))

    text = metrics.render().decode()
    assert "rfdetr_job_recovery_duration_seconds_sum 6.5\n" in text
    assert "rfdetr_job_recovery_duration_seconds_count 1.0\n" in text


def test_a_new_operator_knows_of_a_loss_before_its_time() -> None:
    """From the status: whole seconds."""
    metrics = Metrics()
    running = run_job()
    lost = with_status(running, run_plan(running, make_worker(0), make_crashed(1), now=later(10)))
    metrics.observe_job(KEY, see(lost, seconds=30))
    metrics.observe_job(KEY, see(running, seconds=31))

    assert "rfdetr_job_recovery_duration_seconds_sum 21.0\n" in metrics.render().decode()


def test_no_word_of_a_user_is_a_label() -> None:
    """Names of objects, and values of closed lists."""
    labels = {label for each in OPERATOR for label in each.labels}

    allowed = (
        "namespace job_name uid model dataset_format phase condition status stage reason verb resource code result"
    )
    assert {*allowed.split(), "version", "revision", "python"} == labels


def make_busy() -> Metrics:
    """An operator that has everything to tell."""
    metrics = Metrics()
    metrics.tell_build("0.1.0", "abc")
    metrics.observe_call("get", "pods", "200")
    metrics.observe_pass("ok", 0.01)
    metrics.watch("rfdetr_operator_leader", lambda: True)
    metrics.sample()
    metrics.observe_job(KEY, see(*make_long_run()))
    metrics.observe_job(Key("other", "fresh"), see(make_job()))
    return metrics


def test_promtool_has_no_complaint() -> None:
    """The checker of Prometheus itself."""
    checked = subprocess.run(
        [need("promtool"), "check", "metrics"], input=make_busy().render(), capture_output=True, check=False, timeout=60
    )

    assert (0, b"") == (checked.returncode, checked.stdout + checked.stderr)


def test_every_family_is_told_once_with_its_help_and_type() -> None:
    """In one piece, as the text format asks; and only names of the list."""
    families: list[str] = []
    for line in make_busy().render().decode().splitlines():
        if line.startswith("# TYPE"):
            families.append(line.split()[2])
        elif not line.startswith("#"):
            name = re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0])
            assert families[-1] == name

    assert sorted(each.name for each in OPERATOR) == sorted(families)


def test_a_scrape_of_a_thousand_jobs_costs_little() -> None:
    """After the first one it is a join of lines that are there: the bound is generous, for slow machines."""
    metrics = Metrics()
    seen = see(*make_long_run())
    for n in range(1000):
        metrics.observe_job(Key(NAMESPACE, f"job-{n}"), seen)
    first = metrics.render()
    began = time.process_time()
    again = metrics.render()

    assert (first, True) == (again, time.process_time() - began < 0.2)
