"""The parent of one local container: what a PID namespace gives a pod, given to a process group of this machine.

``python -I local_shim.py RUNNER LOG COMMAND...`` runs the command as process 1 of the container, with stdout and stderr
added to LOG; RUNNER is the pid that started it. SIGTERM reaches process 1 alone, as from the kubelet. When process 1
ends, when SIGUSR1 asks for it or when the runner dies, however it dies, every process that the command left is killed.
The shim ends as process 1 ended.
It runs alone, on the standard library, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL = signal.SIGUSR1
CANNOT_START = 127  # as a shell says it


def prctl(option: int, value: int) -> None:
    """One prctl call of the C library."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def parent_of(pid: int) -> int:
    """The parent of a process, 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def descendants(root: int) -> list[int]:
    """The living processes below ``root``; orphans among them are its children, since it is their subreaper."""
    parents = {int(entry.name): parent_of(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: list[int] = []
    layer = [root]
    while layer:
        layer = [pid for pid, parent in parents.items() if parent in layer]
        found += layer
    return found


def kill_descendants() -> None:
    """SIGKILL to everything below the shim, again until nothing is left: a fork may win the first race."""
    while victims := descendants(os.getpid()):
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while reap_one(os.WNOHANG):
            pass


def reap_one(options: int) -> tuple[int, int] | None:
    """One ended child and its wait status; None when there is none."""
    try:
        pid, status = os.waitpid(-1, options)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def execute_container(log: str, command: list[str], shim: int) -> None:
    """Become process 1: own process group, output to the log, death of the shim is death."""
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:
        os._exit(CANNOT_START)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, and exec would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a container's command is not a shell's
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
        os._exit(CANNOT_START)


def wait_for(child: int) -> int:
    """The wait status of process 1; signals are taken one by one, so that none is lost between a look and a sleep."""
    awaited = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, KILL}
    while True:
        while ended := reap_one(os.WNOHANG):
            if ended[0] == child:
                return ended[1]
        number = signal.sigwait(awaited)
        if number == signal.SIGTERM:
            os.kill(child, signal.SIGTERM)  # not yet reaped, so the number is still its own
        elif number == KILL:
            kill_descendants()
            return int(signal.SIGKILL)


def end_as(status: int) -> None:
    """End the way process 1 ended: the same exit code, or the same signal."""
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def main(argv: list[str]) -> None:
    runner, log, command = int(argv[1]), argv[2], argv[3:]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, KILL])
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, KILL)
    if os.getppid() != runner:
        return
    shim = os.getpid()
    child = os.fork()
    if child == 0:
        execute_container(log, command, shim)
    status = wait_for(child)
    kill_descendants()
    end_as(status)


if __name__ == "__main__":
    main(sys.argv)
