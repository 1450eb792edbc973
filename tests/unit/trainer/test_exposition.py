"""The text of ``/metrics``: the contract's names and no others, and a form that every scraper takes."""

from __future__ import annotations

import math
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exposition_check import find_contract_faults, find_form_faults, list_problems
from rfdetr_contract.metrics import STEP_BUCKETS, TRAINER
from rfdetr_contract.report import (
    Best,
    CheckpointState,
    FailureReason,
    Outcome,
    Patience,
    Progress,
    RunReport,
    Scores,
    Straggler,
    World,
)
from rfdetr_trainer.launch.counters import Counts
from rfdetr_trainer.launch.exposition import RESTARTS, build_exposition, build_samples
from rfdetr_trainer.messages import Pulse

RUNNING = RunReport(outcome=Outcome.RUNNING)
CONTRACT = {metric.name: metric for metric in TRAINER}
SCORES = Scores(map50_95=0.1, map50=0.2, map75=0.15, precision=0.5, recall=0.4, f1=0.45, mar=0.3)
BUCKETS = (1, 2, *[0] * (len(STEP_BUCKETS) - 1))
COUNTS = Counts(
    pulse=Pulse(steps=3, samples=12, step_buckets=BUCKETS, step_seconds=0.25, eval_seconds=2.5),
    restarts={"Crashed": 2},
    gpus={"0": (5, 9)},
    class_ap={'a "quoted"\nname': 0.5},
)


def make_full_report() -> RunReport:
    """A report in which everything is known."""
    progress = Progress(
        epoch=1,
        epochs=2,
        step=3,
        steps_per_epoch=4,
        regular=SCORES,
        ema=Scores(map50_95=0.3, map50=0.4),
        val_loss=1.25,
        best=Best(value=0.3, epoch=1),
        bests={"ema": Best(value=0.3, epoch=1)},
        patience=Patience(waited=1, limit=5),
        losses={"total": 1.5},
        learning_rates={"encoder": 1e-5, "head": 1e-4},
        images_per_second=9,
        eta_seconds=10,
        checkpoint=CheckpointState(step=3, epoch=1, time=5, size=6, file="f", seconds=0.5),
    )
    world, straggler = World(expected=2, attested=2), Straggler(rank=1, ratio=1.25)
    fields = {"progress": progress, "world": world, "straggler": straggler, "seconds": {"train": 5.5}}
    return RUNNING.model_copy(update=fields)


def scrape(report: RunReport, counts: Counts) -> dict[str, float]:
    """Every sample as a scraper reads it, by its name and labels."""
    text = build_exposition(report, counts).decode()
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_of_the_contract_has_a_series_when_all_is_known() -> None:
    """A name in the list that nobody fills would be a lie; one that is not in the list is not served."""
    text = build_exposition(make_full_report(), COUNTS).decode()

    assert {(metric.name, metric.kind) for metric in TRAINER} == set(
        re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    )


def test_a_loss_that_is_no_number_is_a_series() -> None:
    """The alert looks for it, and the dashboard shows which part left first."""
    progress = Progress(epoch=0, epochs=1, step=3, steps_per_epoch=5, losses={"box": math.inf, "class": math.nan})

    samples = scrape(RUNNING.model_copy(update={"progress": progress}), Counts())

    assert math.inf == samples["rfdetr_train_loss,box"]
    assert math.isnan(samples["rfdetr_train_loss,class"])


def test_what_is_not_known_has_no_series() -> None:
    """Before the first validation there is no mAP, not an mAP of zero; what is counted starts at nought."""
    gauges = {metric.name for metric in TRAINER if metric.kind == "gauge"}

    assert {"rfdetr_generation"} == gauges & build_samples(RUNNING, Counts()).keys()


def test_all_that_can_be_counted_starts_at_nought() -> None:
    """A counter that first appears with a 1 shows no increase."""
    samples = build_samples(RUNNING, Counts())

    reasons: set[tuple[str, ...]] = {(reason,) for reason in RESTARTS}
    assert (reasons, {("StorageFull",), ("StorageError",)}) == (
        set(samples["rfdetr_process_restarts_total"]),
        set(samples["rfdetr_checkpoint_failures_total"]),
    )


def test_weights_thresholds_and_components_are_labels() -> None:
    """One metric, several series; segmentation has no mAP 75."""
    samples = build_samples(make_full_report(), COUNTS)

    maps = {("50_95", "regular"): 0.1, ("50", "regular"): 0.2, ("75", "regular"): 0.15}
    assert (maps | {("50_95", "ema"): 0.3, ("50", "ema"): 0.4}, {("total",): 1.5}, {("regular",): 0.45}) == (
        samples["rfdetr_val_map_ratio"],
        samples["rfdetr_train_loss"],
        samples["rfdetr_val_f1_ratio"],
    )


def test_a_bucket_counts_all_steps_that_are_no_longer() -> None:
    """One of at most 50 ms, two more of at most 100 ms; sum and count beside them."""
    found = scrape(make_full_report(), COUNTS)
    name = "rfdetr_train_step_duration_seconds"

    assert (1, 3, 3, 3, 0.25) == (
        found[f"{name}_bucket,0.05"],
        found[f"{name}_bucket,0.1"],
        found[f"{name}_bucket,+Inf"],
        found[f"{name}_count"],
        found[f"{name}_sum"],
    )


def test_a_histogram_without_a_step_is_whole() -> None:
    """A rate over it is nought, not absent."""
    assert 0 == scrape(RUNNING, Counts())["rfdetr_train_step_duration_seconds_count"]


@pytest.mark.parametrize("full", [True, False])
def test_a_scrape_has_no_fault(full: bool) -> None:
    """By Prometheus's own tool where it is installed, by our own rules anyway."""
    text = build_exposition(make_full_report() if full else RUNNING, COUNTS if full else Counts()).decode()

    assert [] == list_problems(text, TRAINER)


def test_a_faulty_scrape_is_found_out() -> None:
    """Without Prometheus's tool as well: a foreign name, a missing label, a series twice, no help."""
    text = "# TYPE rfdetr_oddity gauge\nrfdetr_oddity 1\n# HELP rfdetr_train_loss x\n# TYPE rfdetr_train_loss gauge\n"

    found = " ".join([*find_form_faults(text + "rfdetr_train_loss 1\n" * 2), *find_contract_faults(text, CONTRACT)])
    for fault in ("rfdetr_oddity has no help", "is there twice", "rfdetr_oddity (gauge) is not in the contract"):
        assert fault in found


def test_a_classes_name_may_be_anything() -> None:
    """It is quoted as the format wants it."""
    assert 0.5 == scrape(make_full_report(), COUNTS)['rfdetr_val_class_ap_ratio,a "quoted"\nname']


def test_labels_are_bounded() -> None:
    """Nothing but a class's name comes from the user, and that is off by default."""
    known = {"component", "group", "iou", "weights", "class", "reason", "device", "category"}

    assert known == {label for metric in TRAINER for label in metric.labels}


def test_reasons_are_those_of_the_reports() -> None:
    """A permanent failure restarts nothing."""
    assert {"Preempted", "Crashed", "Hang", "PeerLost"} <= set(RESTARTS)
    assert {str(FailureReason.CONFIG_ERROR), str(FailureReason.DATA_ERROR)}.isdisjoint(RESTARTS)
