"""The state folder of local jobs: what a cluster keeps in its store and on its disks, as plain folders.

``ROOT/NAMESPACE/NAME/`` holds a job (``job.json``, ``events.jsonl``, ``lock``, ``pods/``), ``ROOT/claims/`` the claims.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfdetr_operator.shell.cluster import Body, Key

DEFAULT_ROOT = Path(".rfdetr")
CLAIMS_DIR = "claims"


class Busy(Exception):
    """Another process runs this job."""


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of one job."""

    root: Path
    key: Key

    @property
    def folder(self) -> Path:
        """The job's own folder."""
        return self.root / self.key.namespace / self.key.name

    @property
    def logs(self) -> Path:
        """Where the logs of its pods are."""
        return self.folder / "pods"

    def pod_log(self, pod: str) -> Path:
        """The log of one pod's name; its incarnations follow each other in it."""
        return self.logs / f"{pod}.log"

    def pod_folder(self, pod: str, uid: str) -> Path:
        """The working folder of one incarnation of a pod."""
        return self.logs / pod / uid[:8]

    def load(self) -> Body | None:
        """The job as stored, None when there is none."""
        return read_json(self.folder / "job.json")

    def save(self, job: Body) -> None:
        """Store the job."""
        write_json(self.folder / "job.json", job)

    def append_event(self, event: Body) -> None:
        """Add one event to the list on disk."""
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(event) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the job: one runner at a time. The lock ends with the process that holds it, however it ends.

        Raises:
            Busy: another process holds it.

        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"job {self.key} is already being run here, by process {holder(path)}") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def running(self) -> str | None:
        """The process that runs the job now, None when nobody does."""
        path = self.folder / "lock"
        if not path.exists():
            return None
        with path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return holder(path)
        return None

    def remove(self) -> None:
        """Remove the job and what belonged to its pods; claims stay."""
        shutil.rmtree(self.folder, ignore_errors=True)


def holder(lock: Path) -> str:
    """Who wrote the lock file."""
    return lock.read_text().strip() or "?"


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, None when the file is not there."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file at once: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value, indent=1))
    beside.replace(path)


def list_stores(root: Path) -> tuple[Store, ...]:
    """Every job below a root, by name."""
    found = sorted(root.glob("*/*/job.json"))
    return tuple(Store(root, Key(path.parent.parent.name, path.parent.name)) for path in found)


def choose_claim_folder(root: Path, claim: str, given: dict[str, Path]) -> Path:
    """The folder of a claim: the one given by the user, else the root's own."""
    return (given.get(claim) or root / CLAIMS_DIR / claim).resolve()
