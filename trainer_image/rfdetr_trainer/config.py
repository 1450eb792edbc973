"""RunConfig to the arguments of rfdetr's own configs. Pure: what the installed rfdetr knows comes in as names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import ConfigError

Arguments = dict[str, Any]
AMP = {"auto": "auto", "bf16": "bf16", "fp16": "fp16", "fp32": None}
NEVER = 1_000_000  # an interval that no run reaches: RF-DETR's own archives are never pruned

# Fields that the operator answers for; each names where a user says it instead.
OURS_OF_MODEL = {
    "resolution": "model.resolution",
    "num_classes": "model.numClasses",
    "pretrain_weights": "model.pretrainWeights",
    "gradient_checkpointing": "model.gradientCheckpointing",
    "device": "gpusPerNode",
    "segmentation_head": "model.variant",
}
OURS_OF_TRAINING = {
    "epochs": "training.epochs",
    "batch_size": "training.effectiveBatchSize",
    "grad_accum_steps": "training.effectiveBatchSize",
    "devices": "gpusPerNode",
    "num_nodes": "nodes",
    "accelerator": "gpusPerNode",
    "strategy": "nodes and gpusPerNode",
    "dataset_dir": "dataset.path",
    "dataset_file": "dataset.format",
    "output_dir": "checkpoints",
    "checkpoint_interval": "checkpoints.keepLast and checkpoints.keepBest",
    "resume": "resume.from",
    "seed": "training.seed",
    "lr": "training.learningRate",
    "lr_encoder": "training.encoderLearningRate",
    "lr_scheduler": "training.lrScheduler",
    "warmup_epochs": "training.warmupEpochs",
    "weight_decay": "training.weightDecay",
    "num_workers": "training.numWorkers",
    "amp_dtype": "training.precision",
    "early_stopping": "training.earlyStopping.enabled",
    "early_stopping_patience": "training.earlyStopping.patience",
    "early_stopping_min_delta": "training.earlyStopping.minDelta",
    "early_stopping_use_ema": "training.earlyStopping.useEMA",
}


def check_overrides(field: str, overrides: Mapping[str, Any], ours: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse a key that belongs to the operator or that rfdetr does not know.

    Raises:
        ConfigError: names the key and what to use instead, or the closest names.

    """
    for key in overrides:
        if key in ours:
            raise ConfigError(f"{field}.overrides.{key} belongs to the operator; use spec.{ours[key]} instead")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=3) or sorted(known)[:5]
            raise ConfigError(
                f"{field}.overrides.{key} is not a field of the installed rfdetr; did you mean: {', '.join(close)}"
            )


def build_model_arguments(run: RunConfig, *, num_classes: int, weights: str | None, resuming: bool) -> Arguments:
    """The arguments of the variant's ModelConfig; without ``pretrain_weights`` the variant's published ones are taken."""
    model = run.model
    arguments: Arguments = {
        "num_classes": num_classes,
        "resolution": model.resolution,
        "gradient_checkpointing": model.gradient_checkpointing,
        "device": "cpu" if run.topology.accelerator == "cpu" else "cuda",
    }
    if resuming or model.pretrain_weights is None:
        arguments["pretrain_weights"] = None
    elif model.pretrain_weights != "coco":
        arguments["pretrain_weights"] = weights
    if "patch_size" in model.overrides:
        arguments["positional_encoding_size"] = model.resolution // int(model.overrides["patch_size"])
    return arguments | model.overrides


def build_train_arguments(run: RunConfig, *, data: Path, output: Path, resuming: bool) -> Arguments:
    """The arguments of rfdetr's TrainConfig: devices, nodes and strategy are always said, never found out."""
    training = run.training
    stopping = training.early_stopping
    arguments: Arguments = {
        "dataset_dir": str(data),
        # "roboflow" finds out by itself, and takes COCO where both layouts are there.
        "dataset_file": "yolo" if run.dataset.format == "yolo" else "roboflow",
        "output_dir": str(output),
        "epochs": training.epochs,
        "batch_size": run.batch.per_device,
        "grad_accum_steps": run.batch.accumulation,
        "devices": run.topology.processes_per_node,
        "num_nodes": run.topology.nodes,
        "accelerator": run.topology.accelerator,
        "strategy": "ddp",
        "lr": training.learning_rate,
        "lr_encoder": training.encoder_learning_rate,
        "lr_scheduler": training.lr_scheduler,
        "lr_scheduler_kwargs": {"lr_drop": training.lr_drop} if training.lr_scheduler == "step" else {},
        "warmup_epochs": training.warmup_epochs,
        "weight_decay": training.weight_decay,
        "seed": training.seed,
        "num_workers": training.num_workers,
        "amp_dtype": None if run.topology.accelerator == "cpu" else AMP[training.precision],
        "early_stopping": stopping.enabled,
        "early_stopping_patience": stopping.patience,
        "early_stopping_min_delta": stopping.min_delta,
        "early_stopping_use_ema": stopping.use_ema,
        "checkpoint_interval": NEVER,
        "tensorboard": False,
        "progress_bar": None,
        # Only a truth value to rfdetr: it keeps the history in metrics.csv. The state comes by ckpt_path.
        "resume": str(output / "last.ckpt") if resuming else None,
    }
    return arguments | training.overrides


def choose_weights(run: RunConfig, roots: tuple[Path, ...]) -> str | None:
    """The file of ``pretrain_weights``, looked for below the output root and then the data root.

    Raises:
        ConfigError: the path leaves the roots, or no file is there.

    """
    name = run.model.pretrain_weights
    if name is None or name == "coco":
        return None
    for root in roots:
        path = (root / name).resolve()
        if path.is_file() and path.is_relative_to(root.resolve()):
            return str(path)
    raise ConfigError(
        f"model.pretrainWeights '{name}' is not a file on the checkpoint or data claim; allowed: coco, none, or a path"
    )
