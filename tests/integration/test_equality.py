"""A run that is interrupted at any place, and resumed, ends bitwise where the whole one does: one rank, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from integration.one_rank import Job, alone, build_job, list_differences
from rfdetr_contract.report import Outcome
from rfdetr_contract.run import DatasetRun, ModelRun
from rfdetr_trainer.outcome import End, Preempted
from runs import SMALL

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's and Lightning's own, of a training inside this process
LONG = bool(os.environ.get("RFDETR_TEST_LONG"))
# A run looks for a signal when it starts, at each epoch's start, at each of 5 steps, after each of 4 validation batches
# (the answer to one is read at the next), and before each of 4 batches of the judgement. Each round counts anew.
PLACES = {
    "before the first step": (1,),
    "first step": (3,),
    "a step": (5,),
    "last batch": (7,),
    "first validation batch": (8,),
    "validation": (10,),
    "between two epochs": (12,),
    "last batch of all": (17,),
    "last validation": (19,),
    "judgement": (23,),
}
ALL_PLACES = {"everywhere": (1, 3, 3, 3, 4, 6, 7, 3, 7)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data set, and torchrun's environment of the only rank."""
    folder = tmp_path_factory.mktemp("equality")
    with alone(folder):
        yield folder


@pytest.fixture(scope="module")
def whole(home: Path) -> Job:
    """The run that nobody interrupts."""
    job = build_job(home, "whole")
    assert Outcome.COMPLETED == job.go().outcome  # type: ignore[union-attr]  # nobody interrupts it
    return job


@pytest.mark.parametrize("places", PLACES.values() if LONG else ALL_PLACES.values(), ids=PLACES if LONG else ALL_PLACES)
def test_an_interrupted_run_ends_bitwise_where_the_whole_one_does(
    home: Path, whole: Job, places: tuple[int, ...]
) -> None:
    """Weights, EMA, optimizer, schedulers, counters, early stopping, best scores, and each epoch's mean losses."""
    job = build_job(home, f"broken-{places[0]}-{len(places)}")

    ends = [type(job.go(place)) for place in places]

    assert ([Preempted] * len(places), End) == (ends, type(job.go()))
    assert [] == list_differences(whole.read(), job.read())
    assert whole.report() == job.report()


def test_samples_are_made_in_other_processes_without_a_difference(home: Path, whole: Job) -> None:
    """Two loader processes, interrupted inside an epoch: the same bits as without any, and without a break."""
    job = build_job(home, "loaders")
    training = job.run.training.model_copy(update={"num_workers": 2})
    job = replace(job, run=job.run.model_copy(update={"training": training}))

    ends = [type(job.go(5)), type(job.go())]

    assert [Preempted, End] == ends
    assert [] == [at for at in list_differences(whole.read(), job.read()) if not at.startswith("/args/")]


def test_a_segmentation_run_ends_bitwise_where_the_whole_one_does(home: Path) -> None:
    """The points at which masks are compared are drawn anew in each step, from the step's seed."""
    write_digits(home / "masks", Recipe(train=8, valid=4, masks=True))
    model = ModelRun(variant="seg-nano", task="segmentation", resolution=72, overrides={**SMALL, "patch_size": 12})
    change = {"model": model, "dataset": DatasetRun(path="masks")}
    jobs = [build_job(home, name) for name in ("masks-whole", "masks-broken")]
    whole, broken = (replace(job, run=job.run.model_copy(update=change)) for job in jobs)

    whole.go()
    ends = [type(broken.go(place)) for place in (4, 6)]

    assert ([Preempted, Preempted], End) == (ends, type(broken.go()))
    assert [] == list_differences(whole.read(), broken.read())


def test_epochs_without_a_validation_and_the_last_one_with_it_survive_a_break(home: Path) -> None:
    """Every second epoch of three is validated, and the last one: broken at an unvalidated epoch's last step, and inside
    the last epoch."""
    jobs = [build_job(home, name) for name in ("seldom-whole", "seldom-broken")]
    training = jobs[0].run.training.model_copy(update={"epochs": 3, "overrides": {"eval_interval": 2}})
    whole, broken = (replace(job, run=job.run.model_copy(update={"training": training})) for job in jobs)

    whole.go()
    ends = [type(broken.go(place)) for place in (7, 14)]

    assert ([Preempted, Preempted], End) == (ends, type(broken.go()))
    assert [] == list_differences(whole.read(), broken.read())
