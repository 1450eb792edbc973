"""One short training of two ranks under torchrun, ours or RF-DETR's own, watched by the same observer."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks import ours, stock, workload
from benchmarks.processes import read_last_lines, running
from benchmarks.result import WentWrong
from rfdetr_contract import names
from rfdetr_contract.run import CheckpointRun, RunConfig
from rfdetr_trainer.launch.storage import Storage
from rfdetr_trainer.resume import Digests
from trainer_marks import write_plugin
from trainer_observer import ENV_FOLDER, ENV_STOP, ENV_WAY, FACTORY

RANKS: Final = 2
IMAGES: Final = 160
STEPS: Final = IMAGES // (RANKS * workload.PER_DEVICE)  # of an epoch
SCRIPT: Final = stock.PEERS / "stock_training.py"
Side = Literal["ours", "train", "resumable"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the observers of one training wrote: by rank, in the order of time."""

    files: tuple[Mapping[str, Any], ...]

    @property
    def samples(self) -> Counter[tuple[int, int]]:
        """How often a sample was trained on in an epoch, on all ranks."""
        return Counter((epoch, image) for file in self.files for epoch, images in file["samples"] for image in images)


@dataclass(frozen=True, slots=True)
class Training:
    """A training and its folder; it goes on from what is there."""

    side: Side
    data: Path
    folder: Path
    weights: Path
    epochs: int = 1

    @property
    def last(self) -> Path:
        """RF-DETR's own last checkpoint."""
        return self.rfdetr / "last.ckpt"

    @property
    def rfdetr(self) -> Path:
        """RF-DETR's output folder."""
        return (
            self.folder / "output" / self.build_run().output / names.RFDETR_DIR if self.side == "ours" else self.folder
        )

    def build_run(self) -> RunConfig:
        """The workload, once through."""
        run = ours.build_run(1, RANKS, self.data.name)
        return run.model_copy(
            update={
                "model": run.model.model_copy(update={"pretrain_weights": self.weights.name}),
                "training": run.training.model_copy(update={"epochs": self.epochs}),
                "checkpoints": CheckpointRun(),
            }
        )

    def go(self, stop: int | None = None, seconds: float = 150) -> None:
        """To the end, or to where it is interrupted."""
        write_plugin(self.folder / "plugin", FACTORY)
        seen = self.folder / "seen"
        seen.mkdir(parents=True, exist_ok=True)
        env = {
            "PYTHONPATH": workload.build_path(self.folder / "plugin"),
            "PL_GLOBAL_SEED": str(workload.SEED),
            ENV_FOLDER: str(seen),
            ENV_STOP: str(stop or ""),
            ENV_WAY: "sigterm" if self.side == "ours" else "raise",
        }
        words = [str(SCRIPT), str(self.data), str(self.folder), str(self.weights), self.side, str(self.epochs)]
        if self.side == "ours":
            words, env = ["-m", "rfdetr_trainer.worker"], env | self._prepare()
        agent = stock.Stock(self.side, self.folder, words, static=True, env=env)
        command = [word for word in agent.build_command(0) if not word.startswith("--max-restarts")]
        log = self.folder / "log"
        with running(command, workload.build_env(**env), log) as program:
            program.wait_end(seconds)
            if (program.exit_code != 0) != (stop is not None):
                raise WentWrong(f"{self.side}: torchrun ended with {program.exit_code}: {read_last_lines(log)}")

    def _prepare(self) -> dict[str, str]:
        """What our launcher does before a round: claim a generation, choose what to resume from."""
        output, run = self.folder / "output", self.build_run()
        storage = Storage(output, run, "benchmark", Digests(), lambda: None)
        output.mkdir(exist_ok=True)
        config = self.folder / names.RUN_CONFIG_FILE
        config.write_text(run.to_json())
        resume = storage.seal(storage.choose()[0])
        return {
            names.ENV_RUN_CONFIG: str(config),
            names.ENV_DATA_ROOT: str(self.data.parent),
            names.ENV_OUTPUT_ROOT: str(output),
            names.ENV_GENERATION: str(storage.claim(0, resume, 0, 0.0)),
            names.ENV_RESUME: resume.model_dump_json() if resume else "",
            names.ENV_POD_UID: "benchmark",
        }

    def read(self) -> Seen:
        """What was observed."""
        files = sorted((self.folder / "seen").glob("*.json"))
        return Seen(tuple(json.loads(file.read_text()) for file in files))


def create_start(folder: Path) -> tuple[Path, Path]:
    """Data, and the weights that all sides begin from (in the data's folder, where ours looks for them)."""
    data, weights = folder / "digits", folder / "start.pth"
    workload.create_dataset(data, IMAGES)
    command = [sys.executable, str(SCRIPT), str(data), str(folder), str(weights), "weights"]
    with running(command, workload.build_env(), folder / "weights.log") as program:
        program.wait_end(60)
    if not weights.exists():
        raise WentWrong(f"no weights to begin from: {read_last_lines(folder / 'weights.log')}")
    return data, weights
