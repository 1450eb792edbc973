"""A job that begins from another run's work: its full state, RF-DETR's own last.ckpt, or weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rfdetr import RFDETRNano

from examples.data.digits import Recipe, write_digits
from integration.one_rank import Job, alone, build_job
from integration.test_training import is_equal
from rfdetr_contract.report import Outcome
from rfdetr_contract.run import EarlyStoppingRun, ResumeRun
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.outcome import End
from runs import SMALL

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's and Lightning's own, of a training inside this process
STEPS = 5  # of an epoch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data set, and torchrun's environment of the only rank."""
    folder = tmp_path_factory.mktemp("sources")
    with alone(folder):
        yield folder


@pytest.fixture(scope="module")
def done(home: Path) -> Job:
    """A job of two epochs that has ended."""
    job = build_job(home, "claim")
    end = job.go()
    assert isinstance(end, End)
    assert Outcome.COMPLETED == end.outcome
    return job


def follow(job: Job, uid: str, source: str, **training: Any) -> Job:
    """Another job on the same claim that begins from ``source``."""
    run = job.run.model_copy(
        update={
            "output": f"n/j/{uid}",
            "resume": ResumeRun(source=source),
            "training": job.run.training.model_copy(update=training),
        }
    )
    return replace(job, run=run)


def test_another_jobs_full_state_is_gone_on_from_and_the_config_beats_it(done: Job) -> None:
    """One more epoch; weight decay is this job's, the learning rate the schedule's, and the best is its own."""
    job = follow(done, "third", "n/j/u", epochs=3, weight_decay=0.5, learning_rate=7e-3)

    job.go()

    groups = [leaf for path, leaf in job.read().items() if "/param_groups/" in path and path.endswith("/weight_decay")]
    rates = [leaf for path, leaf in job.read().items() if path.endswith("/initial_lr")]
    report = job.report()
    assert (Outcome.COMPLETED, 3, 3 * STEPS, 3) == (
        report["outcome"],
        report["epoch"],
        report["step"],
        report["best"]["epoch"],
    )
    assert ({0.0, 0.5}, True) == (set(groups) | {0.0}, 7e-3 not in rates)
    assert (job.folder.rfdetr / "checkpoint_best_total.pth").is_file()


@pytest.mark.parametrize(
    ("training", "outcome"),
    [
        ({"epochs": 1}, Outcome.COMPLETED),
        ({"epochs": 9, "early_stopping": EarlyStoppingRun(enabled=True, patience=1)}, Outcome.EARLY_STOPPED),
    ],
)
def test_a_config_that_asks_for_no_more_trains_nothing(done: Job, training: dict[str, Any], outcome: Outcome) -> None:
    """Fewer epochs than are done, or less patience than was waited."""
    job = follow(done, f"less-{training['epochs']}", "n/j/u", **training)

    job.go()

    assert (outcome, 2 * STEPS) == (job.report()["outcome"], job.report()["step"])


def test_a_finished_run_is_finished_for_its_restart(done: Job) -> None:
    """No step is added, and the outcome is the same."""
    before = done.report()

    done.go()

    assert before == done.report()


def test_rfdetrs_own_last_checkpoint_is_gone_on_from(home: Path, done: Job) -> None:
    """Written by RFDETR.train, without a manifest: one epoch there, one here; best weights alone are another start: with
    a learning rate of 0 they are what is left."""
    model = {**SMALL, "patch_size": 16, "positional_encoding_size": 4, "resolution": 64, "num_classes": 2}
    RFDETRNano(pretrain_weights=None, device="cpu", **model).train(
        dataset_dir=str(home / "digits"),
        output_dir=str(home / "claim" / "stock"),
        epochs=1,
        batch_size=1,
        grad_accum_steps=2,
        num_workers=0,
        tensorboard=False,
        early_stopping=True,
        accelerator="cpu",
        devices=1,
    )
    job = follow(done, "stock", "stock/last.ckpt")
    job.go()
    assert (2, 2 * STEPS) == (job.report()["epoch"], job.report()["step"])

    with pytest.raises(ConfigError, match=r"weights alone are a start by model\.pretrainWeights"):
        follow(done, "weights", "stock/checkpoint_best_total.pth").go()
    fresh = follow(done, "fresh", "never", epochs=1, learning_rate=0.0, encoder_learning_rate=0.0)
    weights = fresh.run.model.model_copy(update={"pretrain_weights": "stock/checkpoint_best_total.pth"})
    fresh = replace(fresh, run=fresh.run.model_copy(update={"model": weights}))
    fresh.go()
    best = torch.load(home / "claim" / "stock" / "checkpoint_best_total.pth", weights_only=False)["model"]
    left = fresh.read()
    assert [] == [name for name, weight in best.items() if not is_equal(weight, left.get(f"/state_dict/model.{name}"))]
    assert (Outcome.COMPLETED, STEPS) == (fresh.report()["outcome"], fresh.report()["step"])


def test_a_job_whose_data_set_was_changed_is_refused(home: Path, done: Job) -> None:
    """Both fingerprints are named; a new job may say that it is meant."""
    write_digits(home / "more", Recipe(train=12, valid=4))
    job = follow(done, "changed", "n/j/u", epochs=3)
    job = replace(job, run=job.run.model_copy(update={"dataset": job.run.dataset.model_copy(update={"path": "more"})}))

    with pytest.raises(ConfigError, match=r"was trained on data set coco-.* the one on the claim is coco-"):
        job.go()
