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

WEIGHTS: Final = ("weights",)  # regular or ema
GOODPUT: Final = ("init", "rendezvous", "train", "eval", "checkpoint", "redone", "hang", "judge", "idle")
CLASS_LIMIT: Final = 100  # per-class series of one pod

TRAINER: Final[tuple[Metric, ...]] = (
    Metric("rfdetr_train_epoch", "gauge", "Finished epochs."),
    Metric("rfdetr_train_epochs_planned", "gauge", "Epochs that were asked for."),
    Metric("rfdetr_train_step", "gauge", "Optimizer step of the run."),
    Metric("rfdetr_train_steps_per_epoch", "gauge", "Optimizer steps of one epoch."),
    Metric("rfdetr_train_steps_total", "counter", "Optimizer steps done in this pod, those done again included."),
    Metric(
        "rfdetr_train_samples_total", "counter", "Images trained on by all ranks together, as this pod counts them."
    ),
    Metric(
        "rfdetr_train_loss",
        "gauge",
        "Loss of the last step, by component; total is their weighted sum.",
        ("component",),
    ),
    Metric(
        "rfdetr_train_learning_rate",
        "gauge",
        "Learning rate of the encoder, the decoder and the head: the highest of their layers.",
        ("group",),
    ),
    Metric("rfdetr_train_images_per_second", "gauge", "Images trained on in a second, all ranks together."),
    Metric("rfdetr_train_eta_seconds", "gauge", "Seconds to the planned end at the pace seen so far."),
    Metric(
        "rfdetr_val_map_ratio",
        "gauge",
        "COCO mAP of the last validation, 0 to 1, by IoU threshold: 50_95, 50 or 75.",
        ("iou", *WEIGHTS),
    ),
    Metric(
        "rfdetr_val_precision_ratio", "gauge", "Macro precision at the confidence with the best F1, 0 to 1.", WEIGHTS
    ),
    Metric("rfdetr_val_recall_ratio", "gauge", "Macro recall at the confidence with the best F1, 0 to 1.", WEIGHTS),
    Metric("rfdetr_val_f1_ratio", "gauge", "Best macro F1 over all confidences, 0 to 1.", WEIGHTS),
    Metric("rfdetr_val_mar_ratio", "gauge", "COCO mean average recall of the last validation, 0 to 1.", WEIGHTS),
    Metric("rfdetr_val_loss", "gauge", "Loss of the last validation; absent unless compute_val_loss is on."),
    Metric("rfdetr_val_best_map_ratio", "gauge", "Best mAP 50:95 so far, 0 to 1.", WEIGHTS),
    Metric("rfdetr_val_best_epoch", "gauge", "Epoch (from 1) that reached the best mAP 50:95.", WEIGHTS),
    Metric(
        "rfdetr_val_class_ap_ratio",
        "gauge",
        "AP 50:95 of a class, 0 to 1, for at most 100 classes; absent unless log_per_class_metrics is on.",
        ("class",),
    ),
    Metric("rfdetr_early_stopping_wait_epochs", "gauge", "Validated epochs without an improvement."),
    Metric(
        "rfdetr_early_stopping_patience_epochs", "gauge", "Validated epochs without an improvement that end the run."
    ),
    Metric(
        "rfdetr_train_step_duration_seconds", "histogram", "Time of one optimizer step, saves and validation left out."
    ),
    Metric("rfdetr_train_data_wait_seconds_total", "counter", "Seconds that the training waited for its next batch."),
    Metric("rfdetr_val_duration_seconds_total", "counter", "Seconds spent in validation."),
    Metric(
        "rfdetr_checkpoint_stall_seconds_total", "counter", "Seconds that the training stood still for checkpoints."
    ),
    Metric("rfdetr_checkpoint_step", "gauge", "Optimizer step of the newest durable checkpoint."),
    Metric(
        "rfdetr_checkpoint_timestamp_seconds", "gauge", "Time of the newest durable checkpoint, seconds since 1970."
    ),
    Metric("rfdetr_checkpoint_size_bytes", "gauge", "Size of the newest durable checkpoint."),
    Metric("rfdetr_checkpoint_duration_seconds", "gauge", "Seconds that the newest checkpoint took to become durable."),
    Metric("rfdetr_checkpoint_failures_total", "counter", "Checkpoints that could not be saved.", ("reason",)),
    Metric("rfdetr_train_gpu_memory_allocated_bytes", "gauge", "GPU memory in use by tensors.", ("device",)),
    Metric("rfdetr_train_gpu_memory_peak_bytes", "gauge", "Most GPU memory in use by tensors so far.", ("device",)),
    Metric(
        "rfdetr_goodput_seconds_total",
        "counter",
        "Where this pod's time went; the categories add up to its life. redone: training on steps that an earlier round had done.",
        ("category",),
    ),
    Metric("rfdetr_world_size", "gauge", "Ranks that rank 0 counted."),
    Metric("rfdetr_generation", "gauge", "Rendezvous round of the run."),
    Metric(
        "rfdetr_process_restarts_total",
        "counter",
        "Rounds after the first one in this pod, by what ended the last.",
        ("reason",),
    ),
    Metric("rfdetr_steps_redone_total", "counter", "Optimizer steps done again after a restart."),
    Metric(
        "rfdetr_train_straggler_ratio",
        "gauge",
        "A step's data wait and forward pass on the slowest rank, as a multiple of the median rank's.",
    ),
)

JOB: Final = ("namespace", "job_name")
OPERATOR: Final[tuple[Metric, ...]] = (
    Metric("rfdetr_operator_build_info", "gauge", "The running operator; always 1.", ("version", "revision", "python")),
    Metric("rfdetr_operator_leader", "gauge", "1 while this operator serves the jobs, 0 while it stands by."),
    Metric("rfdetr_jobs", "gauge", "Jobs by phase.", ("namespace", "phase")),
    Metric("rfdetr_job_info", "gauge", "A job; always 1.", (*JOB, "uid", "model", "dataset_format")),
    Metric(
        "rfdetr_job_status_phase", "gauge", "1 for the phase that the job is in, 0 for the others.", (*JOB, "phase")
    ),
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
