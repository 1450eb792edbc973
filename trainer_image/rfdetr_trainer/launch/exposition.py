"""A report and its counts as Prometheus series, by the contract's one list of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rfdetr_contract import metrics
from rfdetr_contract.report import PERMANENT, FailureReason, Progress, RunReport
from rfdetr_trainer.launch.board import PREEMPTED
from rfdetr_trainer.launch.counters import Counts
from rfdetr_trainer.messages import Pulse

Series = Mapping[tuple[str, ...], float | None]
Samples = dict[str, dict[tuple[str, ...], float]]

# A counter that first appears with a 1 shows no increase: all that can be counted starts at nought.
RESTARTS: Final = (PREEMPTED, *(str(reason) for reason in FailureReason if reason not in PERMANENT))
STORAGE_FAULTS: Final = (FailureReason.STORAGE_FULL, FailureReason.STORAGE_ERROR)
STEP_DURATION: Final = "rfdetr_train_step_duration_seconds"


def build_samples(report: RunReport, counts: Counts) -> Samples:
    """Values by metric and label values, histograms left out. What is not known has no series."""
    found: dict[str, Series] = _build_run(report, counts) | _build_pulse(counts.pulse)
    if report.progress is not None:
        found |= _build_progress(report.progress) | _build_scores(report.progress) | _build_checkpoint(report.progress)
    known = {
        name: {labels: float(value) for labels, value in series.items() if value is not None}
        for name, series in found.items()
    }
    return {name: series for name, series in known.items() if series}


def _build_run(report: RunReport, counts: Counts) -> dict[str, Series]:
    restarts = dict.fromkeys(RESTARTS, 0) | counts.restarts
    return {
        "rfdetr_generation": {(): report.generation},
        "rfdetr_world_size": {(): report.world.attested if report.world else None},
        "rfdetr_process_restarts_total": {(reason,): count for reason, count in restarts.items()},
        "rfdetr_steps_redone_total": {(): report.steps_redone},
        "rfdetr_train_straggler_ratio": {(): report.straggler.ratio if report.straggler else None},
        "rfdetr_goodput_seconds_total": {(name,): report.seconds.get(name, 0.0) for name in metrics.GOODPUT},
        "rfdetr_val_class_ap_ratio": {(name,): value for name, value in counts.class_ap.items()},
        "rfdetr_train_gpu_memory_allocated_bytes": {(device,): now for device, (now, _) in counts.gpus.items()},
        "rfdetr_train_gpu_memory_peak_bytes": {(device,): peak for device, (_, peak) in counts.gpus.items()},
    }


def _build_pulse(pulse: Pulse) -> dict[str, Series]:
    failures: dict[FailureReason, int] = dict.fromkeys(STORAGE_FAULTS, 0) | pulse.checkpoint_failures
    return {
        "rfdetr_train_steps_total": {(): pulse.steps},
        "rfdetr_train_samples_total": {(): pulse.samples},
        "rfdetr_train_data_wait_seconds_total": {(): pulse.data_wait_seconds},
        "rfdetr_val_duration_seconds_total": {(): pulse.eval_seconds},
        "rfdetr_checkpoint_stall_seconds_total": {(): pulse.checkpoint_seconds},
        "rfdetr_checkpoint_failures_total": {(reason,): count for reason, count in failures.items()},
    }


def _build_progress(progress: Progress) -> dict[str, Series]:
    patience = progress.patience
    return {
        "rfdetr_train_epoch": {(): progress.epoch},
        "rfdetr_train_epochs_planned": {(): progress.epochs},
        "rfdetr_train_step": {(): progress.step},
        "rfdetr_train_steps_per_epoch": {(): progress.steps_per_epoch},
        "rfdetr_train_loss": {(component,): value for component, value in progress.losses.items()},
        "rfdetr_train_learning_rate": {(group,): value for group, value in progress.learning_rates.items()},
        "rfdetr_train_images_per_second": {(): progress.images_per_second},
        "rfdetr_train_eta_seconds": {(): progress.eta_seconds},
        "rfdetr_early_stopping_wait_epochs": {(): patience.waited if patience else None},
        "rfdetr_early_stopping_patience_epochs": {(): patience.limit if patience else None},
    }


def _build_scores(progress: Progress) -> dict[str, Series]:
    both = {"regular": progress.regular, "ema": progress.ema}
    scores = {weights: score for weights, score in both.items() if score is not None}
    maps: dict[tuple[str, ...], float | None] = {}
    for weights, score in scores.items():
        maps |= {("50_95", weights): score.map50_95, ("50", weights): score.map50, ("75", weights): score.map75}
    return {
        "rfdetr_val_map_ratio": maps,
        "rfdetr_val_precision_ratio": {(weights,): score.precision for weights, score in scores.items()},
        "rfdetr_val_recall_ratio": {(weights,): score.recall for weights, score in scores.items()},
        "rfdetr_val_f1_ratio": {(weights,): score.f1 for weights, score in scores.items()},
        "rfdetr_val_mar_ratio": {(weights,): score.mar for weights, score in scores.items()},
        "rfdetr_val_loss": {(): progress.val_loss},
        "rfdetr_val_best_map_ratio": {(weights,): best.value for weights, best in progress.bests.items()},
        "rfdetr_val_best_epoch": {(weights,): best.epoch for weights, best in progress.bests.items()},
    }


def _build_checkpoint(progress: Progress) -> dict[str, Series]:
    saved = progress.checkpoint
    return {
        "rfdetr_checkpoint_step": {(): saved.step if saved else None},
        "rfdetr_checkpoint_timestamp_seconds": {(): saved.time if saved else None},
        "rfdetr_checkpoint_size_bytes": {(): saved.size if saved else None},
        "rfdetr_checkpoint_duration_seconds": {(): saved.seconds if saved else None},
    }


def build_histogram(metric: metrics.Metric, pulse: Pulse) -> HistogramMetricFamily:
    """Steps by their length; a bucket counts all that are no longer than its bound."""
    bounds = [*(str(bound) for bound in metrics.STEP_BUCKETS), "+Inf"]
    counted = pulse.step_buckets or (0,) * len(bounds)
    made = HistogramMetricFamily(metric.name, metric.help)
    made.add_metric([], list(zip(bounds, accumulate(counted), strict=True)), pulse.step_seconds)
    return made


class ReportCollector(Collector):
    """One report's series."""

    def __init__(self, report: RunReport, counts: Counts) -> None:
        self._samples = build_samples(report, counts)
        self._pulse = counts.pulse

    def collect(self) -> Iterator[Metric]:
        """Every metric of the contract that has a value."""
        for metric in metrics.TRAINER:
            if metric.kind == "histogram":
                yield build_histogram(metric, self._pulse)
                continue
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            made = family(metric.name, metric.help, labels=metric.labels)
            for labels, value in self._samples.get(metric.name, {}).items():
                made.add_metric(labels, value)
            if made.samples:
                yield made


def build_exposition(report: RunReport, counts: Counts) -> bytes:
    """The text of ``/metrics``."""
    registry = CollectorRegistry()
    registry.register(ReportCollector(report, counts))
    return generate_latest(registry)
