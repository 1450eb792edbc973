"""Real RF-DETR on real digits: ranks as processes over gloo, interrupted, resumed, judged."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from examples.data.digits import Recipe, write_digits
from rfdetr_contract import names
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.report import ExitCode, FailureReason, Outcome, RunReport
from rfdetr_contract.run import CheckpointRun, DatasetRun, EarlyStoppingRun, JobRef, ModelRun, RunConfig
from rfdetr_trainer.loading import load_verified
from rfdetr_trainer.manifest import Manifest, RunFolder
from rfdetr_trainer.messages import WorkerMessage
from rfdetr_trainer.resume import Resume
from rfdetr_trainer.retention import read_manifests
from runs import SMALL, make_model, make_run_config, make_training

REPOSITORY = Path(__file__).parents[2]


def make_run(
    *, ranks: int = 2, epochs: int = 2, model: ModelRun | None = None, stopping: EarlyStoppingRun | None = None
) -> RunConfig:
    """A smoke run: it proves plumbing, not learning. Augmentation is RF-DETR's own default."""
    return make_run_config(
        ranks,
        job=JobRef(namespace="n", name="j", uid="u"),
        batch=BatchPlan(per_device=2, accumulation=1, ranks=ranks),
        model=model or make_model(overrides={**SMALL, "patch_size": 16}),
        training=make_training(epochs=epochs, weight_decay=1e-4, seed=7, early_stopping=stopping or EarlyStoppingRun()),
    )


@dataclass
class Gang:
    """The ranks of one round, and what rank 0 says."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)  # beside torchrun's
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    messages: list[WorkerMessage] = field(default_factory=list)

    def start(
        self, run: RunConfig, *, generation: int = 1, resume: Resume | None = None, size: int | None = None
    ) -> None:
        """Start every rank that is planned, or so many, with torchrun's environment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "run.json").write_text(run.to_json())
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.folder / f"s{generation}"
        self._ear.bind(str(path))
        self._ear.settimeout(0.2)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        size = size or run.topology.world_size
        for rank in range(size):
            environ = build_environ(self.folder, rank, size, port) | {
                names.ENV_GENERATION: str(generation),
                names.ENV_RESUME: resume.model_dump_json() if resume else "",
                names.ENV_LAUNCHER_SOCKET: str(path),
                **self.environ,
            }
            command = [sys.executable, "-m", "rfdetr_trainer.worker"]
            with (self.folder / f"rank-{rank}.log").open("ab") as log:
                self.processes.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=REPOSITORY))

    def hear(self, wanted: Callable[[WorkerMessage], bool], seconds: float = 120) -> None:
        """Listen until a message is the wanted one."""
        until = time.monotonic() + seconds
        while not any(wanted(message) for message in self.messages):
            assert time.monotonic() < until, self.read_log()
            assert any(process.poll() is None for process in self.processes), self.read_log()
            try:
                self.messages.append(WorkerMessage.model_validate_json(self._ear.recv(65536)))
            except TimeoutError:
                continue

    def wait(self, seconds: float = 180) -> list[int]:
        """The exit codes."""
        try:
            return [process.wait(seconds) for process in self.processes]
        finally:
            self.end()

    def end(self) -> None:
        """No process outlives its test."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.processes = []
        self._ear.close()

    def read_log(self) -> str:
        """What rank 0 printed last."""
        return self.read_all(0)[-3000:]

    def read_all(self, rank: int) -> str:
        """All that a rank printed."""
        return (self.folder / f"rank-{rank}.log").read_text()

    @property
    def run_folder(self) -> RunFolder:
        """The job's folder on the output claim."""
        return RunFolder(self.folder / "output" / "n" / "j" / "u")

    def newest(self) -> tuple[Manifest, Resume]:
        """The newest set, and the order to resume from it."""
        manifest = max(read_manifests(self.run_folder.checkpoints), key=lambda one: (one.generation, one.step))
        fields = manifest.model_dump(
            include={"sha256", "size", "step", "epoch", "batch_in_epoch", "accumulation", "world_size"}
        )
        return manifest, Resume(file=str(self.run_folder.checkpoints / manifest.file), **fields)

    def result(self) -> RunReport:
        """The terminal marker."""
        return RunReport.model_validate_json(self.run_folder.result.read_bytes())


