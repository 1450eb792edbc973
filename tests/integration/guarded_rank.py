"""One rank of a small Lightning training that counts its world first: ``python -m integration.guarded_rank RUN PRECISION``.

Its last line is the reason and sentence of the refusal, or what it counted, and the steps that were trained.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel

from rfdetr_contract.run import RunConfig
from rfdetr_trainer.callbacks.guards import WorldGuard
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.messages import Line


def main(file: str, precision: str) -> str:
    """Train four steps."""
    guard = WorldGuard(RunConfig.model_validate_json(Path(file).read_bytes()), Line(None, int(os.environ["RANK"]), 1))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=int(os.environ["LOCAL_WORLD_SIZE"]),
        num_nodes=int(os.environ["GROUP_WORLD_SIZE"]),
        strategy="ddp",
        precision=precision,
        callbacks=[guard],
        max_steps=4,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(BoringModel())
    except RunError as error:
        return f"{error.reason}: {error.message}; {trainer.global_step} steps"
    assert guard.world is not None
    return f"{guard.world.model_dump_json()}; {trainer.global_step} steps"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(main(*sys.argv[1:]), flush=True)
