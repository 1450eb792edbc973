"""A real training, scraped from its first second to its last: what is served, and that no counter falls when a rank dies."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from exposition_check import list_problems
from integration.launcher_pods import Cluster, Pod
from integration.test_training import make_run
from rfdetr_contract.metrics import TRAINER
from rfdetr_contract.report import ExitCode
from rfdetr_contract.run import CheckpointRun, EarlyStoppingRun, RunConfig, Topology
from rfdetr_trainer.launch.spawn import PRELOAD

NEED_A_GPU = {"rfdetr_train_gpu_memory_allocated_bytes", "rfdetr_train_gpu_memory_peak_bytes"}
PAUSE = 0.25  # seconds between two scrapes


def make_watched_run() -> RunConfig:
    """Two ranks of one pod, four epochs, a checkpoint every fifth step, early stopping that does not come to it."""
    run = make_run(ranks=2, epochs=4, stopping=EarlyStoppingRun(enabled=True, patience=50))
    training = run.training.model_copy(update={"overrides": {"log_per_class_metrics": True, "compute_val_loss": True}})
    return run.model_copy(
        update={
            "topology": Topology(nodes=1, processes_per_node=2, accelerator="cpu"),
            "checkpoints": CheckpointRun(every_steps=5),
            "training": training,
        }
    )


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Its launcher, with RF-DETR preloaded."""
    write_digits(tmp_path / "digits", Recipe(train=32, valid=8))
    made = Cluster(tmp_path, make_watched_run(), {})
    yield made.start(0, RFDETR_WORKER_MODULE="rfdetr_trainer.worker", RFDETR_PRELOAD=PRELOAD)
    made.close()


def scrape(port: str) -> str | None:
    """The text of ``/metrics``; None: nobody answers any more."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return None


def read_series(text: str) -> dict[str, float]:
    """Values by name and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


def watch(pod: Pod, kill_at: int) -> list[dict[str, float]]:
    """Every scrape until the end; at this step one rank is killed."""
    port = pod.wait_for(r"serving /metrics on port (\d+)").group(1)
    seen: list[dict[str, float]] = []
    killed = False
    while (text := scrape(port)) is not None:
        assert [] == list_problems(text, TRAINER)
        seen.append(read_series(text))
        if not killed and seen[-1].get("rfdetr_train_step", 0) >= kill_at:
            os.kill(find_children(pod.process.pid)[-1], signal.SIGKILL)
            killed = True
        time.sleep(PAUSE)
    return seen


def find_children(launcher: int) -> list[int]:
    """The workers: children of the fork server, in the order of their start."""
    (server,) = (Path(f"/proc/{launcher}/task/{launcher}/children")).read_text().split()
    return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def test_a_training_is_told_from_its_first_second_to_its_last(pod: Pod) -> None:
    """Every name of the contract that needs no GPU is served; counters only grow, though a rank was killed on the way."""
    began = time.time()
    seen = watch(pod, kill_at=13)
    assert ExitCode.OK == pod.end(), pod.text
    lived = time.time() - began

    served = {series.partition("{")[0] for scrape in seen for series in scrape}
    names = {metric.name for metric in TRAINER if metric.kind != "histogram"}
    last = seen[-1]
    print(f"\n{len(seen)} scrapes of {len(last)} series in {lived:.1f} s")
    assert NEED_A_GPU == names - served
    assert {} == find_falls(seen)
    assert {32, 4} == {last["rfdetr_train_step"], last["rfdetr_train_epoch"]}
    # What the killed rank had counted since its last message, half a second before, is not known.
    assert 32 <= last["rfdetr_train_steps_total"] <= 32 + last["rfdetr_steps_redone_total"]
    assert 4 * last["rfdetr_train_steps_total"] == last["rfdetr_train_samples_total"]
    assert 1 == last['rfdetr_process_restarts_total{reason="Crashed"}']
    assert lived == pytest.approx(sum(pod.report().seconds.values()), rel=0.02, abs=0.5)


def find_falls(seen: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Counters that went down or away between two scrapes."""
    counters = tuple(metric.name for metric in TRAINER if metric.kind != "gauge")
    return {
        series: (value, after.get(series, -1))
        for before, after in pairwise(seen)
        for series, value in before.items()
        if series.startswith(counters) and after.get(series, -1) < value
    }
