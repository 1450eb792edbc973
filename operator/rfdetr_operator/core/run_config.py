"""From a job to the RunConfig that an attempt runs with, or one sentence that says why there is none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from rfdetr_contract import names
from rfdetr_contract.batch import DEFAULT_PER_DEVICE, BatchError, BatchPlan, solve_batch
from rfdetr_contract.presets import PRESETS, MemoryPreset
from rfdetr_contract.run import (
    CheckpointRun,
    DatasetRun,
    EarlyStoppingRun,
    JobRef,
    LimitsRun,
    ModelRun,
    ResumeRun,
    RunConfig,
    Topology,
    TrainingRun,
)
from rfdetr_contract.variants import VARIANTS
from rfdetr_operator.api.v1alpha1 import Spec, TrainingJob

STOP_MARGIN = 5  # seconds that the launcher keeps of the grace period for its own report
RESUME_WORDS = ("auto", "never", "previous")


class SpecError(ValueError):
    """The spec asks for something that cannot be; the message is one sentence for its author."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The side of the input in pixels, and a sentence when it is not literally what was asked for."""

    pixels: int
    remark: str = ""


def choose_resolution(spec: Spec) -> Resolution:
    """The explicit resolution if it is legal, else the preset's nearest legal one, else the variant's own.

    Raises:
        SpecError: an explicit resolution is not a multiple of the variant's divisor.

    """
    variant, name = VARIANTS[spec.model.variant], spec.model.variant
    if (asked := spec.model.resolution) is not None:
        if asked % variant.divisor:
            below = max(asked // variant.divisor, 1) * variant.divisor
            nearest = sorted({below, (asked // variant.divisor + 1) * variant.divisor})
            raise SpecError(
                f"model.resolution {asked} must be a multiple of {variant.divisor} for {name}; "
                f"nearest: {' or '.join(map(str, nearest))}"
            )
        return Resolution(asked)
    preset = choose_preset(spec)
    if preset is None or preset.resolution is None:
        return Resolution(variant.resolution)
    pixels = variant.nearest(preset.resolution)
    if pixels == preset.resolution:
        return Resolution(pixels)
    return Resolution(
        pixels,
        f"memoryPreset {spec.memory_preset} asks for {preset.resolution} pixels; {name} takes multiples of "
        f"{variant.divisor}, so {pixels} is used",
    )


def choose_preset(spec: Spec) -> MemoryPreset | None:
    """The memory preset, when one is named."""
    return PRESETS[spec.memory_preset] if spec.memory_preset else None


def choose_batch(job: TrainingJob) -> BatchPlan:
    """The batch plan: an explicit bound, else the preset's, else the guide's.

    Raises:
        SpecError: the ranks do not divide the effective batch, or the bound is no bound.

    """
    bound = job.spec.training.batch_size_per_device
    if bound == "auto":
        preset = choose_preset(job.spec)
        bound = preset.per_device if preset else DEFAULT_PER_DEVICE
    if bound < 1:
        raise SpecError(f"training.batchSizePerDevice {bound} must be auto or an integer from 1")
    try:
        return solve_batch(job.spec.training.effective_batch_size, job.ranks, bound)
    except BatchError as error:
        raise SpecError(f"training.{error}") from None


def check_relative(field: str, path: str) -> str:
    """A path that stays below its claim.

    Raises:
        SpecError: it is absolute or climbs out.

    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise SpecError(f"{field} {path!r} must be a path below its claim: relative and without ..")
    return path


def build_run_config(job: TrainingJob, attempt: int) -> RunConfig:
    """All that the trainer is told in this attempt.

    Raises:
        SpecError: the spec asks for something that cannot be.

    """
    spec, meta = job.spec, job.metadata
    return RunConfig(
        job=JobRef(namespace=meta.namespace, name=meta.name, uid=meta.uid),
        attempt=attempt,
        output=names.output_path(meta.namespace, meta.name, meta.uid),
        topology=Topology(
            nodes=spec.nodes,
            processes_per_node=job.processes,
            accelerator="gpu" if spec.gpus_per_node > 0 else "cpu",
        ),
        batch=choose_batch(job),
        model=_build_model(spec),
        dataset=DatasetRun(path=check_relative("dataset.path", spec.dataset.path), format=spec.dataset.format),
        training=_build_training(spec),
        checkpoints=CheckpointRun(
            every_steps=spec.checkpoints.every_steps,
            every_minutes=spec.checkpoints.every_minutes,
            keep_last=spec.checkpoints.keep_last,
            keep_best=spec.checkpoints.keep_best,
        ),
        resume=_build_resume(spec),
        limits=_build_limits(spec),
    )


def _build_limits(spec: Spec) -> LimitsRun:
    grace, hang = spec.pod.termination_grace_period_seconds, spec.run_policy.hang_timeout_seconds
    return LimitsRun(
        grace_seconds=grace, stop_seconds=grace - STOP_MARGIN, hang_floor_seconds=hang, hang_ceiling_seconds=hang
    )


def _build_model(spec: Spec) -> ModelRun:
    model, preset = spec.model, choose_preset(spec)
    weights = model.pretrain_weights or "coco"
    if weights not in ("coco", "none"):
        check_relative("model.pretrainWeights", weights)
    checkpointing = model.gradient_checkpointing
    if checkpointing is None:
        checkpointing = preset.gradient_checkpointing if preset else False
    return ModelRun(
        variant=model.variant,
        task=VARIANTS[model.variant].task,
        resolution=choose_resolution(spec).pixels,
        num_classes=model.num_classes,
        pretrain_weights=None if weights == "none" else weights,
        gradient_checkpointing=checkpointing,
        overrides=model.overrides,
    )


def _build_training(spec: Spec) -> TrainingRun:
    training, stopping = spec.training, spec.training.early_stopping
    return TrainingRun(
        epochs=training.epochs,
        learning_rate=training.learning_rate,
        encoder_learning_rate=training.encoder_learning_rate,
        lr_scheduler=training.lr_scheduler,
        lr_drop=training.lr_drop,
        warmup_epochs=training.warmup_epochs,
        weight_decay=training.weight_decay,
        seed=training.seed,
        precision=training.precision,
        num_workers=training.num_workers,
        early_stopping=EarlyStoppingRun(
            enabled=stopping.enabled,
            patience=stopping.patience,
            min_delta=stopping.min_delta,
            use_ema=stopping.use_ema,
        ),
        overrides=training.overrides,
    )


def _build_resume(spec: Spec) -> ResumeRun:
    source = spec.resume.source
    if source not in RESUME_WORDS:
        check_relative("resume.from", source)
    return ResumeRun(source=source, allow_dataset_change=spec.resume.allow_dataset_change)


def build_run_hash(spec: Spec) -> str:
    """A digest of the mutable part of the spec that an attempt runs with.

    Defaults are left out: a release that adds a field with a default must not restart running jobs.
    """
    mutable = {"nodes": spec.nodes, "pod": spec.pod.model_dump(mode="json", exclude_defaults=True)}
    return hashlib.sha256(json.dumps(mutable, sort_keys=True).encode()).hexdigest()[:16]
