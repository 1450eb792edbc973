"""RunConfigs as the tests need them, with everything else said as briefly as it can be."""

from __future__ import annotations

from typing import Any

from rfdetr_contract import names
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.run import DatasetRun, JobRef, ModelRun, RunConfig, Topology, TrainingRun

# Overrides of a model that proves plumbing, not learning; the patch size is the variant's affair.
SMALL: dict[str, Any] = {
    "num_windows": 1,
    "dec_layers": 1,
    "num_queries": 10,
    "num_select": 10,
    "group_detr": 1,
    "hidden_dim": 64,
    "out_feature_indexes": [1, 2],
}


def make_training(**fields: Any) -> TrainingRun:
    """One epoch at one learning rate."""
    values: dict[str, Any] = {
        "epochs": 1,
        "learning_rate": 1e-4,
        "encoder_learning_rate": 1e-4,
        "lr_scheduler": "step",
        "lr_drop": 100,
        "warmup_epochs": 0,
        "weight_decay": 0,
        "seed": 0,
        "precision": "auto",
        "num_workers": 0,
        **fields,
    }
    return TrainingRun(**values)


def make_model(**fields: Any) -> ModelRun:
    """The smallest variant at a size that the CPU bears."""
    values: dict[str, Any] = {"variant": "nano", "task": "detection", "resolution": 64, **fields}
    return ModelRun(**values)


def make_run_config(nodes: int = 2, nproc: int = 1, *, job: JobRef | None = None, **fields: Any) -> RunConfig:
    """The first attempt of a run on the CPU, one sample a rank and step."""
    whose = job or JobRef(namespace="ns", name="toy", uid="u1")
    values: dict[str, Any] = {
        "job": whose,
        "attempt": 1,
        "output": names.output_path(whose.namespace, whose.name, whose.uid),
        "topology": Topology(nodes=nodes, processes_per_node=nproc, accelerator="cpu"),
        "batch": BatchPlan(per_device=1, accumulation=1, ranks=nodes * nproc),
        "model": make_model(),
        "dataset": DatasetRun(path="digits"),
        "training": make_training(),
        **fields,
    }
    return RunConfig(**values)
