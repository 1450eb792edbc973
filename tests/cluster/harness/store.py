"""One containerd root that holds the images; each node starts from a copy of it by hard links, in a second."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from .commands import CommandError, run
from .daemons import end_daemon, start_daemon
from .paths import HarnessError, Paths


def read_names(paths: Paths) -> set[str]:
    """The images of the store."""
    try:
        return set(json.loads((paths.store / "images.json").read_text()))
    except FileNotFoundError:
        return set()


def write_names(paths: Paths, names: Iterable[str]) -> None:
    fresh = paths.store / "images.json.new"
    fresh.write_text(json.dumps(sorted(names)))
    fresh.rename(paths.store / "images.json")


class Store:
    """A containerd without Kubernetes over the store; use it in a with statement."""

    def __init__(self, paths: Paths, env: Mapping[str, str]) -> None:
        self._paths = paths
        self._env = env
        self._pid_file = paths.run / "store.pid"
        self._socket = paths.run / "store" / "containerd.sock"
        self.folder = paths.store

    def __enter__(self) -> Self:
        folder = self._socket.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._paths.store.mkdir(parents=True, exist_ok=True)
        config = folder / "containerd.toml"
        # without its CRI, which would keep a second name of every image that was ever here
        config.write_text(
            'disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]\n'
            f'version = 3\nroot = "{self._paths.store}/containerd"\nstate = "{folder}/state"\n'
            f'[grpc]\n  address = "{self._socket}"\n[plugins."io.containerd.internal.v1.opt"]\n  path = "{folder}/opt"\n'
        )
        # a mount namespace of its own: what it mounts while it unpacks goes with it
        argv = ["unshare", "--mount", "--propagation", "private", "containerd", "-c", str(config)]
        start_daemon(self._pid_file, argv, folder / "containerd.log", self._env)
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                raise HarnessError(f"containerd did not start; see {folder}/containerd.log")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        end_daemon(self._pid_file, by=signal.SIGTERM)
        end_daemon(self._pid_file)

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except CommandError:
            return False
        return True

    def ctr(self, *argv: str | Path, seconds: float = 30) -> str:
        command: list[str | Path] = ["ctr", "--address", self._socket, "--namespace", "k8s.io", *argv]
        return run(command, env=self._env, seconds=seconds)

    def load(self, name: str, archive: Path) -> None:
        """The archive's image is in the store, and older ones of its repository are not."""
        self.ctr("images", "import", "--local", "--discard-unpacked-layers", archive, seconds=900)
        names = read_names(self._paths)
        repository = name.rpartition(":")[0]
        stale = {other for other in names if other.rpartition(":")[0] == repository and other != name}
        for other in stale:
            self.ctr("images", "rm", "--sync", other, seconds=300)
        write_names(self._paths, (names - stale) | {name})


def clone(paths: Paths, target: Path) -> None:
    """Hard links for all that is never written in place, true copies of the databases."""
    shutil.rmtree(target, ignore_errors=True)
    source = paths.store / "containerd"
    run(["cp", "-al", source, target], seconds=300)
    for database in source.rglob("*.db"):
        if "snapshots" not in database.relative_to(source).parts:
            copy = target / database.relative_to(source)
            copy.unlink()
            shutil.copy2(database, copy)
