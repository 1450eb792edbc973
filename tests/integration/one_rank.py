"""One rank in this process: rounds of a job as its launcher would start them, told to leave at a place of our choice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from examples.data.digits import Recipe, write_digits
from integration.test_training import build_environ, flatten, is_equal, make_run
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.report import RunReport
from rfdetr_contract.run import EarlyStoppingRun, RunConfig
from rfdetr_trainer.callbacks.boundary import StopFlag
from rfdetr_trainer.dataset import detect_layout
from rfdetr_trainer.durable import VOLUME, Volume
from rfdetr_trainer.fingerprint import read_facts
from rfdetr_trainer.fit import Round, fit
from rfdetr_trainer.launch.storage import Storage
from rfdetr_trainer.loading import load_verified
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.messages import Line
from rfdetr_trainer.outcome import End, Preempted
from rfdetr_trainer.resume import Digests
from rfdetr_trainer.worker import quieten

WHERE_FOLDERS_SHOW = ("path", "best_k_models", "output_dir", "args/resume")


class StopAt(StopFlag):
    """SIGTERM at the n-th place where the training looks for one."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._left = place

    def read(self) -> bool:
        """Counts the places."""
        self._left -= 1
        return self._left <= 0


class Crash(Exception):
    """What nobody saw coming."""


class CrashAt(StopAt):
    """The training breaks off at the n-th of those places: nothing is agreed on, nothing more is saved."""

    def read(self) -> bool:
        """Counts the places.

        Raises:
            Crash: this is the one.

        """
        if super().read():
            raise Crash
        return False


@dataclass(frozen=True)
class Job:
    """One run and its folder."""

    run: RunConfig
    home: Path
    name: str
    volume: Volume = VOLUME

    @property
    def storage(self) -> Storage:
        """What rank 0's launcher would use."""
        data = self.home / self.run.dataset.path
        facts = read_facts(data, detect_layout(data, self.run.dataset.format))
        return Storage(self.home / self.name, self.run, "pod", Digests(), lambda: facts)

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps its work."""
        return self.storage.folder

    def go(self, place: int = 1_000_000, way: type[StopAt] = StopAt) -> End | Preempted | Crash:
        """One round from what is durable, to its end or to the place where it is told to leave, or breaks off."""
        storage = self.storage
        resume = storage.seal(storage.choose()[0])
        generation = storage.claim(0, resume, 0, 0.0)
        line, flag = Line(None, 0, generation), way(place)
        this = Round(self.home, self.home / self.name, generation, resume, line, flag, "pod", self.volume)
        try:
            return fit(self.run, this)
        except (Preempted, Crash) as end:
            return end
        finally:
            line._socket.close()
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

    def read(self) -> dict[str, Any]:
        """All that a run leaves: its last checkpoint without the names of folders, and RF-DETR's own table."""
        found = self.storage.choose()[0].found
        assert found is not None
        state = flatten(load_verified(found.path, found.manifest.sha256))
        kept = {path: leaf for path, leaf in state.items() if not any(word in path for word in WHERE_FOLDERS_SHOW)}
        return kept | {"metrics.csv": (self.folder.rfdetr / "metrics.csv").read_text()}

    def report(self) -> dict[str, Any]:
        """What the terminal marker says of the training itself."""
        report = RunReport.model_validate_json(self.folder.result.read_bytes())
        kept = {"epoch", "step", "ema", "best", "patience"}
        told = report.model_dump(include={"outcome", "message", "world", "judgement"})
        return told | (report.progress.model_dump(include=kept) if report.progress else {})


def list_differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """What is not bitwise equal."""
    return sorted(key for key in left.keys() | right.keys() if not is_equal(left.get(key), right.get(key)))


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """A small data set in the folder, and torchrun's environment of the only rank."""
    write_digits(home / "digits", Recipe(train=10, valid=4))
    with pytest.MonkeyPatch.context() as environ:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for key, value in build_environ(home, 0, 1, port).items():
            environ.setenv(key, value)
        quieten()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as a worker does: some kernels of masks add up in the order in which threads end
        yield
        torch.set_num_threads(threads)


def build_job(home: Path, name: str, *, stopping: EarlyStoppingRun | None = None) -> Job:
    """Two epochs of five steps of two batches each; augmentation is RF-DETR's own default."""
    run = make_run(ranks=1, stopping=stopping or EarlyStoppingRun(enabled=True, patience=9))
    plan = BatchPlan(per_device=1, accumulation=2, ranks=1)
    return Job(run.model_copy(update={"batch": plan}), home, name)
