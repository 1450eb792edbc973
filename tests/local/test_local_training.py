"""RF-DETR itself in local mode: preempted, killed, and complete all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from examples.data.digits import Recipe, write_digits
from local.machines import processes_with
from rfdetr_contract.report import Outcome, RunReport
from rfdetr_operator.api.v1alpha1 import TrainingJob, parse_job

MANIFEST = """\
apiVersion: rfdetr.io/v1alpha1
kind: RFDETRTrainingJob
metadata: {name: smoke}
spec:
  nodes: 2
  gpusPerNode: 0
  model:
    variant: nano
    resolution: 64
    numClasses: 2
    pretrainWeights: none
    overrides: {patch_size: 16, num_windows: 1, out_feature_indexes: [1, 2], hidden_dim: 64, dec_layers: 1,
                num_queries: 10, num_select: 10, group_detr: 1}
  dataset: {claimName: digits}
  training:
    epochs: 3
    effectiveBatchSize: 4
    numWorkers: 0
    overrides: {multi_scale: false, expanded_scales: false, scale_jitter: false, aug_config: {}}
  checkpoints: {claimName: runs, everySteps: 3}
"""


class Finished:
    """What a run of the command left."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        write_digits(root / "claims" / "digits", Recipe(train=40, valid=8))
        file = root / "smoke.yaml"
        file.write_text(MANIFEST)
        command = [sys.executable, "-m", "rfdetr_operator.cli", "local", "run", str(file), "--state", str(root)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)
        logs = "".join(path.read_text() for path in sorted(root.glob("default/smoke/pods/*.log")))
        self.code, self.words = done.returncode, f"{done.stdout}{done.stderr}{logs}"

    @property
    def job(self) -> TrainingJob:
        """The job as stored."""
        return parse_job(json.loads((self.root / "default/smoke/job.json").read_text()))

    @property
    def report(self) -> RunReport:
        """The report on the claim."""
        folder = self.root / "claims/runs/default/smoke" / self.job.metadata.uid
        return RunReport.model_validate_json((folder / "result.json").read_text())


def test_a_training_survives_a_preemption_and_a_kill_and_is_judged(tmp_path: Path) -> None:
    """Rank 1 is reclaimed, rank 0 is killed; the third generation ends what the first began."""
    finished = Finished(tmp_path, "--preempt", "1@step:5", "--kill", "0@step:16")
    job, words = finished.job, finished.words

    assert 0 == finished.code, words
    assert ("Succeeded", "3/3") == (job.status.phase, job.status.display.epoch if job.status.display else None)
    assert job.status.restarts is not None
    assert (1, 1) == (job.status.restarts.preemptions, job.status.restarts.counted), words
    assert (Outcome.COMPLETED, 3) == (finished.report.outcome, finished.report.generation), words
    assert 5 <= (finished.report.resumed_step or 0) < 30
    assert job.status.result is not None
    assert job.status.result.evaluators_agree is True
    assert (tmp_path / "claims/runs" / str(job.status.result.best_checkpoint)).is_file()
    assert [] == processes_with(str(tmp_path))
