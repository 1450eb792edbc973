"""The spec that users write, and the rules that the API server holds it to."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from rfdetr_contract.presets import PRESETS
from rfdetr_contract.variants import VARIANTS
from rfdetr_operator.api.fields import ApiModel, rule, rules
from rfdetr_operator.api.pod import Pod
from rfdetr_operator.api.storage import Checkpoints, Resume, RunPolicy
from rfdetr_operator.api.training import Dataset, Model, Training

Preset = Literal["8GB", "12GB", "16GB", "24GB", "40GB"]
MUTABLE = ("suspend", "nodes", "runPolicy", "pod")
IMMUTABLE = (
    "gpusPerNode", "processesPerNode", "model", "dataset", "training", "memoryPreset", "checkpoints", "resume",
)  # fmt: skip

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
