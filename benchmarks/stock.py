"""The peer: stock torchrun, at its best settings and as the guide has it, with RF-DETR or a bare DDP loop in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import workload
from benchmarks.ours import choose_ports
from benchmarks.processes import Program, running
from benchmarks.recovery import Side, create_watch

PEERS = workload.REPOSITORY / "benchmarks" / "peers"
RFDETR = PEERS / "stock_torchrun.py"
BARE = PEERS / "bare_loop.py"
# Without sharing, a restarted round gets a store of its own instead of the dead round's keys.
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@dataclass(frozen=True, slots=True)
class Stock:
    """One torchrun agent's settings; ``folder`` is shared by all agents of a run."""

    name: str
    folder: Path
    words: Sequence[str]  # the script and its arguments
    nodes: int = 1
    processes: int = 2
    static: bool = False
    port: int = field(default_factory=lambda: choose_ports(1)[0])
    env: Mapping[str, str] = field(default_factory=dict)

    def build_command(self, rank: int) -> list[str]:
        """The c10d rendezvous re-admits a restarted world; the guide's static flags do not always."""
        rendezvous = [f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={self.port}"]
        if not self.static:
            rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{self.port}", "--rdzv-id=run"]
        return [
            sys.executable,
            "-m",
            "torch.distributed.run",
            f"--nnodes={self.nodes}",
            f"--nproc-per-node={self.processes}",
            *rendezvous,
            "--max-restarts=1000",
            *self.words,
        ]

    @contextmanager
    def start(self, rank: int = 0) -> Iterator[Program]:
        """An agent for the block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        env = workload.build_env(**self.env)
        with running(self.build_command(rank), env, self.folder / f"torchrun-{rank}.log") as program:
            yield program


def read_time(file: Path) -> float | None:
    """When a file became what it is."""
    return file.stat().st_mtime if file.exists() else None


@contextmanager
def open_side(stock: Stock, checkpoint: str) -> Iterator[Side]:
    """A single agent and the watch on its ranks; ``checkpoint`` is the file in its folder that a restart resumes from."""
    watch, env = create_watch(stock.folder)
    with replace(stock, env={**stock.env, **env}).start() as program:
        yield Side(stock.name, program, watch, lambda: read_time(stock.folder / checkpoint))
