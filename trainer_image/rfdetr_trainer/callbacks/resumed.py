"""What Lightning and RF-DETR forget when a run resumes inside an epoch, put right before its first step."""

from __future__ import annotations

from typing import Any, TypedDict

import pytorch_lightning as pl
import torch

from rfdetr_trainer import loop_state
from rfdetr_trainer.table import find_tables


class Kept(TypedDict):
    """One running mean of the epoch: the sum over the samples so far, and what it takes to show it."""

    fx: str
    name: str
    prog_bar: bool
    logger: bool
    value: torch.Tensor
    samples: int


class Resumed(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Keeps the epoch's running means of rank 0 (``train/loss`` and its parts), and has a trained epoch validated.

    Rows of ``metrics.csv`` that will be made again go.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._made: tuple[str, ...] = ()
        self._trainer: Any = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The means are the trainer's."""
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """The means of the running epoch, as plain types."""
        return {"means": collect_means(self._trainer.fit_loop.epoch_loop._results)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """They are given back once the epoch goes on."""
        self._kept = dict(state_dict["means"])

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Runs before Lightning's loops are restored from the same dictionary."""
        loop = checkpoint["loops"]["fit_loop"]
        if loop_state.is_epoch_trained(loop):
            every = self._choose_validation_interval(trainer, loop["epoch_progress"]["current"]["processed"])
            rewind = (loop["epoch_progress"]["current"]["processed"] + 1) % every == 0
            (loop_state.rewind_validation if rewind else loop_state.skip_to_epoch_end)(loop)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Inside an epoch Lightning calls no ``on_train_epoch_start``, where RF-DETR has the last epoch validated."""
        for table in find_tables(trainer):
            table.resume(trainer.global_step)
        if not trainer.fit_loop.restarted_mid_epoch:
            self._kept = {}
            return
        trainer.check_val_every_n_epoch = self._choose_validation_interval(trainer, trainer.current_epoch)
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._give_back(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Means that were made here have been shown; Lightning makes its own."""
        for key in self._made:
            del trainer.fit_loop.epoch_loop._results[key]
        self._made = ()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The first batch has made Lightning's means anew; what was summed before comes first."""
        if self._kept:
            self._give_back(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation that resumes is counted from its first batch like any other."""
        trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset()

    def _give_back(self, trainer: Any) -> None:
        if trainer.is_global_zero:
            self._made = restore_means(trainer.fit_loop.epoch_loop._results, self._kept)
        self._kept = {}

    @staticmethod
    def _choose_validation_interval(trainer: Any, epoch: int) -> int:
        return 1 if epoch >= trainer.max_epochs - 1 else int(trainer.check_val_every_n_epoch)


def collect_means(results: Any) -> dict[str, Kept]:
    """The running means by Lightning's key; what ranks would have to add up together is left out."""
    return {
        key: Kept(
            fx=metric.meta.fx,
            name=metric.meta.name,
            prog_bar=metric.meta.prog_bar,
            logger=metric.meta.logger,
            value=metric.value.clone(),
            samples=int(metric.cumulated_batch_size),
        )
        for key, metric in results.valid_items()
        if metric.is_tensor
        and metric.meta.on_epoch
        and metric.meta.is_mean_reduction
        and not metric.meta.on_step
        and not metric.meta.sync.should
    }


def restore_means(results: Any, kept: dict[str, Kept]) -> tuple[str, ...]:
    """Add what was summed before; the keys that had to be made.

    The order of the additions is that of a run without a break, so is the result.
    """
    made = tuple(key for key in kept if key not in results)
    for key, mean in kept.items():
        if key in made:
            results.log(
                mean["fx"],
                mean["name"],
                torch.zeros_like(mean["value"]),
                prog_bar=mean["prog_bar"],
                logger=mean["logger"],
                on_epoch=True,
                batch_size=0,
            )
        metric = results[key]
        metric.value = mean["value"].to(metric.value.device) + metric.value
        metric.cumulated_batch_size = metric.cumulated_batch_size + mean["samples"]
    return made
