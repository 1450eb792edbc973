"""RunConfig: all that the trainer is told. It travels as one JSON annotation of the pod and is frozen with the attempt."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rfdetr_contract._base import Frozen
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.variants import Task


class JobRef(Frozen):
    """Whose run it is."""

    namespace: str
    name: str
    uid: str


class Topology(Frozen):
    """The world: ``nodes`` pods of ``processes_per_node`` ranks each."""

    nodes: int = Field(ge=1)
    processes_per_node: int = Field(ge=1)
    accelerator: Literal["gpu", "cpu"]

    @property
    def world_size(self) -> int:
        """Ranks of the world."""
        return self.nodes * self.processes_per_node


class ModelRun(Frozen):
    """The model: ``resolution`` in pixels; ``pretrain_weights`` are weights only, with a cold optimizer."""

    variant: str
    task: Task
    resolution: int
    num_classes: int | None = None  # None: read from the data set
    pretrain_weights: str | None = None  # "coco", or a path below the output or data root, or None: from scratch
    gradient_checkpointing: bool = False
    overrides: dict[str, Any] = {}  # other fields of rfdetr's ModelConfig, by its own names


class DatasetRun(Frozen):
    """The data set: ``path`` is below the data root."""

    path: str
    format: Literal["auto", "coco", "yolo"] = "auto"


class EarlyStoppingRun(Frozen):
    """Early stopping: ``patience`` in validated epochs without an improvement above ``min_delta`` (mAP 50:95)."""

    enabled: bool = False
    patience: int = 10
    min_delta: float = 0.001
    use_ema: bool = False


class TrainingRun(Frozen):
    """The training itself."""

    epochs: int
    learning_rate: float
    encoder_learning_rate: float
    lr_scheduler: Literal["step", "cosine"]
    lr_drop: int
    warmup_epochs: float
    weight_decay: float
    seed: int
    precision: Literal["auto", "bf16", "fp16", "fp32"]
    num_workers: int
    early_stopping: EarlyStoppingRun = EarlyStoppingRun()
    overrides: dict[str, Any] = {}  # other fields of rfdetr's TrainConfig, by its own names


class CheckpointRun(Frozen):
    """When a durable checkpoint is made, beside every epoch's end, and how many are kept.

    Neither steps nor minutes: as often as the losses that are seen are worth.
    """

    every_steps: int | None = None  # optimizer steps
    every_minutes: float | None = None
    keep_last: int = 2
    keep_best: int = 1


class ResumeRun(Frozen):
    """Where the full state comes from: ``auto`` (this job), ``never``, ``previous``, or a path below the output root."""

    source: str = "auto"
    allow_dataset_change: bool = False  # go on although the data set is another one; its classes must be the same


class LimitsRun(Frozen):
    """Durations in seconds, as one inequality: save < stop < the pod's grace period."""

    grace_seconds: int = 120  # terminationGracePeriodSeconds of the pod
    stop_seconds: int = 110  # after SIGTERM the launcher kills what still runs
    peer_seconds: float = 5.0  # silence after which a peer is lost
    process_group_seconds: int = 300  # collective time-out
    same_failure_limit: int = 3  # same failure, same place, no new durable step
    hang_floor_seconds: float | None = None  # no shorter silence is a hang; None: the launcher's own, by phase
    hang_ceiling_seconds: float | None = None  # any longer silence is one; None: the launcher's own, by phase
    straggler_ratio: float = 1.5  # a rank whose own work of a step takes so many times the median's is told of

    @model_validator(mode="after")
    def _leave_time_to_report(self) -> Self:
        if self.stop_seconds >= self.grace_seconds:
            raise ValueError(
                f"stop_seconds={self.stop_seconds} must be below grace_seconds={self.grace_seconds}: "
                "the pod is killed when its grace period is over, and the launcher reports before that"
            )
        return self


class RunConfig(Frozen):
    """All that the trainer is told."""

    version: Literal[1] = 1
    job: JobRef
    attempt: int = Field(ge=1)
    output: str  # the job's folder below the output root
    topology: Topology
    batch: BatchPlan
    model: ModelRun
    dataset: DatasetRun
    training: TrainingRun
    checkpoints: CheckpointRun = CheckpointRun()
    resume: ResumeRun = ResumeRun()
    limits: LimitsRun = LimitsRun()

    def to_json(self) -> str:
        """One line of JSON with sorted keys: the same config is always the same text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def hash(self) -> str:
        """A short digest of all that differs from the defaults: one more field in a newer image changes nothing."""
        told = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]
