"""A short training by RF-DETR alone: `torchrun ... stock_training.py DATA OUT WEIGHTS (train | resumable) EPOCHS`.

`train` is RFDETR.train() as its guide has it. `resumable` are its primitives with Lightning's own checkpoint of each
step, and a resume from the newest one. `weights` (without torchrun) writes the weights that all sides begin from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from rfdetr import RFDETRNano
from rfdetr.config import RFDETRNanoConfig, TrainConfig
from rfdetr.training import RFDETRDataModule, RFDETRModelModule, build_trainer

from benchmarks import workload


def build_model(weights: Path | None) -> dict[str, Any]:
    return {
        "pretrain_weights": str(weights) if weights else None,
        "num_classes": workload.CLASSES,
        "resolution": workload.RESOLUTION,
        "device": "cpu",
        **workload.MODEL,
    }


def build_training(data: Path, out: Path, epochs: int = 1) -> dict[str, Any]:
    """Ours in RF-DETR's words. Without a seed of its own it takes the order of the samples from PL_GLOBAL_SEED."""
    return {
        "dataset_dir": str(data),
        "output_dir": str(out),
        "epochs": epochs,
        "batch_size": workload.PER_DEVICE,
        "grad_accum_steps": 1,
        "lr": workload.LEARNING_RATE,
        "lr_encoder": workload.LEARNING_RATE,
        "lr_scheduler": "step",
        "lr_scheduler_kwargs": {"lr_drop": workload.EPOCHS},
        "warmup_epochs": 0.0,
        "weight_decay": 1e-4,
        "num_workers": 0,
        "accelerator": "cpu",
        "devices": 2,
        "num_nodes": 1,
        "strategy": "ddp",
        "amp_dtype": None,
        "tensorboard": False,
        "progress_bar": None,
        "checkpoint_interval": workload.EPOCHS,
        "early_stopping": False,
        **workload.TRAINING,
    }


def write_weights(target: Path) -> None:
    pl.seed_everything(workload.SEED)
    module = RFDETRModelModule(RFDETRNanoConfig(**build_model(None)), TrainConfig(**build_training(target, target)))
    torch.save({"model": module.model.state_dict()}, target)


def train(data: Path, out: Path, weights: Path, epochs: int) -> None:
    RFDETRNano(**build_model(weights)).train(**build_training(data, out, epochs))


def train_resumable(data: Path, out: Path, weights: Path, epochs: int) -> None:
    checkpoint = out / "steps" / "last.ckpt"
    found = checkpoint if checkpoint.exists() else None
    model = RFDETRNanoConfig(**build_model(None if found else weights))
    training = TrainConfig(**build_training(data, out, epochs))
    trainer = build_trainer(training, model)
    saver = ModelCheckpoint(dirpath=str(checkpoint.parent), every_n_train_steps=1, save_top_k=0, save_last=True)
    trainer.callbacks += [saver]
    trainer.fit(RFDETRModelModule(model, training), RFDETRDataModule(model, training), ckpt_path=found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, target, start = (Path(word) for word in sys.argv[1:4])
    if sys.argv[4] == "weights":
        write_weights(start)
    elif sys.argv[4] == "train":
        train(folder, target, start, int(sys.argv[5]))
    else:
        train_resumable(folder, target, start, int(sys.argv[5]))
