"""From the spec to what the trainer is told, or one sentence that refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_job
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.run import LimitsRun, ResumeRun, RunConfig, Topology
from rfdetr_operator.core.run_config import (
    Resolution,
    SpecError,
    build_run_config,
    build_run_hash,
    choose_resolution,
)


def build(**spec: Any) -> RunConfig:
    """The config of the first attempt."""
    return build_run_config(make_job(**spec), 1)


def test_gpus_are_the_processes_of_a_pod() -> None:
    """Two nodes with four GPUs are eight ranks on GPUs."""
    assert Topology(nodes=2, processes_per_node=4, accelerator="gpu") == build(gpusPerNode=4).topology


def test_no_gpu_means_the_cpu() -> None:
    """processesPerNode counts only without GPUs."""
    found = build(gpusPerNode=0, processesPerNode=2).topology

    assert Topology(nodes=2, processes_per_node=2, accelerator="cpu") == found


@pytest.mark.parametrize(
    ("spec", "plan"),
    [
        ({}, BatchPlan(per_device=4, accumulation=2, ranks=2)),
        ({"training": {"batchSizePerDevice": 2}}, BatchPlan(per_device=2, accumulation=4, ranks=2)),
        ({"memoryPreset": "8GB"}, BatchPlan(per_device=1, accumulation=8, ranks=2)),
        ({"memoryPreset": "24GB"}, BatchPlan(per_device=8, accumulation=1, ranks=2)),
        (
            {"memoryPreset": "24GB", "training": {"batchSizePerDevice": 1}},
            BatchPlan(per_device=1, accumulation=8, ranks=2),
        ),
    ],
)
def test_an_explicit_bound_beats_the_preset_and_the_preset_the_guide(spec: dict[str, Any], plan: BatchPlan) -> None:
    """The effective batch is 16 in all of them."""
    assert plan == build(**spec).batch


@pytest.mark.parametrize(
    ("spec", "resolution"),
    [
        ({}, Resolution(576)),
        ({"model": {"variant": "nano"}}, Resolution(384)),
        ({"model": {"variant": "medium", "resolution": 640}}, Resolution(640)),
        ({"model": {"variant": "base"}, "memoryPreset": "8GB"}, Resolution(560)),
        ({"memoryPreset": "16GB"}, Resolution(576)),
        ({"model": {"variant": "medium", "resolution": 640}, "memoryPreset": "8GB"}, Resolution(640)),
        (
            {"memoryPreset": "40GB"},
            Resolution(800, "memoryPreset 40GB asks for 784 pixels; medium takes multiples of 32, so 800 is used"),
        ),
    ],
)
def test_the_resolution_is_legal_for_the_variant(spec: dict[str, Any], resolution: Resolution) -> None:
    """A preset's size is moved to the nearest legal one, and that is said."""
    assert resolution == choose_resolution(make_job(**spec).spec)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"model": {"resolution": 600}},
            "model.resolution 600 must be a multiple of 32 for medium; nearest: 576 or 608",
        ),
        (
            {"nodes": 3},
            (
                "training.effectiveBatchSize 16 cannot be split over 3 ranks (nodes x processes); "
                "nearest: 15 or 18, or 1, 2, 4 ranks"
            ),
        ),
        (
            {"training": {"batchSizePerDevice": 0}},
            "training.batchSizePerDevice 0 must be auto or an integer from 1",
        ),
        (
            {"dataset": {"claimName": "data", "path": "/etc"}},
            "dataset.path '/etc' must be a path below its claim: relative and without ..",
        ),
        (
            {"resume": {"from": "a/../../b.ckpt"}},
            "resume.from 'a/../../b.ckpt' must be a path below its claim: relative and without ..",
        ),
        (
            {"model": {"pretrainWeights": "../x.pth"}},
            "model.pretrainWeights '../x.pth' must be a path below its claim: relative and without ..",
        ),
    ],
)
def test_a_spec_that_cannot_be_is_refused_with_one_sentence(spec: dict[str, Any], sentence: str) -> None:
    """The sentence names the field, the value and what is allowed."""
    with pytest.raises(SpecError) as refused:
        build(**spec)

    assert sentence == str(refused.value)


@pytest.mark.parametrize(
    ("asked", "told"), [(None, "coco"), ("coco", "coco"), ("none", None), ("mine/a.pth", "mine/a.pth")]
)
def test_published_weights_are_the_default(asked: str | None, told: str | None) -> None:
    """``none`` trains from scratch."""
    assert told == build(model={"pretrainWeights": asked}).model.pretrain_weights


@pytest.mark.parametrize(
    ("spec", "on"),
    [
        ({}, False),
        ({"memoryPreset": "12GB"}, True),
        ({"memoryPreset": "12GB", "model": {"gradientCheckpointing": False}}, False),
        ({"model": {"gradientCheckpointing": True}}, True),
    ],
)
def test_an_explicit_gradient_checkpointing_beats_the_preset(spec: dict[str, Any], on: bool) -> None:
    """Explicit false is an answer too."""
    assert on == build(**spec).model.gradient_checkpointing


def test_the_launcher_is_done_before_the_grace_period_is() -> None:
    """Five seconds remain for the report."""
    found = build(pod={"terminationGracePeriodSeconds": 60}).limits

    assert LimitsRun(grace_seconds=60, stop_seconds=55) == found


def test_a_hang_is_what_the_user_says_or_what_the_launcher_finds() -> None:
    """One limit for every phase, or none at all."""
    named, default = build(runPolicy={"hangTimeoutSeconds": 900}).limits, build().limits

    assert (900, 900) == (named.hang_floor_seconds, named.hang_ceiling_seconds)
    assert (None, None) == (default.hang_floor_seconds, default.hang_ceiling_seconds)


def test_the_output_folder_is_the_jobs_own() -> None:
    """Jobs that share a claim are kept apart by their uid."""
    assert "team/shelves/job-uid" == build().output


def test_only_what_may_change_makes_another_attempt() -> None:
    """Suspending and the run policy are no reason to start anew; nodes and pod are."""
    base = build_run_hash(make_job().spec)

    assert [True, True, False, False] == [
        base == build_run_hash(make_job(suspend=True).spec),
        base == build_run_hash(make_job(runPolicy={"maxRestarts": 3}).spec),
        base == build_run_hash(make_job(nodes=4).spec),
        base == build_run_hash(make_job(pod={"image": "other"}).spec),
    ]


def test_a_default_that_is_written_out_changes_nothing() -> None:
    """A release that adds a field with a default restarts no running job."""
    written = make_job(pod={"sharedMemory": "8Gi", "env": [], "labels": {}})

    assert build_run_hash(make_job().spec) == build_run_hash(written.spec)


def test_another_data_set_is_taken_only_where_the_job_says_so() -> None:
    """It is off unless it is said."""
    changed = build(resume={"from": "previous", "allowDatasetChange": True}).resume

    assert (ResumeRun(), ResumeRun(source="previous", allow_dataset_change=True)) == (build().resume, changed)
