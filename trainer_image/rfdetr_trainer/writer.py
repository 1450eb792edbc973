"""One thread that does what may take long, one piece of work after the other, while the training goes on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable

NICENESS = 10  # the training's threads come first
Work = Callable[[], None]


class Writer:
    """The thread begins with a work, in the process that gives it, and ends when there is none left.

    What a work raises is raised again in the thread that comes next to give or to wait.
    """

    def __init__(self, name: str = "checkpoint-writer") -> None:
        self._name = name
        self._works: deque[Work] = deque()  # the first one is being done
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._works

    def submit(self, work: Work) -> None:
        """Do this after all that was given before."""
        self._raise()
        with self._changed:
            self._works.append(work)
            if len(self._works) == 1:
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait until all is done, at most so long; whether it is."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self.is_idle and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
        self._raise()
        return self.is_idle

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        working = True
        while working:
            try:
                self._works[0]()
            except BaseException as error:  # noqa: BLE001 - it is the other thread's to hear
                self._error = error
            with self._changed:
                self._works.popleft()
                working = bool(self._works)
                self._changed.notify_all()
