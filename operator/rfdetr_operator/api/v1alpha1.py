"""RFDETRTrainingJob, version v1alpha1: the spec that users write and the status that they read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from rfdetr_contract import names
from rfdetr_contract.presets import PRESETS
from rfdetr_contract.variants import VARIANTS
from rfdetr_operator.api.fields import (
    ApiModel,
    Free,
    FreeObject,
    Label,
    LongText,
    Name,
    Number,
    StatusModel,
    StringMap,
    Text,
    Time,
    rule,
    rules,
)

Variant = Literal[
    "nano", "small", "medium", "large", "base",
    "seg-nano", "seg-small", "seg-medium", "seg-large", "seg-xlarge", "seg-2xlarge",
]  # fmt: skip
Preset = Literal["8GB", "12GB", "16GB", "24GB", "40GB"]
MUTABLE = ("suspend", "nodes", "runPolicy", "pod")
IMMUTABLE = (
    "gpusPerNode", "processesPerNode", "model", "dataset", "training", "memoryPreset", "checkpoints", "resume",
)  # fmt: skip


class Model(ApiModel):
    """Which RF-DETR is trained."""

    variant: Variant = Field("medium", description="RF-DETR variant. Names with seg- segment. Default: medium.")
    resolution: int | None = Field(
        None, ge=12, le=2048, description="Side of the square input in pixels; a multiple of the variant's patch size x "
        "windows. Default: the memory preset's, else the variant's own.",
    )  # fmt: skip
    num_classes: int | None = Field(
        None, ge=1, le=100000, description="Number of classes. Default: counted in the data set."
    )
    pretrain_weights: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="Weights only, with a cold optimizer: coco (the variant's published weights), none, or a path "
        "below the checkpoint claim. Default: coco.",
    )  # fmt: skip
    gradient_checkpointing: bool | None = Field(
        None,
        description="Trade a fifth of the speed for a third of the memory. Default: the memory preset's, else false.",
    )
    overrides: Free = Field(
        {},
        description="Any other field of rfdetr's ModelConfig, by its own name; checked when the run starts. Default: {}.",
    )


class Dataset(ApiModel):
    """What it is trained on."""

    claim_name: Name = Field(description="PersistentVolumeClaim that holds the data set; mounted read-only.")
    path: Text = Field(".", description="Folder of the data set in the claim. Default: . (its root).")
    format: Literal["auto", "coco", "yolo"] = Field(
        "auto", description="Layout: coco (train/_annotations.coco.json), yolo (data.yaml), or auto. Default: auto."
    )


class EarlyStopping(ApiModel):
    """When to stop before the last epoch."""

    enabled: bool = Field(True, description="Stop when mAP 50:95 does not improve any more. Default: true.")
    patience: int = Field(10, ge=1, le=100000, description="Validated epochs without an improvement. Default: 10.")
    min_delta: float = Field(0.001, ge=0, le=1, description="Smallest gain in mAP 50:95 that counts. Default: 0.001.")
    use_ema: bool = Field(
        False, alias="useEMA", description="Judge by the EMA weights alone, not by the better of both. Default: false."
    )


class Training(ApiModel):
    """How it is trained."""

    epochs: int = Field(100, ge=1, le=100000, description="Epochs. Default: 100.")
    effective_batch_size: int = Field(
        16,
        ge=1,
        le=65536,
        description="Samples of one optimizer step over all ranks; never changed silently. Default: 16.",
    )
    batch_size_per_device: int | Literal["auto"] = Field(
        "auto",
        description="auto, or the largest number of samples a rank may take at once (from 1). Default: auto, the memory "
        "preset's bound, else 4.",
        json_schema_extra=rules(
            rule("type(self) == int ? self >= 1 : self == 'auto'", "batchSizePerDevice is auto or an integer from 1")
        ),
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Learning rate of the decoder. Default: 0.0001.")
    encoder_learning_rate: float = Field(
        1.5e-4, gt=0, le=1, description="Learning rate of the encoder. Default: 0.00015."
    )
    lr_scheduler: Literal["step", "cosine"] = Field("step", description="Learning-rate schedule. Default: step.")
    lr_drop: int = Field(
        100, ge=1, le=100000, description="Epoch at which the step schedule drops the rate. Default: 100."
    )
    warmup_epochs: float = Field(0.0, ge=0, le=1000, description="Epochs of linear warm-up. Default: 0.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Weight decay. Default: 0.0001.")
    seed: int = Field(
        42, ge=0, le=2147483647, description="Seed of order, augmentation and initialisation. Default: 42."
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Arithmetic on GPUs; the CPU always takes fp32. Default: auto."
    )
    num_workers: int = Field(2, ge=0, le=128, description="Data-loader processes of each rank. Default: 2.")
    early_stopping: EarlyStopping = Field(EarlyStopping(), description="When to stop before the last epoch.")
    overrides: Free = Field(
        {},
        description="Any other field of rfdetr's TrainConfig, by its own name; checked when the run starts. Default: {}.",
    )


class ClaimTemplate(ApiModel):
    """A claim that the operator makes for the job."""

    storage: Annotated[str, Field(max_length=32)] = Field(description="Size, such as 50Gi.")
    storage_class_name: Name | None = Field(None, description="StorageClass. Default: the cluster's own.")
    access_modes: Annotated[
        list[Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]], Field(max_length=3)
    ] = Field(
        ["ReadWriteMany"], description="Access modes; more than one node needs ReadWriteMany. Default: [ReadWriteMany]."
    )


class Checkpoints(ApiModel):
    """Where checkpoints live and when they are made, beside every epoch's end."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.claimName) != has(self.volumeClaimTemplate)",
                "checkpoints needs exactly one of claimName and volumeClaimTemplate",
                reason="FieldValueInvalid",
            )
        )
    )

    claim_name: Name | None = Field(None, description="PersistentVolumeClaim that exists; jobs may share it.")
    volume_claim_template: ClaimTemplate | None = Field(None, description="Claim to be made as JOB-checkpoints.")
    retain: bool = Field(
        True, description="Keep a claim made from the template when the job is deleted. Default: true."
    )
    every_steps: int | None = Field(
        None,
        ge=1,
        le=10000000,
        description="Optimizer steps between checkpoints, beside each epoch's end. Default: off. With neither this nor "
        "everyMinutes: as often as the stall that was measured and the interruptions that were seen are worth "
        "(15 seconds to 30 minutes).",
    )
    every_minutes: float | None = Field(
        None, gt=0, le=10080, description="Minutes between checkpoints, beside each epoch's end. Default: off."
    )
    keep_last: int = Field(2, ge=1, le=1000, description="Newest checkpoints that are kept. Default: 2.")
    keep_best: int = Field(1, ge=0, le=1000, description="Best checkpoints that are kept beside them. Default: 1.")


