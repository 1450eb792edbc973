"""Why a run failed, read in its pod's last message; each cause is real, and so is the worker where it must be."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from integration.launcher_breaks import FACTORY
from integration.launcher_pods import PATHS, Cluster, Pod, build_run
from integration.test_training import make_run
from rfdetr_contract import names
from rfdetr_contract.report import ExitCode, FailureReason, RunReport
from rfdetr_contract.run import LimitsRun, RunConfig
from rfdetr_trainer.launch.settings import ENV_PREFLIGHT_MODULE, PREFLIGHT
from rfdetr_trainer.launch.spawn import ENV_PRELOAD, ENV_WORKER_MODULE, PRELOAD
from trainer_marks import write_plugin

REAL = {ENV_WORKER_MODULE: "", ENV_PRELOAD: PRELOAD, ENV_PREFLIGHT_MODULE: PREFLIGHT, "PYTHONWARNINGS": "ignore"}
Make = Callable[..., Cluster]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set in it."""
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder / "digits", Recipe(train=8, valid=2))
    return folder


@pytest.fixture
def make(tmp_path: Path, data: Path) -> Iterator[Make]:
    """Builds a cluster of one node over the data set, with a toy as its worker unless said otherwise."""
    made: list[Cluster] = []

    def build(run: RunConfig | None = None, **environ: str) -> Cluster:
        toy: dict[str, object] = {"steps": 200, "seconds": 0.01, "every": 5}
        environ = {names.ENV_DATA_ROOT: str(data), **environ}
        made.append(Cluster(tmp_path, run or build_run(1), toy, environ=environ))
        return made[-1]

    yield build
    for cluster in made:
        cluster.close()


def make_real_run() -> RunConfig:
    """One rank, one epoch, no second try."""
    return make_run(ranks=1, epochs=1).model_copy(update={"limits": LimitsRun(same_failure_limit=1)})


def end(pod: Pod) -> tuple[int, FailureReason | None, RunReport]:
    """How a pod ended."""
    code, report = pod.end(120), pod.report()
    return code, report.reason, report


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """What is started in here writes no file of more bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_broken_annotation_file_is_a_fault_of_the_data(make: Make, data: Path, tmp_path: Path) -> None:
    """It was cut off while it was copied; no worker begins."""
    shutil.copytree(data / "digits", tmp_path / "digits")
    file = tmp_path / "digits" / "train" / "_annotations.coco.json"
    file.write_bytes(file.read_bytes()[:-20])

    pod = make(**{ENV_PREFLIGHT_MODULE: PREFLIGHT, names.ENV_DATA_ROOT: str(tmp_path)}).start(0)

    code, reason, report = end(pod)
    assert (ExitCode.DATA_ERROR, FailureReason.DATA_ERROR) == (code, reason)
    assert report.message.startswith("train/_annotations.coco.json ")
    assert "pid" not in pod.text


def test_checkpoints_that_are_all_spoilt_are_corrupt(make: Make) -> None:
    """A run never begins anew over its own work."""
    cluster = make()
    pod = cluster.start(0)
    pod.wait_for("generation 1 step 21$")
    pod.kill(signal.SIGTERM)
    assert ExitCode.PREEMPTED == pod.end()
    files = sorted(cluster.output.checkpoints.glob("*.ckpt"))
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])

    code, reason, report = end(cluster.start(0))

    words = f"none of the {len(files)} checkpoints in ns/toy/u1/checkpoints matches its digest"
    assert (ExitCode.FAILED, FailureReason.CHECKPOINT_CORRUPT, words) == (code, reason, report.message)


def test_an_output_volume_that_is_none_is_a_fault_of_the_storage(make: Make, tmp_path: Path) -> None:
    """A file lies where the folder should be."""
    (tmp_path / "output").touch()

    code, reason, report = end(make().start(0))

    assert (ExitCode.STORAGE, FailureReason.STORAGE_ERROR) == (code, reason)
    assert report.message.startswith(f"{names.OUTPUT_MOUNT}: Not a directory: ")


def test_a_volume_that_takes_no_state_is_full(make: Make) -> None:
    """The training goes on to its end, which is none without a state."""
    cluster = make(make_real_run(), **REAL)
    with limit_files(1 << 20):
        pod = cluster.start(0)

    code, reason, report = end(pod)

    words = "the checkpoint could not be saved: File too large"
    assert (ExitCode.STORAGE, FailureReason.STORAGE_FULL, True) == (code, reason, report.message.startswith(words))
    assert [] == [file for file in cluster.output.checkpoints.iterdir() if file.stat().st_size]


def test_an_image_that_cannot_be_read_is_told_with_its_stack(make: Make, data: Path, tmp_path: Path) -> None:
    """Its header is whole, so the preflight lets it pass."""
    shutil.copytree(data / "digits", tmp_path / "digits")
    for file in (tmp_path / "digits" / "train").glob("*.[jp]*g"):
        os.truncate(file, file.stat().st_size // 2)

    code, reason, report = end(make(make_real_run(), **REAL, **{names.ENV_DATA_ROOT: str(tmp_path)}).start(0))

    assert (ExitCode.FAILED, FailureReason.USER_CODE, 0) == (code, reason, report.culprit_rank)
    assert report.message.startswith("OSError: image file is truncated")
    assert report.last_lines.endswith("OSError: image file is truncated\n")
    assert 'PIL/ImageFile.py", line ' in report.last_lines


def test_memory_that_the_system_refuses_is_the_hosts(make: Make, tmp_path: Path) -> None:
    """A callback of the user's asks for it."""
    write_plugin(tmp_path / "plugin", FACTORY)
    paths = os.pathsep.join(str(path) for path in (*PATHS, tmp_path / "plugin"))

    code, reason, report = end(make(make_real_run(), **REAL, PYTHONPATH=paths).start(0))

    assert (ExitCode.FAILED, FailureReason.HOST_OOM, 0) == (code, reason, report.culprit_rank)
    assert "Cannot allocate memory" in report.message
