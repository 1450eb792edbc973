"""The launcher's end of the fork server: it gives it orders, and hears of its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable

from rfdetr_trainer.launch.spawn import Spawned
from rfdetr_trainer.launch.wire import FROM_ZYGOTE, Ahead, Fork, FromZygote, Signal, Warm
from rfdetr_trainer.launch.zygote import MESSAGE_SIZE
from rfdetr_trainer.resume import Seal

CLOSE_SECONDS = 1.0


class ForkServer:
    """One fork server process. ``hear`` gets its messages, and None once it is dead."""

    def __init__(self, spawned: Spawned, hear: Callable[[FromZygote | None], None]) -> None:
        self._hear = hear
        self._spawned, self._control = spawned, spawned.control
        self._serves = False
        asyncio.get_running_loop().add_reader(self._control, self._read)

    def fork(self, rank: int, env: dict[str, str], output: int) -> None:
        """Start a worker whose output goes to the descriptor given, which is closed here."""
        with contextlib.suppress(OSError):  # a dead fork server is heard of by its end of stream
            socket.send_fds(self._control, [Fork(rank=rank, env=env).model_dump_json().encode()], [output])
        os.close(output)

    def signal(self, number: int) -> None:
        """Send a signal to every living worker."""
        with contextlib.suppress(OSError):
            self._control.send(Signal(number=number).model_dump_json().encode())

    def load_ahead(self, file: str | None, seal: Seal | None) -> None:
        """Read the structure of a checkpoint that the next workers may resume from; None: let go of what is held."""
        with contextlib.suppress(OSError):
            self._control.send(Ahead(file=file, seal=seal).model_dump_json().encode())

    def close(self) -> None:
        """End the fork server, and with it whatever it still has: it sees the end of its orders, and kills it all."""
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if self._serves:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._spawned.process.wait(CLOSE_SECONDS)
        self._spawned.kill()

    def _read(self) -> None:
        try:
            data = self._control.recv(MESSAGE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            message = FROM_ZYGOTE.validate_json(data)
            self._serves = self._serves or isinstance(message, Warm)
            self._hear(message)
        else:
            self.close()
            self._hear(None)
