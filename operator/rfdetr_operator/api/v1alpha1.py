"""RFDETRTrainingJob, version v1alpha1: all names of the version in one place, and the object around spec and status."""

from __future__ import annotations

from typing import Any

from rfdetr_operator.api.fields import StatusModel
from rfdetr_operator.api.pod import Pod
from rfdetr_operator.api.spec import IMMUTABLE, Spec
from rfdetr_operator.api.status import (
    BatchPlanStatus,
    BestStatus,
    CheckpointStatus,
    Condition,
    Display,
    PatienceStatus,
    ProgressStatus,
    Restarts,
    ResultStatus,
    Status,
    WorldStatus,
)

__all__ = [
    "IMMUTABLE",
    "BatchPlanStatus",
    "BestStatus",
    "CheckpointStatus",
    "Condition",
    "Display",
    "Metadata",
    "PatienceStatus",
    "Pod",
    "ProgressStatus",
    "Restarts",
    "ResultStatus",
    "Spec",
    "Status",
    "TrainingJob",
    "WorldStatus",
    "parse_job",
]


class Metadata(StatusModel):
    """What the operator reads of an object's metadata."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class TrainingJob(StatusModel):
    """An RFDETRTrainingJob."""

    metadata: Metadata
    spec: Spec
    status: Status = Status()

    @property
    def processes(self) -> int:
        """Ranks of a pod."""
        return self.spec.gpus_per_node or self.spec.processes_per_node

    @property
    def ranks(self) -> int:
        """Ranks of the world."""
        return self.spec.nodes * self.processes


def parse_job(body: dict[str, Any]) -> TrainingJob:
    """The job of an API object.

    Raises:
        pydantic.ValidationError: the spec is not one of this version.

    """
    return TrainingJob.model_validate(body)
