"""A report as Prometheus series, by the contract's one list of names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rfdetr_contract import metrics
from rfdetr_contract.report import Progress, RunReport

Samples = dict[str, dict[tuple[str, ...], float]]


def build_samples(report: RunReport) -> Samples:
    """Values by metric and label values. What is not known has no series."""
    found: dict[str, dict[tuple[str, ...], float | None]] = {
        "rfdetr_generation": {(): report.generation},
        "rfdetr_process_restarts_total": {(): report.process_restarts},
        "rfdetr_steps_redone_total": {(): report.steps_redone},
        "rfdetr_world_size": {(): report.world.attested if report.world else None},
    }
    if report.progress is not None:
        found |= _build_progress(report.progress) | _build_checkpoint(report.progress)
    known = {
        name: {labels: float(value) for labels, value in series.items() if value is not None}
        for name, series in found.items()
    }
    return {name: series for name, series in known.items() if series}


def _build_progress(progress: Progress) -> dict[str, dict[tuple[str, ...], float | None]]:
    scores = {("regular",): progress.regular, ("ema",): progress.ema}
    return {
        "rfdetr_map_50_95": {labels: score.map50_95 for labels, score in scores.items() if score},
        "rfdetr_map_50": {labels: score.map50 for labels, score in scores.items() if score},
        "rfdetr_best_map_50_95": {(): progress.best.value if progress.best else None},
        "rfdetr_best_epoch": {(): progress.best.epoch if progress.best else None},
        "rfdetr_early_stopping_waited_epochs": {(): progress.patience.waited if progress.patience else None},
        "rfdetr_early_stopping_patience_epochs": {(): progress.patience.limit if progress.patience else None},
        "rfdetr_epoch": {(): progress.epoch},
        "rfdetr_epochs_planned": {(): progress.epochs},
        "rfdetr_step": {(): progress.step},
        "rfdetr_steps_per_epoch": {(): progress.steps_per_epoch},
        "rfdetr_loss": {(part,): value for part, value in progress.losses.items()},
        "rfdetr_learning_rate": {(): progress.learning_rate},
        "rfdetr_images_per_second": {(): progress.images_per_second},
        "rfdetr_eta_seconds": {(): progress.eta_seconds},
    }


def _build_checkpoint(progress: Progress) -> dict[str, dict[tuple[str, ...], float | None]]:
    saved = progress.checkpoint
    return {
        "rfdetr_checkpoint_step": {(): saved.step if saved else None},
        "rfdetr_checkpoint_timestamp_seconds": {(): saved.time if saved else None},
        "rfdetr_checkpoint_size_bytes": {(): saved.size if saved else None},
        "rfdetr_checkpoint_save_seconds": {(): saved.seconds if saved else None},
    }


class ReportCollector(Collector):
    """One report's series."""

    def __init__(self, report: RunReport) -> None:
        self._samples = build_samples(report)

    def collect(self) -> Iterator[Metric]:
        """Every metric of the contract that has a value."""
        for metric in metrics.TRAINER:
            series = self._samples.get(metric.name, {})
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            made = family(metric.name, metric.help, labels=metric.labels)
            for labels, value in series.items():
                made.add_metric(labels, value)
            if series:
                yield made


def build_exposition(report: RunReport) -> bytes:
    """The text of ``/metrics``."""
    registry = CollectorRegistry()
    registry.register(ReportCollector(report))
    return generate_latest(registry)
