"""Faults that strike at a named place of a real training, and the run that they strike.

A Lightning callback beside the trainer's own sends the signal: to its worker, or to the launcher above it. A fault is
due once every fault before it has struck, in a later generation than theirs.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from integration.launcher_pods import PATHS, Cluster, build_run
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.run import CheckpointRun, DatasetRun, RunConfig
from rfdetr_trainer.launch.settings import ENV_PREFLIGHT_MODULE, PREFLIGHT
from rfdetr_trainer.launch.spawn import ENV_PRELOAD, ENV_WORKER_MODULE, PRELOAD
from runs import SMALL, make_model
from trainer_callback import Marks
from trainer_marks import ENV_MARKS, Mark, read_marks, write_plugin

ENV_FAULTS = "TEST_FAULTS"
STAND_STILL = 0  # no signal: the worker lives and does nothing
MOMENT = 0.4  # seconds in which a signal to the launcher comes back down to its workers
# "import" is a launcher's life before its first worker: the run itself strikes there. "start" is a worker's life before
# its first step.
Place = Literal["import", "start", "first step", "step", "accumulation", "last batch", "validation", "save"]

Victim = Literal["worker", "launcher"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A signal to the worker or the launcher of each of these ranks, when the rank is at this place."""

    place: Place
    victim: Victim
    ranks: tuple[int, ...]
    number: int = signal.SIGTERM


def read_parent(pid: int) -> int:
    """The process above another one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def find_strikes(folder: Path, index: int) -> list[tuple[int, int]]:
    """Rank and generation of each strike of a fault."""
    files = [file.stem.split("-") for file in folder.glob(f"{index}-*.struck")]
    return [(int(rank), int(generation)) for _, rank, generation in files]


def stand_still() -> None:
    """What a lock that nobody gives back, or a data loader that waits for ever, looks like."""
    time.sleep(600)


class Faults(Marks):
    """Strikes once for each fault."""

    def __init__(self, folder: Path, faults: Sequence[Fault], rank: int, generation: int) -> None:
        self._folder, self._faults, self._rank, self._generation = folder, faults, rank, generation
        self._steps = 0
        super().__init__(folder / "marks.jsonl")
        self.strike("start")

    def strike(self, place: Place) -> None:
        """Send what is due here."""
        found = self.find_due()
        if found is None or found[1].place != place or self._rank not in found[1].ranks:
            return
        index, fault = found
        file = self._folder / f"{index}-{self._rank}-{self._generation}.struck"
        if file.exists():
            return
        file.touch()
        if fault.number == STAND_STILL:
            stand_still()
        elif fault.victim == "worker":
            os.kill(os.getpid(), fault.number)
        else:
            os.kill(read_parent(os.getppid()), fault.number)
            time.sleep(MOMENT)

    def find_due(self) -> tuple[int, Fault] | None:
        """The first fault that has not struck all its ranks, if this generation is its turn."""
        last = 0
        for index, fault in enumerate(self._faults):
            strikes = find_strikes(self._folder, index)
            if len(strikes) < len(fault.ranks):
                return (index, fault) if self._generation > last else None
            last = max(generation for _, generation in strikes)
        return None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The places at which a batch is about to be computed."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if batch_idx + 1 == trainer.num_training_batches:
            self.strike("last batch")
        elif batch_idx % trainer.accumulate_grad_batches == 0:
            self.strike("step" if self._steps else "first step")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Between two batches of one step."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._steps += 1
        if (batch_idx + 1) % trainer.accumulate_grad_batches and batch_idx + 1 < trainer.num_training_batches:
            self.strike("accumulation")

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """In the middle of a validation."""
        self.strike("validation")

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """While the state is gathered."""
        self.strike("save")


def create_callbacks() -> list[pl.Callback]:
    """The factory that Lightning calls in each worker."""
    faults = [Fault(**{**each, "ranks": tuple(each["ranks"])}) for each in json.loads(os.environ[ENV_FAULTS])]
    folder = Path(os.environ[ENV_MARKS])
    return [Faults(folder, faults, int(os.environ["RANK"]), int(os.environ["RFDETR_GENERATION"]))]


def build_real_run(epochs: int, **limits: float) -> RunConfig:
    """The smallest RF-DETR on two nodes: two batches a step, a checkpoint every other step."""
    run = build_run(2, 1, "auto", "u1", **limits)
    training = run.training.model_copy(update={"epochs": epochs, "lr_drop": 100, "precision": "auto", "seed": 7})
    return run.model_copy(
        update={
            "batch": BatchPlan(per_device=1, accumulation=2, ranks=2),
            "model": make_model(overrides={**SMALL, "patch_size": 16}),
            "dataset": DatasetRun(path="digits"),
            "training": training,
            "checkpoints": CheckpointRun(every_steps=2),
        }
    )


@dataclass
class Struck:
    """A run under faults: each pod that leaves before the end is replaced at once, as the operator does."""

    cluster: Cluster
    early: tuple[Fault, ...]  # those at the launchers' import
    ends: list[tuple[int, int]]  # rank and exit code of each pod that ended

    @property
    def marks(self) -> list[Mark]:
        """What the ranks did."""
        return read_marks(self.cluster.folder / "marks" / "marks.jsonl")

    def strike_early(self, fault: Fault) -> None:
        """Signal launchers whose fork servers still import."""
        pods = {rank: self.cluster.start(rank) for rank in fault.ranks}
        for pod in pods.values():
            pod.wait_for("serving /metrics")
            pod.kill(fault.number)
        self.ends += [(rank, pod.end()) for rank, pod in pods.items()]

    def run(self, seconds: float) -> None:
        """Until every rank's pod has ended with success."""
        for fault in self.early:
            self.strike_early(fault)
        deadline = time.monotonic() + seconds
        pods = {rank: self.cluster.start(rank) for rank in (0, 1)}
        while any(pod.process.poll() != 0 for pod in pods.values()):
            for rank, pod in pods.items():
                code = pod.process.poll()
                if code:
                    self.ends.append((rank, code))
                    assert code in {75, -signal.SIGKILL}, pod.text
                    pods[rank] = self.cluster.start(rank)
            assert time.monotonic() < deadline, "\n".join(pod.text for pod in self.cluster.pods[-2:])
            time.sleep(0.05)
        self.ends += [(rank, 0) for rank in pods]


def build_struck(folder: Path, faults: Sequence[Fault], epochs: int, **limits: float) -> Struck:
    """The run, not started; the data set is in ``folder / "digits"``."""
    marks, plugin = folder / "marks", folder / "plugin"
    marks.mkdir()
    early = tuple(fault for fault in faults if fault.place == "import")
    write_plugin(plugin, "integration.launcher_faults:create_callbacks")
    environ = {
        "PYTHONPATH": os.pathsep.join(str(path) for path in (*PATHS, plugin)),
        "PYTHONWARNINGS": "ignore",
        ENV_MARKS: str(marks),
        ENV_FAULTS: json.dumps([asdict(fault) for fault in faults if fault not in early]),
        ENV_WORKER_MODULE: "",
        ENV_PRELOAD: PRELOAD,
        ENV_PREFLIGHT_MODULE: PREFLIGHT,
    }
    return Struck(Cluster(folder, build_real_run(epochs, **limits), {}, environ=environ), early, [])
