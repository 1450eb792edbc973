"""What must hold: the whole world is there, the loss is a number, and the config beats the checkpoint."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import EarlyStopping

from rfdetr_contract.report import FailureReason, World
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.messages import Line


def find_early_stopping(trainer: Any) -> Any | None:
    """RF-DETR's early-stopping callback, or None when it is off."""
    return next((callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)), None)


class Seen(NamedTuple):
    """What one rank says of itself."""

    rank: int
    node: int
    device: str
    precision: str


class WorldGuard(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Counts the ranks before the first step: nothing silently trains on fewer devices."""

    def __init__(self, run: RunConfig, line: Line, environ: Mapping[str, str] = os.environ) -> None:
        self._run = run
        self._line = line
        self._node = int(environ["GROUP_RANK"])
        self.world: World | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Every rank names its node, device and precision; every rank compares.

        Raises:
            RunError: the world is not the one that was asked for.

        """
        mine = Seen(trainer.global_rank, self._node, describe_device(pl_module.device), str(trainer.precision))
        seen: list[Any] = [None] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(seen, mine)
        else:
            seen = [mine]
        self.world = attest(self._run.topology.world_size, seen)
        if trainer.is_global_zero:
            self._line.send(world=self.world)


def describe_device(device: torch.device) -> str:
    """A GPU's name, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def attest(expected: int, seen: Sequence[Seen]) -> World:
    """The world that was counted.

    Raises:
        RunError: ranks are missing or there twice, or they compute in different precisions.

    """
    ranks = sorted({one.rank for one in seen})
    precisions = sorted({one.precision for one in seen})
    if ranks != list(range(expected)):
        raise RunError(
            FailureReason.WORLD_SIZE_MISMATCH, f"{expected} ranks were asked for, {len(ranks)} are there: {ranks}"
        )
    if len(precisions) > 1:
        raise RunError(
            FailureReason.WORLD_SIZE_MISMATCH,
            f"ranks compute in different precisions ({', '.join(precisions)}); set training.precision",
        )
    devices = tuple(one.device for one in sorted(seen))
    nodes = tuple(count for _, count in sorted(Counter(one.node for one in seen).items()))
    return World(
        expected=expected,
        attested=len(ranks),
        devices=devices[:16],
        devices_per_node=nodes[:16],
        precision=precisions[0],
    )


class LossGuard(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """Looks for a loss that is not a number. It only keeps what it found: all ranks leave together, at a boundary.

    A loss is copied before the backward pass and looked at after it: a GPU has computed it by then, and is not waited for.
    """

    def __init__(self) -> None:
        self._finding = ""
        self._losses: list[torch.Tensor] = []  # one for each batch of this step, on the CPU once ``_copied`` is
        self._copied: torch.cuda.Event | None = None

    def read(self) -> str:
        """One sentence about the first loss that was not a finite number, or nothing."""
        return self._finding

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
        """Copies this batch's loss. Lightning has divided it by the batches of a step, and scaled it for fp16."""
        self._losses.append(loss.detach().to("cpu", non_blocking=True))
        if loss.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Looks at the losses of this step's batches."""
        if self._copied is not None:
            self._copied.synchronize()
        found, self._losses = [float(loss) for loss in self._losses], []
        wrong = next((index for index, loss in enumerate(found) if not math.isfinite(loss)), None)
        if not self._finding and wrong is not None:
            self._finding = (
                f"the loss is {found[wrong]} at step {trainer.global_step + 1} (epoch {trainer.current_epoch + 1}, "
                f"batch {wrong + 1} of {len(found)} in the step); lower training.learningRate or look at the data"
            )


class ConfigBeatsCheckpoint(pl.Callback):  # type: ignore[misc]  # Lightning is not type-checked here
    """What the user says now holds, whatever the checkpoint says: patience, and weight decay with all else that an
    optimizer's group holds beside its learning rate. The learning rate is the schedule's, which goes on.
    """

    def __init__(self, run: RunConfig) -> None:
        self._stopping = run.training.early_stopping
        self._groups: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Runs before the optimizer's state is restored."""
        self._groups = [pick_settings(group) for group in trainer.optimizers[0].param_groups]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Runs after the state was restored; a run that has waited enough trains no further step."""
        restored = trainer.optimizers[0].param_groups
        for group, settings in zip(restored, self._groups, strict=True):
            group.update(settings)
        stopping = find_early_stopping(trainer)
        if stopping is None:
            return
        stopping.patience = self._stopping.patience
        if stopping.wait_count >= stopping.patience:
            trainer.should_stop = True


def pick_settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a group of parameters holds beside them and their learning rate."""
    return {key: value for key, value in group.items() if key not in {"params", "lr", "initial_lr"}}
