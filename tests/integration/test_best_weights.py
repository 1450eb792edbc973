"""What a real RF-DETR leaves on its volume: best weights that the guide's way loads, and on a full one what fits."""

from __future__ import annotations

import hashlib
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from integration.one_rank import Job, StopAt, alone, build_job
from rfdetr_contract import names
from rfdetr_contract.report import FailureReason, Outcome
from rfdetr_contract.run import EarlyStoppingRun
from rfdetr_trainer.best import BestManifest, read_best
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.loading import load_verified
from rfdetr_trainer.outcome import End, Preempted

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's and Lightning's own, of a training inside this process


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data set, and torchrun's environment of the only rank."""
    folder = tmp_path_factory.mktemp("best")
    with alone(folder):
        yield folder


def read_total(job: Job) -> tuple[Path, BestManifest | None]:
    """The file that users take, and its sidecar."""
    path = job.folder.rfdetr / names.BEST_CHECKPOINT
    return path, read_best(path.with_suffix(".json"))


def test_a_finished_run_leaves_a_best_that_rfdetr_loads(home: Path) -> None:
    """By ``RFDETR.from_checkpoint``, with the digest that its sidecar tells, and with the judged weights in it."""
    from rfdetr import RFDETR

    job = build_job(home, "whole", stopping=EarlyStoppingRun())
    training = job.run.training.model_copy(update={"epochs": 10})  # the first after which RF-DETR would make an archive
    job = Job(job.run.model_copy(update={"training": training}), job.home, job.name)
    end = job.go()
    path, known = read_total(job)
    assert known is not None
    model = RFDETR.from_checkpoint(path)
    loaded = load_verified(path, known.sha256)

    assert isinstance(end, End)
    assert Outcome.COMPLETED == end.outcome
    assert known.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert known.weights == loaded["best_total_source"]
    held = model.model.model.state_dict()
    assert all(torch.equal(value, held[key].cpu()) for key, value in loaded["model"].items())
    assert {"checkpoint_best_ema.pth", "last_ema.pth", "last.ckpt"} <= {one.name for one in job.folder.rfdetr.iterdir()}
    assert [] == list(job.folder.root.rglob("checkpoint_[0-9]*.ckpt"))


@pytest.mark.parametrize(
    ("overrides", "kinds"),
    [({"use_ema": False}, {"regular"}), ({"eval_base_model": True}, {"regular", "ema"})],
    ids=["no average", "both judged"],
)
def test_the_trained_weights_are_published_where_they_are_judged(
    home: Path, overrides: dict[str, bool], kinds: set[str]
) -> None:
    """Without a moving average there is only them; with both, each has its file and the better one is the best."""
    job = build_job(home, f"best-{len(overrides)}-{len(kinds)}")
    training = job.run.training.model_copy(update={"overrides": overrides})
    job = Job(job.run.model_copy(update={"training": training}), job.home, job.name)
    end = job.go()
    path, known = read_total(job)
    names_there = {one.name for one in job.folder.rfdetr.glob("checkpoint_best_*.pth")}

    assert known is not None
    assert Outcome.COMPLETED == getattr(end, "outcome", None)
    assert {"checkpoint_best_total.pth", f"checkpoint_best_{known.weights}.pth"} <= names_there
    assert known.weights in kinds
    assert known.weights == load_verified(path, known.sha256)["best_total_source"]


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 64 KiB: no state fits."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_volume_does_not_stop_the_training_and_is_its_end(home: Path) -> None:
    """Every epoch is trained; without a state there is no success, and the reason is the volume's. With room it is one.
    Whoever is told to leave does so, and says that nothing was saved."""
    job = build_job(home, "full")
    with small_files():
        told_to_leave = job.go(5)
    with small_files(), pytest.raises(RunError) as caught:
        job.go()
    left = [path.name for path in job.folder.root.rglob("*.ckpt")] + [path.name for path in job.folder.root.rglob(".*")]
    rows = (job.folder.rfdetr / "metrics.csv").read_text().splitlines()

    assert (True, False) == (isinstance(told_to_leave, Preempted), getattr(told_to_leave, "saved", None))
    assert (FailureReason.STORAGE_FULL, [], False) == (caught.value.reason, left, job.folder.result.exists())
    assert len(rows) > 2
    end = job.go()
    assert Outcome.COMPLETED == getattr(end, "outcome", None)


def test_a_run_that_is_overtaken_in_the_middle_ends_without_a_name_or_a_marker_of_its_own(home: Path) -> None:
    """Another pod claims the next generation inside the first validation: what it trains from there on is nobody's."""
    job = build_job(home, "overtaken")

    class Overtaken(StopAt):
        """The claim, at the n-th of the places where the training looks for a signal."""

        def read(self) -> bool:
            self._left -= 1
            if self._left == 0:
                replace(job.storage, pod_uid="another").claim(0, None, 0, 1.0)
            return False

    with pytest.raises(RunError) as caught:
        job.go(10, Overtaken)
    left = {path.name for path in (*job.folder.root.glob("*.json"), *job.folder.rfdetr.rglob("*")) if path.is_file()}

    assert (FailureReason.OVERTAKEN, True) == (
        caught.value.reason,
        bool(list(job.folder.checkpoints.glob("g000001-*"))),
    )
    assert set() == left & {"result.json", "metrics.csv", "last.ckpt", "last_ema.pth", names.BEST_CHECKPOINT}
    assert Outcome.COMPLETED == getattr(job.go(), "outcome", None)
