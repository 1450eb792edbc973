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


# Upper bounds of an optimizer step's length in seconds: from a small model on one GPU to a large one on processors.
STEP_BUCKETS: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)

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

JOB: Final = ("namespace", "job_name")
OPERATOR: Final[tuple[Metric, ...]] = (
    Metric(
        "rfdetr_operator_build_info", "gauge", "The running operator; always 1.", ("version", "revision", "python")
    ),
    Metric("rfdetr_operator_leader", "gauge", "1 while this operator serves the jobs, 0 while it stands by."),
    Metric("rfdetr_jobs", "gauge", "Jobs by phase.", ("namespace", "phase")),
    Metric("rfdetr_job_info", "gauge", "A job; always 1.", (*JOB, "uid", "model", "dataset_format")),
    Metric("rfdetr_job_status_phase", "gauge", "1 for the phase that the job is in, 0 for the others.", (*JOB, "phase")),
    Metric(
        "rfdetr_job_status_condition",
        "gauge",
        "1 for the status (true, false, unknown) that a condition of the job has, 0 for the others.",
        (*JOB, "condition", "status"),
    ),
    Metric("rfdetr_job_created_timestamp_seconds", "gauge", "When the job was created, seconds since 1970.", JOB),
    Metric("rfdetr_job_started_timestamp_seconds", "gauge", "When its first attempt began, seconds since 1970.", JOB),
    Metric("rfdetr_job_completed_timestamp_seconds", "gauge", "When it ended, seconds since 1970.", JOB),
    Metric(
        "rfdetr_job_last_progress_timestamp_seconds",
        "gauge",
        "When rank 0 last told a progress that was new, seconds since 1970.",
        JOB,
    ),
    Metric(
        "rfdetr_job_last_checkpoint_timestamp_seconds",
        "gauge",
        "When the newest checkpoint became durable, seconds since 1970.",
        JOB,
    ),
    Metric("rfdetr_job_nodes_desired", "gauge", "Pods that the job asks for.", JOB),
    Metric("rfdetr_job_nodes_ready", "gauge", "Pods of the job that run.", JOB),
    Metric(
        "rfdetr_job_startup_seconds",
        "gauge",
        "Seconds that the slowest pod of the newest start waited for a node (queue) and then for its container (pull).",
        (*JOB, "stage"),
    ),
    Metric(
        "rfdetr_job_restarts_total",
        "counter",
        "Pods that were replaced (WorkerFailed, Preempted, NodeLost) and restarts inside pods (ProcessRestart).",
        (*JOB, "reason"),
    ),
    Metric("rfdetr_job_resizes_total", "counter", "Attempts that began because the job was changed.", JOB),
    Metric("rfdetr_job_recovery_duration_seconds", "histogram", "From a lost pod until every rank runs again."),
    Metric("rfdetr_reconciles_total", "counter", "Reconciles by result.", ("result",)),
    Metric("rfdetr_reconcile_duration_seconds", "histogram", "Time of one reconcile."),
    Metric("rfdetr_operator_queue_depth", "gauge", "Keys that wait for a reconcile."),
    Metric("rfdetr_operator_queue_oldest_seconds", "gauge", "Age of the oldest key that waits."),
    Metric(
        "rfdetr_operator_api_calls_total",
        "counter",
        "Calls of the API server by verb, resource and code.",
        ("verb", "resource", "code"),
    ),
)
