"""The fork server's process, begun before the launcher imports anything of weight: both import at the same time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORKER = "rfdetr_trainer.worker"
PRELOAD = (
    "torch,torch.distributed.algorithms.ddp_comm_hooks,pytorch_lightning,rfdetr.training,vernier,pycocotools.cocoeval"
)
ENV_WORKER_MODULE = "RFDETR_WORKER_MODULE"
ENV_PRELOAD = "RFDETR_PRELOAD"
SEND_BUFFER = 1 << 19


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process, and the launcher's end of its control stream."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def kill(self) -> None:
        """End it, and with it whatever it has started: the end of its orders tells it to, or its parent's death."""
        self.control.close()
        self.process.kill()
        self.process.wait()


def build_words(environ: Mapping[str, str], flags: Sequence[str]) -> list[str]:
    """What every fork server of this launcher is told: the worker's module, what to import, torchrun's flags."""
    worker = environ.get(ENV_WORKER_MODULE) or WORKER
    return [worker, f"{environ.get(ENV_PRELOAD, PRELOAD)},{worker}", "--", *flags]


def spawn(words: Sequence[str]) -> Spawned:
    """Start a fork server, from the main thread: the kernel's tie to the parent is one to the thread that forked."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    control.settimeout(0)
    command = [sys.executable, "-m", "rfdetr_trainer.launch.zygote", str(theirs.fileno()), str(os.getpid()), *words]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    return Spawned(process, control)
