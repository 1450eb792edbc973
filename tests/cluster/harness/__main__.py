"""The test cluster by hand: `PYTHONPATH=tests python -m cluster.harness up | images | run COMMAND... | down`.

`up` holds the cluster until it is interrupted. `images` makes what the cluster runs, ahead of time; with `--trainer`
both do so for the real trainer image too. `run` starts a program where the API server and the pods can be reached,
with KUBECONFIG set: `run kubectl get nodes`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from .cluster import build_env, check_machine, prepare_all, running, stop
from .daemons import is_alive, read_pid
from .paths import HarnessError, Paths, locked, read_paths


def hold(paths: Paths, *, trainer: bool) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    with running(paths, trainer=trainer) as cluster:
        print(f"nodes Ready; images: {cluster.images}")
        print(
            "in another terminal: PYTHONPATH=tests python -m cluster.harness run kubectl get nodes; Ctrl-C ends it",
            flush=True,
        )
        ended.wait()


def main(words: list[str]) -> int:
    paths = read_paths(dict(os.environ))
    match words:
        case ["up"] | ["up", "--trainer"]:
            hold(paths, trainer="--trainer" in words)
        case ["images"] | ["images", "--trainer"]:
            with locked(paths):
                check_machine(paths)
                prepare_all(paths, build_env(paths), trainer="--trainer" in words)
        case ["down"]:
            with locked(paths):
                stop(paths, build_env(paths))
        case ["run", *command] if command:
            fabric = paths.run / "fabric.pid"
            if not is_alive(fabric):
                raise HarnessError(f"no test cluster runs in {paths.cache}")
            argv = ["nsenter", "-t", str(read_pid(fabric)), "-n", *command]
            os.execvpe("nsenter", argv, build_env(paths))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"cluster harness: {error}")