def build_environ(folder: Path, rank: int, size: int, port: int) -> dict[str, str]:
    """Torchrun's environment of one rank that is alone on its node, and the job's own."""
    return {
        **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY / 'trainer_image'}",
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": str(rank),
        "NODE_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        names.ENV_RUN_CONFIG: str(folder / "run.json"),
        names.ENV_DATA_ROOT: str(folder.parent),
        names.ENV_OUTPUT_ROOT: str(folder / "output"),
    }


def read_state(gang: Gang) -> Mapping[str, Any]:
    """The newest set's content."""
    manifest, resume = gang.newest()
    return load_verified(Path(resume.file), manifest.sha256)


def flatten(value: object, path: str = "") -> dict[str, object]:
    """Every leaf of a state by its path."""
    if isinstance(value, Mapping):
        return {key: leaf for name, child in value.items() for key, leaf in flatten(child, f"{path}/{name}").items()}
    if isinstance(value, list | tuple):
        return {key: leaf for i, child in enumerate(value) for key, leaf in flatten(child, f"{path}/{i}").items()}
    return {path: value}


def list_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Leaves that are not bitwise equal."""
    ours, theirs = flatten(left), flatten(right)
    return sorted(key for key in ours.keys() | theirs.keys() if not is_equal(ours.get(key), theirs.get(key)))


def is_equal(left: object, right: object) -> bool:
    """Bitwise for tensors."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return torch.equal(left, right)
    return left == right


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A short path with the data set in it: a unix socket's name has little room."""
    write_digits(tmp_path / "digits", Recipe(train=16, valid=8))
    return tmp_path


def test_an_interrupted_run_ends_bitwise_where_the_whole_one_does(home: Path) -> None:
    """SIGTERM on rank 1 inside an epoch: both save at one step and leave with 75; the resumed run ends with the same
    weights, EMA, optimizer and counters as one that was never interrupted, with augmentation on. How often it saves is
    measured, and rank 0 says it."""
    run, whole, broken = make_run(), Gang(home / "a"), Gang(home / "b")
    whole.start(run)
    assert [0, 0] == whole.wait(), whole.read_log()
    said = [
        re.findall(r"^rfdetr: saving every .*: a save stalls ", whole.read_all(rank), re.MULTILINE) for rank in (0, 1)
    ]
    assert [True, False] == [bool(lines) for lines in said]

    broken.start(run)
    broken.hear(lambda message: message.progress is not None and 1 <= message.progress.step)
    broken.processes[1].send_signal(signal.SIGTERM)
    assert [ExitCode.PREEMPTED] * 2 == broken.wait(), broken.read_log()
    manifest, resume = broken.newest()
    assert 0 < manifest.step < 10
    broken.start(run, generation=2, resume=resume)
    assert [0, 0] == broken.wait(), broken.read_log()

    ours, theirs = read_state(broken), read_state(whole)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert [] == list_differences({part: ours[part]}, {part: theirs[part]})
    ema = next(key for key in ours["callbacks"] if "EMA" in key)
    assert [] == list_differences(ours["callbacks"][ema], theirs["callbacks"][ema])
    result = broken.result()
    assert (Outcome.COMPLETED, 2, manifest.step, 2, True) == (
        result.outcome,
        result.generation,
        result.resumed_step,
        result.world.attested if result.world else None,
        result.judgement is not None and result.judgement.agrees,
    )


def test_weights_that_a_broken_loss_made_are_never_saved(home: Path) -> None:
    """A learning rate beyond all sense: the first step is whole and saved, the second one's loss is no number."""
    run, gang = make_run(), Gang(home / "n")
    training = run.training.model_copy(update={"learning_rate": 1e30})
    gang.start(run.model_copy(update={"training": training, "checkpoints": CheckpointRun(every_steps=1)}))
    gang.hear(lambda message: message.reason is not None)

    assert [ExitCode.FAILED] * 2 == gang.wait(), gang.read_log()
    assert {FailureReason.NAN_LOSS} == {message.reason for message in gang.messages if message.reason}
    assert [1] == [manifest.step for manifest in read_manifests(gang.run_folder.checkpoints)]


