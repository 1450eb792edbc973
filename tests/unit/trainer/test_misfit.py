"""Which checkpoints a job may go on from: its model, its classes, its data set, its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from integration.launcher_pods import build_run
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.run import ResumeRun, RunConfig
from rfdetr_trainer.dataset import COCO_FILE
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.fingerprint import DatasetFacts, read_facts
from rfdetr_trainer.manifest import Manifest, build_model_line
from rfdetr_trainer.misfit import describe_change, refuse_misfit

RUN = build_run()
FACTS = DatasetFacts(classes=("cat", "dog"), fingerprint="coco-1")
LINE = build_model_line(RUN.model, 2)


def build_manifest(**other: object) -> Manifest:
    """A checkpoint that fits, but for what is given."""
    fitting: dict[str, object] = {
        "file": "g000001-s00000010.ckpt",
        "generation": 1,
        "step": 10,
        "epoch": 2,
        "batch_in_epoch": 3,
        "world_size": RUN.topology.world_size,
        "accumulation": RUN.batch.accumulation,
        "effective_batch": RUN.batch.effective,
        "sha256": "0",
        "size": 1,
        "time": 1.0,
        "seconds": 1.0,
        "config_hash": "h",
        "model": LINE,
        "classes": ("cat", "dog"),
        "dataset": "coco-1",
        "rfdetr": "1",
        "torch": "2",
    }
    return Manifest.model_validate(fitting | other)


def allow_change(run: RunConfig) -> RunConfig:
    """The job that says resume.allowDatasetChange."""
    return run.model_copy(update={"resume": ResumeRun(allow_dataset_change=True)})


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"model": "small detection 512px 2 classes"}, f"is of model 'small detection 512px 2 classes', this job's is '{LINE}'"),
        ({"classes": ("cat", "cow")}, "class 1 is 'cow' there and 'dog' in the data set"),
        ({"classes": ("cat",)}, "it has 1 classes (cat), the data set has 2 (cat, dog)"),
        ({"dataset": "coco-0"}, "was trained on data set coco-0, the one on the claim is coco-1"),
        ({"effective_batch": 64}, "stands inside an epoch of effective batch 64, this job's is"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_refused_with_both_values(other: dict[str, object], sentence: str) -> None:
    """What it is, and what is wanted."""
    with pytest.raises(ConfigError) as caught:
        refuse_misfit(build_manifest(**other), RUN, LINE, FACTS)

    assert sentence in caught.value.message


def test_another_data_set_is_taken_when_the_job_says_so_but_not_other_classes() -> None:
    """The head's outputs are the classes; images may come and go."""
    run = allow_change(RUN)
    refuse_misfit(build_manifest(dataset="coco-0"), run, LINE, FACTS)

    with pytest.raises(ConfigError):
        refuse_misfit(build_manifest(dataset="coco-0", classes=("dog", "cat")), run, LINE, FACTS)


def test_what_an_older_checkpoint_does_not_say_is_not_held_against_it() -> None:
    """Neither is what nobody has looked at."""
    refuse_misfit(build_manifest(dataset="", classes=()), RUN, LINE, FACTS)
    refuse_misfit(build_manifest(dataset="coco-0"), RUN, build_model_line(RUN.model, None), None)


def test_another_world_fits_and_the_log_says_what_stays() -> None:
    """Twice the ranks, half the accumulation: the effective batch is the same."""
    before = build_manifest(world_size=4, accumulation=2)
    epoch_end = build_manifest(effective_batch=64, batch_in_epoch=0)
    plan = BatchPlan(per_device=1, accumulation=1, ranks=2)
    run = RUN.model_copy(update={"batch": plan})
    after = build_manifest(world_size=4, effective_batch=2)
    refuse_misfit(epoch_end, RUN, LINE, FACTS)

    assert [(), 1, 1, 1] == [
        describe_change(build_manifest(), RUN, FACTS),
        len(describe_change(before, RUN, FACTS)),
        len(describe_change(epoch_end, RUN, FACTS)),
        len(describe_change(after, run, FACTS)),
    ]


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_a_data_set_is_known_by_its_annotations(tmp_path: Path, layout: str) -> None:
    """A copy is the same; one more image or one moved box is another."""
    sets = {"a": (0, 6), "copy": (0, 6), "more": (0, 7), "other": (1, 6)}
    for name, (seed, train) in sets.items():
        write_digits(tmp_path / name, Recipe(train=train, valid=2, seed=seed, layout=layout))  # type: ignore[arg-type]
    for folder in (tmp_path / "copy").rglob("*"):
        if folder.is_dir():
            (folder / "labels.cache").write_text("what other programs leave")
    facts = {name: read_facts(tmp_path / name, layout) for name in sets}  # type: ignore[arg-type]  # a table's column

    assert facts["a"] == facts["copy"]
    assert 3 == len({fact.fingerprint for fact in facts.values()})
    assert facts["a"].fingerprint.startswith(f"{layout}-")


def test_a_fingerprint_that_is_known_is_not_taken_again(tmp_path: Path) -> None:
    """A restart looks at no annotation for it."""
    write_digits(tmp_path / "a", Recipe(train=2, valid=2))
    (tmp_path / "a" / "valid" / COCO_FILE).unlink()

    assert DatasetFacts(("zero", "one"), "coco-7") == read_facts(tmp_path / "a", "coco", "coco-7")
