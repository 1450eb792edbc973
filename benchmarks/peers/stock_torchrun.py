"""RF-DETR under stock torchrun: its Lightning primitives, Lightning's own ModelCheckpoint every few steps, and a resume
from the file that this leaves: `torchrun ... stock_torchrun.py DATA OUT [save-on-exception | per-epoch]`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from rfdetr.config import RFDETRNanoConfig, TrainConfig
from rfdetr.training import RFDETRDataModule, RFDETRModelModule, build_trainer

from benchmarks import workload


def build_configs(data: Path, out: Path) -> tuple[Any, Any]:
    model = RFDETRNanoConfig(
        pretrain_weights=None,
        num_classes=workload.CLASSES,
        resolution=workload.RESOLUTION,
        device="cpu",
        **workload.MODEL,
    )
    training = TrainConfig(
        dataset_dir=str(data),
        output_dir=str(out / "rfdetr"),
        epochs=workload.EPOCHS,
        batch_size=workload.PER_DEVICE,
        grad_accum_steps=1,
        lr=workload.LEARNING_RATE,
        lr_encoder=workload.LEARNING_RATE,
        seed=workload.SEED,
        num_workers=0,
        accelerator="cpu",
        devices=2,
        num_nodes=1,
        strategy="ddp",
        amp_dtype=None,
        tensorboard=False,
        progress_bar=None,
        checkpoint_interval=workload.EPOCHS,
        early_stopping=False,
        **workload.TRAINING,
    )
    return model, training


class Mortal(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """torchrun ends the survivors of a crash by SIGTERM, which Lightning's handler would only take note of."""

    def on_train_start(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(data: Path, out: Path, ways: Sequence[str]) -> None:
    torch.set_num_threads(1)
    pl.seed_everything(workload.SEED, workers=True)
    model, training = build_configs(data, out)
    module, datamodule = RFDETRModelModule(model, training), RFDETRDataModule(model, training)
    trainer = build_trainer(training, model)
    checkpoint = out / "steps" / "last.ckpt"
    saver = ModelCheckpoint(
        dirpath=str(checkpoint.parent),
        every_n_train_steps=None if "per-epoch" in ways else workload.STEPS_BETWEEN_CHECKPOINTS,
        every_n_epochs=1 if "per-epoch" in ways else None,
        save_top_k=0,
        save_last=True,
        enable_version_counter=False,
        save_on_exception="save-on-exception" in ways,
    )
    trainer.callbacks += [saver] if "save-on-exception" in ways else [saver, Mortal()]
    trainer.fit(module, datamodule, ckpt_path=str(checkpoint) if checkpoint.exists() else None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
