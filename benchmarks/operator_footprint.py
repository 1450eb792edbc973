"""The resident memory of an idle operator against a live API server, and the size of its image as a note."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import clusters, workload
from benchmarks.operator_process import Site, run_operator
from benchmarks.processes import Program
from benchmarks.result import Benchmark, Measured, Say, WentWrong
from benchmarks.stand_in import open_stand_in
from cluster.harness.commands import run
from cluster.harness.paths import HarnessError, read_paths

BOUND = 90.0  # MiB
IMAGE_BOUND = 250  # MB
GOAL = 1.0


def parse_rss(status: str) -> float:
    """Resident memory in MiB from the text of /proc/PID/status."""
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def measure_idle(program: Program, seconds: float) -> float:
    """The median of the last half of an idle time."""
    samples: list[float] = []
    for _ in range(round(seconds)):
        time.sleep(1)
        if program.exit_code is not None:
            raise WentWrong(f"the operator ended with code {program.exit_code} while it was idle")
        samples.append(parse_rss(Path(f"/proc/{program.pid}/status").read_text()))
    return statistics.median(samples[len(samples) // 2 :])


def read_image_size(folder: Path) -> str:
    """What the builder's storage knows of the newest operator image; ``folder`` keeps its scratch files."""
    environ = dict(os.environ)
    storage = read_paths(environ).cache / "buildah"
    command: list[str | Path] = ["buildah", "--root", storage, "--runroot", folder / "buildah", "images", "--json"]
    try:
        found = json.loads(run(command, env=environ, seconds=60)) if storage.is_dir() else []
    except (HarnessError, OSError, ValueError):
        return "image size: not known, the builder's storage does not answer"
    sizes = [image["size"] for image in found if any("rfdetr-operator:" in name for name in image["names"] or ())]
    return f"image size: {sizes[0]} (bound {IMAGE_BOUND} MB)" if sizes else "image size: not built here"


@contextmanager
def choose_site(folder: Path, say: Say, *, build: bool) -> Iterator[tuple[Site, str]]:
    """The real cluster where there is one, else the stand-in; and which of them it is."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(clusters.open_cluster(say, build=build))
            chosen = clusters.create_site(cluster, folder), "against the real two-node Kubernetes"
        except clusters.NoCluster as reason:
            say(f"stand-in for the API server, since {reason}")
            chosen = stack.enter_context(open_stand_in(folder)), f"against a stand-in for the API server ({reason})"
        yield chosen


def measure(short: bool, say: Say) -> Measured:
    workload.check_machine()
    starts, seconds = (2, 8) if short else (3, 30)
    sizes: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        with choose_site(folder, say, build=not short) as (site, where):
            for _ in range(starts):
                with run_operator(site, folder) as program:
                    sizes.append(measure_idle(program, seconds))
                say(f"idle for {seconds} s: {sizes[-1]:.1f} MiB")
            image = read_image_size(folder)
    return Measured(ours=tuple(sizes), peer=(BOUND,), unit="MiB", goal=GOAL, against="bound", notes=(where, image))


BENCHMARK = Benchmark("operator_footprint", "resident memory of an idle operator, against 90 MiB", measure)
