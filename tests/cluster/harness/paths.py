"""Where the harness keeps what it builds and runs, and the lock that gives one run at a time the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rfdetr_contract.names import USER_ID

HARNESS = Path(__file__).resolve().parent
REPOSITORY = HARNESS.parents[2]
TRAINING_UID = USER_ID


class HarnessError(Exception):
    """One sentence for the person who runs the suite."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one cache."""

    cache: Path

    @property
    def programs(self) -> Path:
        return self.cache / "bin"

    @property
    def run(self) -> Path:
        """All that a running cluster writes; gone when it is stopped."""
        return self.cache / "run"

    @property
    def control_plane(self) -> Path:
        return self.run / "control-plane"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def store(self) -> Path:
        """The containerd root that every node starts from, by hard links."""
        return self.cache / "store"

    @property
    def host_python(self) -> Path:
        return self.cache / "host-python"

    @property
    def volumes(self) -> Path:
        return self.run / "volumes"

    @property
    def cgroup(self) -> str:
        return "rfdetr-" + hashlib.sha256(str(self.cache).encode()).hexdigest()[:8]

    def node(self, name: str) -> Path:
        return self.run / name


def read_paths(environ: dict[str, str]) -> Paths:
    return Paths(Path(environ.get("RFDETR_CLUSTER_CACHE") or Path.home() / ".cache" / "rfdetr-cluster").resolve())


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """The cache belongs to this process until the block ends; the kernel frees the lock of one that was killed."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    with (paths.cache / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise HarnessError(
                f"process {holder} already runs a test cluster in {paths.cache}: "
                "wait for it, or set RFDETR_CLUSTER_CACHE to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
