"""The fork server: imports once, forks workers that begin warm, and reports their ends in the order of death.

The law of forking: one thread, no CUDA, no socket but the launcher's. A thread that exists at a fork is missing in the
child while its locks stay held, so the child would hang; a CUDA context does not survive a fork at all.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import time
import warnings
from argparse import SUPPRESS
from pathlib import Path
from typing import NoReturn

from rfdetr_trainer.launch.environment import build_fork_server_env
from rfdetr_trainer.launch.process import adopt_orphans, die_with_parent, leave, outlive_parent, run_worker
from rfdetr_trainer.launch.stacks import DUMP_SIGNAL
from rfdetr_trainer.launch.wire import TO_ZYGOTE, Ahead, Ended, Fork, FromZygote, Parsed, Signal, Started, Warm

MESSAGE_SIZE = 1 << 17
ORPHANS_MS = 5000  # a worker's own children may end long after it


def parse_flags(argv: list[str]) -> Parsed:
    """What torchrun's own parser makes of the flags; only those that were given."""
    from torch.distributed.run import get_args_parser  # costs seconds; the threads are set first

    parser = get_args_parser()
    for action in parser._actions:
        action.default = SUPPRESS
        action.required = False
    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            found = parser.parse_args([*argv, "worker"])
    except SystemExit:
        return Parsed(error=words.getvalue().strip().rpartition("error: ")[2])
    return Parsed(values={name: str(value) for name, value in vars(found).items()})


def find_obstacle() -> str | None:
    """Why a fork now would break the law of forking; None: it is safe."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - a count is all that is needed
    if threads != 1:
        return f"the fork server has {threads} threads"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA is initialised in the fork server"
    sockets = [fd for fd in Path("/proc/self/fd").iterdir() if int(fd.name) > 2 and _is_socket(fd)]
    return None if len(sockets) <= 1 else f"the fork server has {len(sockets)} open sockets"


def _is_socket(path: Path) -> bool:
    try:
        return str(path.readlink()).startswith("socket:")
    except OSError:
        return False


class Zygote:
    """The fork server's loop. It lives as long as the launcher's end of the socket is open."""

    def __init__(self, control: socket.socket, module: str, environ: dict[str, str]) -> None:
        self._control = control
        self._module = module
        self._environ = environ
        self._pid = os.getpid()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._ranks: dict[int, int] = {}  # rank by pid
        self._pidfds: dict[int, int] = {}  # pid by pidfd
        self._killed: set[int] = set()  # pids that were alive when SIGKILL was sent

    def tell(self, message: FromZygote) -> None:
        """Send one message to the launcher."""
        self._control.send(message.model_dump_json().encode())

    def serve(self) -> None:
        """Serve until the launcher is gone."""
        while True:
            ready = {fd for fd, _ in self._poll.poll(ORPHANS_MS)}
            for pidfd in ready & self._pidfds.keys():
                self._reap(pidfd)
            self._reap_orphans()
            if self._control.fileno() in ready and not self._obey():
                self._signal(signal.SIGKILL)
                return

    def _obey(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_SIZE, 1)
        if not data:
            return False
        order = TO_ZYGOTE.validate_json(data)
        match order:
            case Fork():
                self._start(order, descriptors[0])
            case Signal():
                self._signal(order.number)
            case Ahead():
                load_ahead(self._module, order)
        return True

    def _start(self, order: Fork, output: int) -> None:
        obstacle = find_obstacle()
        environ = {**self._environ, **order.env}
        pid = self._fork(environ, output) if obstacle is None else self._spawn(environ, output)
        os.close(output)
        pidfd = os.pidfd_open(pid)
        self._ranks[pid], self._pidfds[pidfd] = order.rank, pid
        self._poll.register(pidfd, select.POLLIN)
        self.tell(Started(rank=order.rank, pid=pid, cold=obstacle))

    def _fork(self, environ: dict[str, str], output: int) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_worker(environ, output)
            finally:
                os._exit(1)
        return pid

    def _become_worker(self, environ: dict[str, str], output: int) -> NoReturn:
        die_with_parent(self._pid)
        os.setsid()
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._control.close()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        os.environ.clear()
        os.environ.update(environ)
        leave(run_worker(self._module))

    def _spawn(self, environ: dict[str, str], output: int) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        command = [sys.executable, "-m", "rfdetr_trainer.launch.cold", self._module, str(self._pid)]
        defaults = [signal.SIGTERM, signal.SIGINT]
        return os.posix_spawn(sys.executable, command, environ, file_actions=actions, setsid=True, setsigdef=defaults)

    def _reap(self, pidfd: int) -> None:
        pid = self._pidfds.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        # The dead leader keeps its number until it is reaped: now the group can only be its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        killed = pid in self._killed and code == -signal.SIGKILL
        self._killed.discard(pid)
        self.tell(Ended(rank=self._ranks.pop(pid), pid=pid, code=code, killed=killed))

    def _reap_orphans(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if found.si_pid in self._ranks:
                    return  # its pidfd wakes the loop
                os.waitpid(found.si_pid, 0)

    def _signal(self, number: int) -> None:
        for pid in self._ranks:
            if number == signal.SIGKILL and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self._killed.add(pid)
            os.kill(pid, number)  # not reaped yet, so the number is still the worker's
            if number == signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError):  # it may not have its own group yet
                    os.killpg(pid, number)


def preload(modules: list[str]) -> dict[str, str]:
    """Import all modules; those that fail, with why."""
    failed = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say of each other while they load is no news of the run
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - an import can raise anything; the worker says it again, whole
                failed[name] = f"{type(error).__name__}: {error}"[:300]
    return failed


def prepare(module: str, environ: dict[str, str]) -> str:
    """Let the worker's module build what its forks can share, if it can; why that went wrong."""
    build = getattr(sys.modules.get(module), "prepare", None)
    if build is None:
        return ""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            build(environ)
    except Exception as error:  # noqa: BLE001 - the worker builds it again, and says whole what is wrong
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def load_ahead(module: str, order: Ahead) -> None:
    """Let the worker's module read a checkpoint for its forks, if it can; what cannot be read here, they read again."""
    load = getattr(sys.modules.get(module), "load_ahead", None)
    if load is not None:
        with contextlib.suppress(Exception):
            load(order.file and Path(order.file), order.seal)


def main(argv: list[str]) -> int:
    """``FD PARENT WORKER PRELOAD -- FLAGS``: descriptor, launcher's pid, worker module, modules joined by commas."""
    gc.disable()  # looking for garbage takes a seventh of the imports' time
    descriptor, parent, module, modules, _, *flags = argv
    die_with_parent(int(parent))
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a terminal's or a group's signal is the launcher's to pass on
    signal.signal(DUMP_SIGNAL, signal.SIG_IGN)  # a worker that cannot answer yet must not die of the question
    environ = dict(os.environ)
    os.environ.update(build_fork_server_env())
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    zygote = Zygote(control, module, environ)
    started = time.monotonic()
    zygote.tell(parse_flags(flags))
    failed = preload([name for name in modules.split(",") if name])
    unprepared = prepare(module, environ)
    gc.freeze()  # without a collection before it: going through all that was imported takes over half a second
    gc.enable()
    outlive_parent(int(parent))  # from here on the end of the control stream tells, so that whole groups can be killed
    zygote.tell(Warm(seconds=time.monotonic() - started, failed=failed, unprepared=unprepared))
    zygote.serve()
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))  # what was imported has nothing to say at the end, and takes its time to say it
