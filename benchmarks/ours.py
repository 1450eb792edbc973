"""Our launcher as a pod would run it, and what it tells on its port."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import workload
from benchmarks.processes import Program, choose_tree, read_parents, running
from rfdetr_contract import names
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.report import RunReport
from rfdetr_contract.run import CheckpointRun, DatasetRun, JobRef, ModelRun, RunConfig, Topology, TrainingRun

JOB = JobRef(namespace="benchmarks", name="run", uid="0f6b1c0e-0000-4000-8000-000000000001")


def build_run(nodes: int, processes_per_node: int, dataset: str) -> RunConfig:
    """The workload as the operator would tell it."""
    topology = Topology(nodes=nodes, processes_per_node=processes_per_node, accelerator="cpu")
    return RunConfig(
        job=JOB,
        attempt=1,
        output=names.output_path(JOB.namespace, JOB.name, JOB.uid),
        topology=topology,
        batch=BatchPlan(per_device=workload.PER_DEVICE, accumulation=1, ranks=topology.world_size),
        model=ModelRun(
            variant="nano",
            task="detection",
            resolution=workload.RESOLUTION,
            num_classes=workload.CLASSES,
            overrides=workload.MODEL,
        ),
        dataset=DatasetRun(path=dataset),
        training=TrainingRun(
            epochs=workload.EPOCHS,
            learning_rate=workload.LEARNING_RATE,
            encoder_learning_rate=workload.LEARNING_RATE,
            lr_scheduler="step",
            lr_drop=workload.EPOCHS,
            warmup_epochs=0.0,
            weight_decay=1e-4,
            seed=workload.SEED,
            precision="fp32",
            num_workers=0,
            overrides=workload.TRAINING,
        ),
        checkpoints=CheckpointRun(every_steps=workload.STEPS_BETWEEN_CHECKPOINTS),
    )


def choose_ports(count: int) -> tuple[int, ...]:
    """Different ports of the loopback that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


@dataclass(frozen=True, slots=True)
class Node:
    """One pod's launcher: ``folder`` is its own, the output root is shared by all nodes."""

    run: RunConfig
    rank: int
    folder: Path
    data: Path
    output: Path
    master_port: int
    http_port: int

    def build_command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "rfdetr_trainer.launch",
            f"--nnodes={self.run.topology.nodes}",
            f"--nproc-per-node={self.run.topology.processes_per_node}",
            f"--node-rank={self.rank}",
            "--master-addr=127.0.0.1",
            f"--master-port={self.master_port}",
        ]

    def build_env(self, incarnation: int) -> dict[str, str]:
        return workload.build_env(
            **{
                names.ENV_RUN_CONFIG: str(self.folder / names.RUN_CONFIG_FILE),
                names.ENV_DATA_ROOT: str(self.data),
                names.ENV_OUTPUT_ROOT: str(self.output),
                names.ENV_HTTP_PORT: str(self.http_port),
                names.ENV_TERMINATION_LOG: str(self.folder / "termination-log"),
                names.ENV_POD_NAME: f"{self.run.job.name}-{self.rank}",
                names.ENV_POD_UID: f"{self.run.job.name}-{self.rank}-{incarnation}",
            }
        )

    @contextmanager
    def start(self, incarnation: int = 0) -> Iterator[Program]:
        """The launcher for the block; a higher ``incarnation`` is the pod that replaces the lost one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / names.RUN_CONFIG_FILE).write_text(self.run.to_json())
        with running(self.build_command(), self.build_env(incarnation), self.folder / f"node-{self.rank}.log") as it:
            yield it

    def read_report(self) -> RunReport | None:
        """What the launcher says now; None while it does not answer."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/report", timeout=2) as answer,
        ):
            return RunReport.model_validate(json.load(answer))
        return None


def build_nodes(run: RunConfig, dataset: Path, folder: Path) -> tuple[Node, ...]:
    """The world's nodes below ``folder``, with ports of their own; ``dataset`` is a folder of the data root."""
    master, *http = choose_ports(run.topology.nodes + 1)
    return tuple(
        Node(run, rank, folder / f"pod-{rank}", dataset.parent, folder / "output", master, port)
        for rank, port in enumerate(http)
    )


def is_ready(report: RunReport) -> bool:
    """The round has a checkpoint of its own and trained at least two steps beyond it: a loss costs something."""
    progress = report.progress
    if progress is None or progress.checkpoint is None:
        return False
    saved = progress.checkpoint.step
    return saved > (report.resumed_step or 0) and progress.step >= saved + 2


def has_stepped(before: RunReport, now: RunReport) -> bool:
    """A newer round has finished a step: its progress is news, and beyond the step that it resumed from."""
    if now.generation <= before.generation or now.progress is None or now.progress == before.progress:
        return False
    return now.progress.step > (now.resumed_step or 0)


def wait_ready(program: Program, node: Node, after: int = 0) -> RunReport:
    """The report of a round newer than ``after`` that is ready to be hurt."""

    def read() -> RunReport | None:
        report = node.read_report()
        return report if report is not None and report.generation > after and is_ready(report) else None

    return program.wait_for("a round with a checkpoint", read, seconds=120)


def wait_stepped(program: Program, node: Node, before: RunReport) -> RunReport:
    def read() -> RunReport | None:
        report = node.read_report()
        return report if report is not None and has_stepped(before, report) else None

    return program.wait_for("the next optimizer step", read, seconds=120)


def choose_workers(launcher: int) -> tuple[int, ...]:
    """The training processes below a launcher: the last generation of its descent."""
    parents = read_parents()
    tree = choose_tree(launcher, parents)
    zygotes = {child for child in tree if parents.get(child) == launcher}
    return tuple(pid for pid in tree if parents.get(pid) in zygotes)


def find_rounds(before: RunReport, now: RunReport) -> int:
    """Rounds that a recovery took; one is the first attempt."""
    return now.generation - before.generation
