"""The whole command over toy containers: real plan, real reconcile, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from local.machines import processes_with

RUN_TOY = Path(__file__).with_name("run_toy.py")
SPEC = """\
apiVersion: rfdetr.io/v1alpha1
kind: RFDETRTrainingJob
metadata: {name: toy}
spec:
  nodes: 2
  gpusPerNode: 0
  model: {variant: nano}
  dataset: {claimName: data}
  training: {epochs: EPOCHS, effectiveBatchSize: 8}
  checkpoints: {claimName: runs}
  pod: {terminationGracePeriodSeconds: 10, nodeSelector: {disk: fast}}
"""


class Runner:
    """A root with a dataset claim and one manifest."""

    def __init__(self, root: Path, epochs: int) -> None:
        self.root = root / "state"
        self.file = root / "toy.yaml"
        (self.root / "claims" / "data").mkdir(parents=True)
        self.write(epochs)

    def write(self, epochs: int) -> None:
        """The manifest with so many epochs of 10 steps of 20 ms."""
        self.file.write_text(SPEC.replace("EPOCHS", str(epochs)))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """The command, running."""
        command = [sys.executable, str(RUN_TOY), str(self.file), str(self.root), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *options: str) -> tuple[int, str]:
        """The command to its end: exit code and output."""
        with self.start(*options) as process:
            output, _ = process.communicate(timeout=60)
        return process.returncode, output

    @property
    def job(self) -> dict[str, Any]:
        """The job as stored."""
        found: dict[str, Any] = json.loads((self.root / "default/toy/job.json").read_text())
        return found

    def log(self, rank: int) -> list[str]:
        """What a rank's containers said."""
        return (self.root / f"default/toy/pods/toy-{rank}.log").read_text().splitlines()

    def wait_for_step(self, step: int) -> None:
        """Until the stored status is at a step."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.job["status"]["progress"]["step"] >= step:
                    return
            except (FileNotFoundError, KeyError):
                pass
            time.sleep(0.05)
        pytest.fail(f"step {step} was not reached: {self.job}")


def test_a_preempted_and_a_killed_rank_are_replaced_and_the_run_completes(tmp_path: Path) -> None:
    """The preemption saves and spends nothing; the kill loses its steps and spends one restart."""
    runner = Runner(tmp_path, epochs=8)

    code, output = runner.run("--preempt", "1@epoch:2", "--kill", "0@step:40")

    status = runner.job["status"]
    assert 0 == code, output
    assert ("Succeeded", "8/8") == (status["phase"], status["display"]["epoch"])
    assert {"counted": 1, "preemptions": 1, "process": 0, "nodeLosses": 0} == status["restarts"]
    assert ["rank 0 from step 0"] * 2 == runner.log(0)
    assert 2 == len(runner.log(1))
    assert "rank 1 from step 0" != runner.log(1)[1]
    assert "without effect on this machine: pod.nodeSelector" in output
    assert "mAP 50:95        0.9000 by COCOeval; RF-DETR's own evaluator agrees" in output
    assert [] == processes_with(str(runner.root))


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """Exit 75 the first time, 0 the second; the uid and so the folder stay; a third run has nothing to do."""
    runner = Runner(tmp_path, epochs=15)
    with runner.start() as process:
        runner.wait_for_step(20)
        process.send_signal(signal.SIGINT)
        suspended, _ = process.communicate(timeout=30)
    uid, phase = runner.job["metadata"]["uid"], runner.job["status"]["phase"]
    code, output = runner.run()
    again, words = runner.run()

    assert (75, "Suspended") == (process.returncode, phase), suspended
    assert "saved and suspended; the same command goes on from there" in suspended
    assert (0, "Succeeded", uid) == (code, runner.job["status"]["phase"], runner.job["metadata"]["uid"]), output
    assert 20 <= int(runner.log(0)[1].split()[-1])
    assert 0 == again
    assert "job toy has already ended; start it afresh with: rfdetrctl local clean toy" in words


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    """Exit 130, and no process is left."""
    runner = Runner(tmp_path, epochs=500)
    with runner.start() as process:
        runner.wait_for_step(5)
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert 130 == process.returncode, output
    assert [] == processes_with(str(runner.root))


def test_kill_9_of_the_command_leaves_no_process_behind_and_the_next_run_resumes(tmp_path: Path) -> None:
    """Containers die with their runner; the lock dies too, and the pods count as lost, not as failed."""
    runner = Runner(tmp_path, epochs=30)
    with runner.start() as process:
        runner.wait_for_step(20)
        busy, sentence = runner.run()
        process.kill()
        process.communicate(timeout=30)
    deadline = time.monotonic() + 5
    while processes_with(str(runner.root)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = processes_with(str(runner.root))
    runner_again = runner.run("--timeout", "1")

    assert 64 == busy
    assert f"job default/toy is already being run here, by process {process.pid}" in sentence
    assert [] == left
    assert 75 == runner_again[0], runner_again[1]


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    """As the API server would: other epochs are another job."""
    runner = Runner(tmp_path, epochs=500)
    runner.run("--timeout", "0.5")
    runner.write(epochs=501)
    code, output = runner.run()

    assert 64 == code
    assert "spec.training: cannot be changed after creation" in output


def test_a_dataset_claim_without_a_folder_is_refused(tmp_path: Path) -> None:
    """The sentence names the folder and the option."""
    runner = Runner(tmp_path, epochs=1)
    (runner.root / "claims" / "data").rmdir()
    code, output = runner.run()

    assert 64 == code
    assert f"claim 'data' has no folder here: make {runner.root / 'claims/data'}, or name one with --claim" in output
    assert not (runner.root / "default/toy/job.json").exists()
