"""What binds processes together: a child dies with its parent, orphans are reaped, a worker is a session of its own."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import traceback
from typing import NoReturn

from rfdetr_trainer.launch.stacks import DUMP_SIGNAL

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when its parent dies; a parent that is already gone ends it here."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent(parent: int) -> None:
    """From now on this process sees for itself that its parent dies; a parent that is already gone ends it here."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Processes whose parent dies below this one become its children, so that they can be reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_worker(module: str) -> int:
    """The exit code of ``module.main()``; an exception is printed and is code 1."""
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    try:
        return int(importlib.import_module(module).main())
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the worker's border: nothing may run on into the fork server
        traceback.print_exc()
        return 1


def leave(code: int) -> NoReturn:
    """End this process now: a forked child must not run what its parent registered for its own end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)