def test_a_resume_in_another_world_counts_the_same_steps(home: Path) -> None:
    """Two ranks left inside an epoch; one rank goes on with the same effective batch, and the run has as many steps."""
    plans = {ranks: BatchPlan(per_device=1, accumulation=4 // ranks, ranks=ranks) for ranks in (1, 2)}
    runs = {ranks: make_run(ranks=ranks).model_copy(update={"batch": plan}) for ranks, plan in plans.items()}
    gang = Gang(home / "w")
    gang.start(runs[2])
    gang.hear(lambda message: message.progress is not None and 1 <= message.progress.step)
    gang.processes[1].send_signal(signal.SIGTERM)
    assert [ExitCode.PREEMPTED] * 2 == gang.wait(), gang.read_log()
    manifest, resume = gang.newest()

    gang.start(runs[1], generation=2, resume=resume)

    assert [0] == gang.wait(), gang.read_log()
    result = gang.result()
    assert manifest.batch_in_epoch == 2 * (manifest.step % 5) > 0
    assert (Outcome.COMPLETED, manifest.step, 10, 2, 1) == (
        result.outcome,
        result.resumed_step,
        result.progress.step if result.progress else None,
        result.progress.epoch if result.progress else None,
        result.world.attested if result.world else None,
    )


def test_a_segmentation_run_stops_early_and_a_restart_trains_no_further(home: Path) -> None:
    """Patience 1 with a gain that nobody reaches: two epochs; started again from its end, not one step is added."""
    write_digits(home / "masks", Recipe(train=8, valid=4, masks=True))
    overrides = {**SMALL, "patch_size": 12}
    model = ModelRun(variant="seg-nano", task="segmentation", resolution=72, overrides=overrides)
    stopping = EarlyStoppingRun(enabled=True, patience=1, min_delta=1.0)
    run = make_run(ranks=1, epochs=9, model=model, stopping=stopping)
    run = run.model_copy(update={"dataset": DatasetRun(path="masks")})
    gang = Gang(home / "s")
    gang.start(run)
    assert [0] == gang.wait(), gang.read_log()
    first, (manifest, resume) = gang.result(), gang.newest()

    gang.start(run, generation=2, resume=resume)

    assert [0] == gang.wait(), gang.read_log()
    second = gang.result()
    assert (Outcome.EARLY_STOPPED, Outcome.EARLY_STOPPED, manifest.step) == (
        first.outcome,
        second.outcome,
        second.progress.step if second.progress else None,
    )


def test_a_yolo_set_trains_and_is_judged(home: Path) -> None:
    """The other layout, end to end; RF-DETR's own metrics stand in its metrics.csv."""
    write_digits(home / "yolo", Recipe(train=8, valid=4, layout="yolo"))
    run = make_run(ranks=1, epochs=1).model_copy(update={"dataset": DatasetRun(path="yolo", format="yolo")})
    gang = Gang(home / "y")
    gang.start(run)

    assert [0] == gang.wait(), gang.read_log()
    result = gang.result()
    assert (Outcome.COMPLETED, True) == (result.outcome, (gang.run_folder.rfdetr / "metrics.csv").exists())
    assert result.judgement is None or result.judgement.agrees


def test_an_unknown_override_ends_in_one_sentence(home: Path) -> None:
    """Exit 78, the key and close matches; no stack."""
    model = ModelRun(variant="nano", task="detection", resolution=64, overrides={**SMALL, "hiden_dim": 64})
    gang = Gang(home / "m")
    gang.start(make_run(ranks=1, model=model))
    gang.hear(lambda message: message.outcome is Outcome.FAILED)

    word = next(message for message in gang.messages if message.outcome is not None)
    assert ([ExitCode.CONFIG_ERROR], True, False) == (
        gang.wait(),
        "model.overrides.hiden_dim is not a field of the installed rfdetr; did you mean: hidden_dim" in word.message,
        "Traceback" in gang.read_log(),
    )
    assert json.loads((home / "m" / "run.json").read_text())["version"] == 1
