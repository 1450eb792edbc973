"""The operator as a process of this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import workload
from benchmarks.ours import choose_ports
from benchmarks.processes import Program, running
from rfdetr_contract import names

PROBE = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)"


@dataclass(frozen=True, slots=True)
class Site:
    """Where an operator reaches an API server: words before its command, its credentials, its default image."""

    prefix: tuple[str, ...]
    kubeconfig: Path
    image: str


@contextmanager
def run_operator(site: Site, folder: Path) -> Iterator[Program]:
    """An operator that said it is ready, for the block."""
    (port,) = choose_ports(1)
    env = workload.build_env(
        **{
            "KUBECONFIG": str(site.kubeconfig),
            names.ENV_HTTP_PORT: str(port),
            "RFDETR_TRAINER_IMAGE": site.image,
        }
    )
    probe = [*site.prefix, sys.executable, "-c", PROBE, f"http://127.0.0.1:{port}/readyz"]

    def is_ready() -> bool | None:
        return True if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else None

    command = [*site.prefix, sys.executable, "-m", "rfdetr_operator"]
    with running(command, env, folder / f"operator-{port}.log") as program:
        program.wait_for("readiness", is_ready, seconds=30, pause=0.25)
        yield program
