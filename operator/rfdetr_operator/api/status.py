"""The status that users read. The operator alone writes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rfdetr_operator.api.fields import Label, Number, StatusModel, Text, Time


class Condition(StatusModel):
    """One condition, as everywhere in Kubernetes."""

    type: Label = Field(description="Accepted, Running, Restarting, Suspended, Complete or Failed.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Label = Field("", description="Why, in one word.")
    message: Text = Field("", description="Why, in one sentence.")
    last_transition_time: Time | None = Field(None, description="When the status last changed.")
    observed_generation: int | None = Field(None, description="Generation of the spec that was looked at.")


class Restarts(StatusModel):
    """Restarts, by who caused them."""

    counted: int = Field(0, description="Pod failures, which spend runPolicy.maxRestarts.")
    preemptions: int = Field(0, description="Pods that were preempted, evicted or deleted; they spend nothing.")
    node_losses: int = Field(0, description="Pods that were lost with their node; they spend nothing.")
    process: int = Field(0, description="Restarts of workers inside living pods.")


class BatchPlanStatus(StatusModel):
    """How one optimizer step is made of samples."""

    per_device: int = Field(description="Samples a rank takes at once.")
    accumulation: int = Field(description="Forward passes before an optimizer step.")
    ranks: int = Field(description="Processes of the world.")
    effective: int = Field(description="Samples of one optimizer step over all ranks.")


class WorldStatus(StatusModel):
    """The world that was asked for and the one that rank 0 counted."""

    expected: int = Field(description="Ranks that were asked for.")
    attested: int | None = Field(None, description="Ranks that rank 0 counted.")


class BestStatus(StatusModel):
    """The best mAP 50:95 so far."""

    value: Number = Field(description="mAP 50:95, 0 to 1.")
    epoch: int = Field(description="Epoch (from 1) that reached it.")


class PatienceStatus(StatusModel):
    """The early-stopping counter."""

    waited: int = Field(description="Validated epochs without an improvement.")
    limit: int = Field(description="How many end the run.")


class CheckpointStatus(StatusModel):
    """The newest durable checkpoint."""

    step: int = Field(description="Optimizer step.")
    time: Time | None = Field(None, description="When it became durable.")
    file: Text | None = Field(None, description="Its path below the claim.")


class ProgressStatus(StatusModel):
    """Where the training stands, as rank 0 last told it."""

    epoch: int = Field(0, description="Finished epochs.")
    epochs: int = Field(0, description="Epochs that were asked for.")
    step: int = Field(0, description="Optimizer step.")
    map50_95: Number | None = Field(None, alias="mAP50_95", description="mAP 50:95 of the last validation, 0 to 1.")
    map50: Number | None = Field(None, alias="mAP50", description="mAP 50 of the last validation, 0 to 1.")
    best: BestStatus | None = Field(None, description="The best mAP 50:95 so far.")
    patience: PatienceStatus | None = Field(None, description="The early-stopping counter.")
    eta_seconds: int | None = Field(None, description="Seconds to the planned end.")
    images_per_second: Number | None = Field(None, description="Images trained on in a second, all ranks together.")
    checkpoint: CheckpointStatus | None = Field(None, description="The newest durable checkpoint.")
    generation: int | None = Field(None, description="Rendezvous round.")
    reported_time: Time | None = Field(None, description="When rank 0 told this.")


class Display(StatusModel):
    """What kubectl prints: it prints strings and computes nothing."""

    epoch: Label = Field("-", description="Finished and planned epochs.")
    map: Label = Field("-", description="mAP 50:95 of the last validation.")
    best: Label = Field("-", description="Best mAP 50:95 so far.")
    patience: Label = Field("-", description="Early-stopping counter and its limit.")
    eta: Label = Field("-", description="Time to the planned end.")
    nodes: Label = Field("-", description="Running and wanted pods.")


class ResultStatus(StatusModel):
    """What came out."""

    best_checkpoint: Text | None = Field(None, description="The best checkpoint, below the claim.")
    map50_95: Number | None = Field(None, alias="mAP50_95", description="Its mAP 50:95 by pycocotools' COCOeval.")
    map50: Number | None = Field(None, alias="mAP50", description="Its mAP 50 by pycocotools' COCOeval.")
    evaluators_agree: bool | None = Field(None, description="Whether RF-DETR's own evaluator said the same.")
    steps_redone: int | None = Field(None, description="Optimizer steps done again after restarts.")


class Status(StatusModel):
    """What is."""

    observed_generation: int | None = Field(None, description="Generation of the spec that was looked at.")
    phase: Label | None = Field(None, description="One word for the conditions, for the printer column.")
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        [],
        description="What holds and why.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    nodes: int | None = Field(None, description="Pods that are kept, for the scale subresource.")
    selector: Text | None = Field(None, description="Label selector of the pods, for the scale subresource.")
    attempt: int | None = Field(
        None, description="Gang-level starts: the first one, and one for each resume or resize."
    )
    run_hash: Label | None = Field(None, description="Digest of what the attempt runs with.")
    restarts: Restarts | None = Field(None, description="Restarts, by who caused them.")
    counted_pods: Annotated[list[Label], Field(max_length=256)] = Field(
        [], description="Uids of lost pods that are counted already and whose objects may still be there."
    )
    refused_time: Time | None = Field(None, description="When the API server last refused a child.")
    last_failure_time: Time | None = Field(None, description="When a pod last spent runPolicy.maxRestarts.")
    resizes: int | None = Field(None, description="Attempts that began because the job was changed.")
    start_time: Time | None = Field(None, description="When the first attempt began.")
    active_since: Time | None = Field(None, description="When the job began, or was last resumed from a suspension.")
    attempt_time: Time | None = Field(None, description="When the attempt began.")
    completion_time: Time | None = Field(None, description="When the job ended.")
    batch_plan: BatchPlanStatus | None = Field(None, description="How one optimizer step is made of samples.")
    resolution: int | None = Field(None, description="Side of the square input in pixels that is trained with.")
    world: WorldStatus | None = Field(None, description="The world that was asked for and the one that was counted.")
    progress: ProgressStatus | None = Field(None, description="Where the training stands.")
    notes: Annotated[list[Text], Field(max_length=4)] = Field(
        [],
        description="What should be known although the training goes on: a storage fault, a hang, a slow rank, a save that "
        "takes longer than a stopping pod has.",
    )
    result: ResultStatus | None = Field(None, description="What came out.")
    display: Display | None = Field(None, description="What kubectl prints.")
