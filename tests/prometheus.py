"""A real Prometheus for as long as a test needs it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from programs import find

Json = dict[str, Any]
PATIENCE = 30.0  # seconds until it is ready


# ``fetch`` in a process of its own.
FETCH = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=20)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.buffer.write(answer.read())
"""


def fetch(url: str, prefix: Sequence[str] = ()) -> bytes:
    """The body of the answer, whatever its status; ``prefix``: the words that run a program where the server is reached."""
    if prefix:
        return subprocess.run([*prefix, sys.executable, "-c", FETCH, url], check=True, capture_output=True).stdout
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return error.read()


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What it says over HTTP; ``prefix``: the words that run a program where it is reached."""

    port: int
    prefix: tuple[str, ...] = ()

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer; raises ``ValueError`` with Prometheus' own words."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        answer = json.loads(fetch(url, self.prefix))
        if answer["status"] != "success":
            raise ValueError(f"{parameters}: {answer['error']}")
        return answer["data"]

    def values(self, expr: str, start: float, end: float, step: float = 1.0) -> list[float]:
        """Every finite value of a range query."""
        data = self.ask("query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step:g}")
        found = [float(value) for series in data["result"] for _, value in series["values"]]
        return [value for value in found if math.isfinite(value)]

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return b"Ready" in fetch(f"http://127.0.0.1:{self.port}/-/ready", self.prefix)
        except (OSError, subprocess.CalledProcessError):
            return False


@contextmanager
def running_prometheus(
    folder: Path, port: int, config: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[Prometheus]:
    """Prometheus with this configuration; its data stay in the folder."""
    program = find("prometheus")
    assert program is not None, (
        "prometheus is not on PATH; install it: apt-get install --no-install-recommends prometheus"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
    flags = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "web.console.templates": folder,
        "web.console.libraries": folder,
        "log.level": "warn",
    }
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, program, *(f"--{key}={value}" for key, value in flags.items())], stdout=log, stderr=log
        )
        try:
            server, deadline = Prometheus(port, prefix), time.monotonic() + PATIENCE
            while not server.is_ready():
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                assert time.monotonic() < deadline, (folder / "prometheus.log").read_text()
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            process.wait()