class Resume(ApiModel):
    """Where the full state (weights, optimizer, EMA, counters, position) comes from."""

    source: Text = Field(
        "auto",
        alias="from",
        description="auto: this very job's newest checkpoint; never: start fresh; previous: the newest run of the same "
        "name and model; or a checkpoint path below the claim. Default: auto.",
    )
    allow_dataset_change: bool = Field(
        False,
        description="true: go on although the data set's annotations are not those of the checkpoint; the classes must "
        "be the same. Default: false, and the job fails with both fingerprints.",
    )


YEAR = 31_622_400  # seconds


class RunPolicy(ApiModel):
    """When the operator gives up, and what is left of a job that ended."""

    max_restarts: int = Field(
        10,
        ge=0,
        le=100000,
        description="Failures of pods that are mended by a restart; preemptions do not count. Default: 10.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=YEAR,
        description="Seconds after its start, or after it was resumed from a suspension, in which the job must end; then it "
        "fails. Default: no limit.",
    )
    startup_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=YEAR,
        description="Seconds in which every pod of an attempt must run; then the job fails and gives back what it holds. "
        "Default: no limit.",
    )
    ttl_seconds_after_succeeded: int | None = Field(
        None, ge=0, le=YEAR, description="Seconds after which a job that succeeded is deleted. Default: never."
    )
    ttl_seconds_after_failed: int | None = Field(
        None, ge=0, le=YEAR, description="Seconds after which a job that failed is deleted. Default: never."
    )
    clean_pod_policy: Literal["Running", "All", "None"] = Field(
        "Running",
        description="Which pods are deleted when the job ends: those that still run, all of them, or none. Default: Running.",
    )


