"""The one list of metric names, kinds, labels and help texts. Dashboards, alerts and both exporters read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as plain data; ``labels`` come beside those that the exporter gives to all of its series."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


TRAINER: Final[tuple[Metric, ...]] = (
    Metric("rfdetr_map_50_95", "gauge", "mAP 50:95 of the last validation, 0 to 1.", ("weights",)),
    Metric("rfdetr_map_50", "gauge", "mAP 50 of the last validation, 0 to 1.", ("weights",)),
    Metric("rfdetr_best_map_50_95", "gauge", "Best mAP 50:95 so far, 0 to 1."),
    Metric("rfdetr_best_epoch", "gauge", "Epoch (from 1) that reached the best mAP 50:95."),
    Metric("rfdetr_early_stopping_waited_epochs", "gauge", "Validated epochs without an improvement."),
    Metric(
        "rfdetr_early_stopping_patience_epochs", "gauge", "Validated epochs without an improvement that end the run."
    ),
    Metric("rfdetr_epoch", "gauge", "Finished epochs."),
    Metric("rfdetr_epochs_planned", "gauge", "Epochs that were asked for."),
    Metric("rfdetr_step", "gauge", "Optimizer step of the run."),
    Metric("rfdetr_steps_per_epoch", "gauge", "Optimizer steps of one epoch."),
    Metric("rfdetr_loss", "gauge", "Loss of the last step, by part.", ("part",)),
    Metric("rfdetr_learning_rate", "gauge", "Learning rate of the first parameter group."),
    Metric("rfdetr_images_per_second", "gauge", "Images trained on in a second, all ranks together."),
    Metric("rfdetr_eta_seconds", "gauge", "Seconds to the planned end at the pace seen so far."),
    Metric("rfdetr_checkpoint_step", "gauge", "Optimizer step of the newest durable checkpoint."),
    Metric(
        "rfdetr_checkpoint_timestamp_seconds", "gauge", "Time of the newest durable checkpoint, seconds since 1970."
    ),
    Metric("rfdetr_checkpoint_size_bytes", "gauge", "Size of the newest durable checkpoint."),
    Metric("rfdetr_checkpoint_save_seconds", "gauge", "Seconds that the newest checkpoint took to become durable."),
    Metric("rfdetr_generation", "gauge", "Rendezvous round of the run."),
    Metric("rfdetr_world_size", "gauge", "Ranks that rank 0 counted."),
    Metric("rfdetr_process_restarts_total", "counter", "Rounds after the first one, in this pod."),
    Metric("rfdetr_steps_redone_total", "counter", "Optimizer steps done again after a restart."),
)

OPERATOR: Final[tuple[Metric, ...]] = (
    Metric("rfdetr_operator_jobs", "gauge", "Jobs by phase.", ("phase",)),
    Metric("rfdetr_operator_reconciles_total", "counter", "Reconciles by result.", ("result",)),
    Metric("rfdetr_operator_reconcile_seconds", "histogram", "Time of one reconcile."),
    Metric("rfdetr_operator_queue_depth", "gauge", "Keys that wait for a reconcile."),
    Metric("rfdetr_operator_queue_oldest_seconds", "gauge", "Age of the oldest key that waits."),
    Metric(
        "rfdetr_operator_api_calls_total",
        "counter",
        "Calls of the API server by verb, resource and code.",
        ("verb", "resource", "code"),
    ),
    Metric("rfdetr_operator_restarts_total", "counter", "Pods replaced, by cause.", ("cause",)),
)
