"""What is trained, on what, and how: the part of the spec that RF-DETR knows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rfdetr_operator.api.fields import ApiModel, Free, Name, Text, rule, rules

Variant = Literal[
    "nano", "small", "medium", "large", "base",
    "seg-nano", "seg-small", "seg-medium", "seg-large", "seg-xlarge", "seg-2xlarge",
]  # fmt: skip


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
