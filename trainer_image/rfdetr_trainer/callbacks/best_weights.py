"""RF-DETR's own choice of the best weights, published when they appear instead of at the end, and behind the training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from rfdetr.training.callbacks import BestModelCallback

from rfdetr_contract.report import Weights
from rfdetr_trainer.best import Candidate
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO

logger = logging.getLogger(__name__)

HEAD = ("epoch", "global_step", "pytorch-lightning_version", "loops", "optimizer_states", "lr_schedulers")


class BestWeights(BestModelCallback):  # type: ignore[misc]  # rfdetr is not type-checked here
    """Decides as its parent does, and writes nothing itself: the weights are part of the state that is saved next."""

    def __init__(self, stock: Any, storage: DurableCheckpointIO) -> None:
        super().__init__(
            output_dir=str(stock._output_dir),
            monitor_regular=stock.monitor,
            monitor_ema=stock._monitor_ema,
            run_test=stock._run_test,
            skip_best_epochs=stock._skip_best_epochs,
            smooth_alpha=stock._smooth_alpha,
            evaluates_base_model=stock._evaluates_base_model,
        )
        self._storage = storage
        self._improved: list[Weights] = []

    @property
    def state_key(self) -> str:
        """The parent's: a state of one is a state of the other."""
        return str(super().state_key).replace(type(self).__qualname__, BestModelCallback.__qualname__, 1)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """What the restored state calls its best is what the folder has, and the other way round.

        Not at the start of the training, which a run that is only judged has none of.
        """
        super().on_fit_start(trainer, pl_module)
        self._believe(
            trainer, trainer.strategy.broadcast(self._storage.bests.settle() if trainer.is_global_zero else None)
        )
        if trainer.is_global_zero:
            self._storage.bests.settle_total(self._choose_total())

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A best that could not be kept is none; a new one goes with the next state."""
        if trainer.sanity_checking:
            return
        if trainer.is_global_zero and "ema" in self._storage.bests.take_lost():
            self._best_ema = self._storage.bests.read_scores().get("ema") or 0.0
        self._improved = []
        super().on_validation_end(trainer, pl_module)
        if trainer.is_global_zero and self._improved:
            total = self._choose_total()
            finished = trainer.current_epoch + 1
            offered = [
                self._build_candidate(trainer, kind, finished, is_total=kind == total) for kind in self._improved
            ]
            self._storage.bests.offer(offered)

    def _choose_total(self) -> Weights:
        regular = self._score("regular")
        ema_leads = not self._evaluates_base_model or self._best_ema > (regular or 0.0)
        return "ema" if self._monitor_ema is not None and ema_leads else "regular"

    def _score(self, kind: Weights) -> float | None:
        if kind == "ema":
            return float(self._best_ema)
        if self._smooth_alpha > 0.0:
            return float(self._best_raw_regular)
        return None if self.best_model_score is None else float(self.best_model_score)

    def _believe(self, trainer: Any, scores: dict[Weights, float | None]) -> None:
        """Set right what does not agree with the files; what agrees stays as it was restored, to the bit."""
        if trainer.is_global_zero and (scores["ema"] or 0.0) != self._best_ema:
            self._best_ema = scores["ema"] or 0.0
        if scores["regular"] is None and self._score("regular"):
            for name, value in build_unscored().items():
                setattr(self, name, value)

    def _build_candidate(self, trainer: Any, kind: Weights, epoch: int, *, is_total: bool) -> Candidate:
        metrics = trainer.callback_metrics
        metric = str(self._monitor_ema if kind == "ema" else self.monitor)
        box = metric.removesuffix("mAR") + "mAP_50_95" if metric.endswith("mAR") else metric
        read = {key: float(metrics[key]) for key in (box, box.removesuffix("_95")) if key in metrics}
        payload = self._build_checkpoint_payload({}, None, trainer)
        return Candidate(
            weights=kind,
            is_total=is_total,
            step=trainer.global_step,
            epoch=epoch,
            metric=metric,
            score=self._score(kind) or 0.0,
            map50_95=read.get(box),
            map50=read.get(box.removesuffix("_95")),
            head={key: payload[key] for key in HEAD},
        )

    def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
        """The parent has found the trained weights to be better."""
        self._improved.append("regular")
        self._last_global_step_saved = trainer.global_step

    def _write_ema_checkpoint(self, trainer: Any, pl_module: Any, ema_state_dict: Any, dest: Path) -> None:
        """The parent has found the moving average to be better."""
        self._improved.append("ema")

    @staticmethod
    def _get_ema_model_state_dict(trainer: Any, pl_module: Any) -> dict[str, Any]:  # noqa: ARG004 - the parent's
        """The parent would copy what it then gives to ``_write_ema_checkpoint``."""
        return {}

    def _promote_best_total(self, trainer: Any, pl_module: Any, total_path: Path) -> bool:
        """At the end there is a best, and RF-DETR's file of the last moving average."""
        self._storage.drain()
        tree = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        total = self._choose_total()
        try:
            if self._storage.bests.read_scores()[total] is None:  # no score was better than nothing
                self._storage.bests.write(
                    tree, self._build_candidate(trainer, total, trainer.current_epoch, is_total=True)
                )
            if self._monitor_ema is not None:
                last = self._build_candidate(trainer, "ema", trainer.current_epoch, is_total=False)
                self._storage.bests.write_weights(tree, last, total_path.with_name("last_ema.pth"))
        except OSError as error:
            logger.warning("%s is not there: %s", total_path.name, error.strerror)
        return total == "ema"


def build_unscored() -> dict[str, Any]:
    """What Lightning's own callback holds before anything was scored."""
    names = {"best_model_path": "", "kth_best_model_path": "", "best_k_models": {}}
    return {**names, "best_model_score": None, "kth_value": torch.tensor(float("-inf")), "_best_raw_regular": 0.0}


def replace_best(trainer: Any, storage: DurableCheckpointIO) -> None:
    """Put ours in the place of RF-DETR's."""
    trainer.callbacks = [
        BestWeights(callback, storage) if type(callback) is BestModelCallback else callback
        for callback in trainer.callbacks
    ]
