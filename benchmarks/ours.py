"""Our launcher as a pod would run it, and what it tells on its port."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import workload
from benchmarks.processes import Program, running
from benchmarks.recovery import Side, Watch
from rfdetr_contract import names
from rfdetr_contract.batch import BatchPlan
from rfdetr_contract.report import RunReport
from rfdetr_contract.run import CheckpointRun, DatasetRun, JobRef, ModelRun, RunConfig, Topology, TrainingRun
from rfdetr_trainer.manifest import RunFolder

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
    env: Mapping[str, str] = field(default_factory=dict)

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
                **self.env,
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


def build_nodes(run: RunConfig, dataset: Path, folder: Path, env: Mapping[str, str]) -> tuple[Node, ...]:
    """The world's nodes below ``folder``, with ports of their own; ``dataset`` is a folder of the data root."""
    master, *http = choose_ports(run.topology.nodes + 1)
    return tuple(
        Node(run, rank, folder / f"pod-{rank}", dataset.parent, folder / "output", master, port, env)
        for rank, port in enumerate(http)
    )


def read_saved(output: Path) -> float | None:
    """When the newest checkpoint of ours became visible: its manifest is the last to come."""
    folder = RunFolder(output / names.output_path(JOB.namespace, JOB.name, JOB.uid)).checkpoints
    return max((file.stat().st_mtime for file in folder.glob("*.json")), default=None)


def build_side(program: Program, node: Node, watch: Watch) -> Side:
    """How a benchmark looks at a training of ours."""
    return Side("ours", program, watch, lambda: read_saved(node.output))