class EnvVar(ApiModel):
    """A variable of the trainer's environment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!(self.name in {sorted(names.RESERVED_ENV)}) && "
                + " && ".join(f"!self.name.startsWith('{prefix}')" for prefix in names.RESERVED_ENV_PREFIXES),
                "this name of the environment belongs to the operator; use spec.nodes and spec.gpusPerNode instead",
                messageExpression="'env %s belongs to the operator; use spec.nodes and spec.gpusPerNode instead'"
                ".format([self.name])",
                fieldPath=".name",
                reason="FieldValueForbidden",
            )
        )
    )

    name: Annotated[str, Field(max_length=128)] = Field(description="Name.")
    value: LongText | None = Field(None, description="Value. Default: empty.")
    value_from: FreeObject | None = Field(None, description="Source of the value, as in a pod.")


class Pod(ApiModel):
    """How the pods are made. Only a suspended job may change it."""

    image: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Trainer image. Default: the operator's."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When the image is pulled. Default: Kubernetes' own rule."
    )
    image_pull_secrets: Annotated[list[FreeObject], Field(max_length=16)] = Field(
        [], description="Pull secrets. Default: []."
    )
    resources: FreeObject = Field(
        {}, description="Requests and limits; the GPUs are added from gpusPerNode. Default: {}."
    )
    node_selector: Annotated[dict[str, Label], Field(max_length=32)] = Field(
        {}, description="Node selector. Default: {}."
    )
    tolerations: Annotated[list[FreeObject], Field(max_length=32)] = Field([], description="Tolerations. Default: [].")
    affinity: FreeObject = Field({}, description="Affinity. Default: {}.")
    priority_class_name: Name | None = Field(None, description="Priority class. Default: the cluster's own.")
    scheduler_name: Name | None = Field(None, description="Scheduler. Default: the cluster's own.")
    service_account_name: Name | None = Field(
        None, description="Service account; its token is never mounted. Default: default."
    )
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(
        [],
        description="Environment of the trainer. Default: [].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    env_from: Annotated[list[FreeObject], Field(max_length=16)] = Field(
        [], description="Sources of the environment. Default: []."
    )
    volumes: Annotated[list[FreeObject], Field(max_length=32)] = Field([], description="More volumes. Default: [].")
    volume_mounts: Annotated[list[FreeObject], Field(max_length=32)] = Field(
        [], description="Their mounts. Default: []."
    )
    labels: StringMap = Field({}, description="More labels of the pods. Default: {}.")
    annotations: StringMap = Field({}, description="More annotations of the pods. Default: {}.")
    shared_memory: Annotated[str, Field(max_length=32)] = Field(
        "8Gi", description="Size limit of /dev/shm, which data-loader processes need. Default: 8Gi."
    )
    termination_grace_period_seconds: int = Field(
        120, ge=10, le=86400, description="Seconds a pod has to save and leave. Default: 120."
    )


RANKS = "(self.nodes * (self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode))"
DIVISORS = "{" + ", ".join(f"'{name}': {variant.divisor}" for name, variant in VARIANTS.items()) + "}"
DIVISOR = f"{DIVISORS}[self.model.variant]"
SPEC_RULES = rules(
    rule(
        f"!has(self.model.resolution) || self.model.resolution % {DIVISOR} == 0",
        "resolution must be a multiple of the variant's patch size x windows",
        messageExpression="'resolution %d must be a multiple of %d for %s; nearest: %d or %d'.format([self.model.resolution, "
        f"{DIVISOR}, self.model.variant, self.model.resolution / {DIVISOR} * {DIVISOR}, "
        f"(self.model.resolution / {DIVISOR} + 1) * {DIVISOR}])",
        fieldPath=".model.resolution",
        reason="FieldValueInvalid",
    ),
    rule(
        f"self.training.effectiveBatchSize % {RANKS} == 0 || self.training.effectiveBatchSize < {RANKS}",
        "effectiveBatchSize must be a multiple of the ranks (nodes x processes)",
        messageExpression=f"'effectiveBatchSize %d cannot be split over %d ranks (nodes x processes); nearest: %d or %d'"
        f".format([self.training.effectiveBatchSize, {RANKS}, self.training.effectiveBatchSize / {RANKS} * {RANKS}, "
        f"(self.training.effectiveBatchSize / {RANKS} + 1) * {RANKS}])",
        fieldPath=".training.effectiveBatchSize",
        reason="FieldValueInvalid",
    ),
    rule(
        f"self.training.effectiveBatchSize >= {RANKS}",
        "effectiveBatchSize must not be smaller than the ranks (nodes x processes)",
        messageExpression="'effectiveBatchSize %d is smaller than the %d ranks (nodes x processes); nearest: %d'"
        f".format([self.training.effectiveBatchSize, {RANKS}, {RANKS}])",
        fieldPath=".training.effectiveBatchSize",
        reason="FieldValueInvalid",
    ),
    rule(
        "self.nodes == 1 || !has(self.checkpoints.volumeClaimTemplate) || "
        "'ReadWriteMany' in self.checkpoints.volumeClaimTemplate.accessModes",
        "more than one node needs a checkpoint claim with access mode ReadWriteMany",
        fieldPath=".checkpoints.volumeClaimTemplate.accessModes",
        reason="FieldValueInvalid",
    ),
    *(
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} cannot be changed after creation (only {', '.join(MUTABLE)} can); "
            "make a new job, with resume.from pointing at this one's checkpoints",
            fieldPath=f".{field}",
            reason="FieldValueForbidden",
        )
        for field in IMMUTABLE
    ),
)


class Spec(ApiModel):
    """What to train, on what, how, and with what."""

    model_config = ConfigDict(json_schema_extra=SPEC_RULES)

    suspend: bool = Field(
        False,
        description="true: every rank saves and the pods go; false again: the run resumes where it was. Default: false.",
    )
    nodes: int = Field(1, ge=1, le=256, description="Pods, one node rank each. Default: 1.")
    gpus_per_node: int = Field(
        1,
        ge=0,
        le=64,
        description="GPUs and processes of a pod; 0 trains on the CPU with processesPerNode. Default: 1.",
    )
    processes_per_node: int = Field(1, ge=1, le=64, description="Processes of a pod when gpusPerNode is 0. Default: 1.")
    model: Model = Field(Model(), description="Which RF-DETR is trained.")
    dataset: Dataset = Field(description="What it is trained on.")
    training: Training = Field(Training(), description="How it is trained.")
    memory_preset: Preset | None = Field(
        None, description="The guide's defaults for a card of this memory (batch bound, resolution, gradient "
        f"checkpointing), which explicit fields override: {', '.join(PRESETS)}. Default: none.",
    )  # fmt: skip
    checkpoints: Checkpoints = Field(description="Where checkpoints live and when they are made.")
    resume: Resume = Field(Resume(), description="Where the full state comes from.")
    run_policy: RunPolicy = Field(RunPolicy(), description="When the operator gives up.")
    pod: Pod = Field(Pod(), description="How the pods are made.")


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
        [], description="What should be known although the training goes on: a storage fault, a hang, a slow rank."
    )
    result: ResultStatus | None = Field(None, description="What came out.")
    display: Display | None = Field(None, description="What kubectl prints.")


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
