"""One connection between two launchers: JSON lines, a heartbeat both ways, and silence that means loss."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from rfdetr_trainer.launch.logs import say
from rfdetr_trainer.launch.threads import in_thread
from rfdetr_trainer.launch.wire import FromLeader, FromMember, Ping

Incoming = TypeVar("Incoming")
BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.25
LINE_LIMIT = 1 << 18


class Channel(Generic[Incoming]):
    """Messages out and in; ``receive`` returns None once the other side is lost."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        adapter: TypeAdapter[Incoming],
        silence: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._adapter = adapter
        self._silence = silence

    def send(self, message: FromMember | FromLeader) -> None:
        """Send a message; a connection that is gone swallows it."""
        if not self._writer.is_closing():
            self._writer.write(message.model_dump_json().encode() + b"\n")

    async def receive(self) -> Incoming | None:
        """The next message; None after an end of the stream, silence, or words that are no message."""
        try:
            async with asyncio.timeout(self._silence):
                line = await self._reader.readline()
            return self._adapter.validate_json(line) if line.endswith(b"\n") else None
        except (OSError, TimeoutError, ValidationError, ValueError):
            return None

    async def beat(self, build: Callable[[], Ping]) -> None:
        """Send a sign of life every second."""
        while not self._writer.is_closing():
            self.send(build())
            await asyncio.sleep(BEAT_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._writer.close()


def resolve(host: str, port: int) -> list[str]:
    """The addresses that the name has now."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


async def connect(
    place: tuple[str, int],
    adapter: TypeAdapter[Incoming],
    silence: float,
    resolve: Callable[[str, int], list[str]] = resolve,
) -> Channel[Incoming]:
    """A connection to the host as its name resolves now: a replaced pod has a new address."""
    host, port = place
    addresses = await in_thread(lambda: resolve(host, port))
    error: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            async with asyncio.timeout(silence):
                reader, writer = await asyncio.open_connection(address, port, limit=LINE_LIMIT)
            return Channel(reader, writer, adapter, silence)
        except (OSError, TimeoutError) as refused:
            error = OSError(str(refused))
    raise error


async def wait_for_name(name: str) -> None:
    """Return once the name has an address: the records of a headless Service may lag behind its pods."""
    tries = 0
    while True:
        try:
            await in_thread(lambda: socket.getaddrinfo(name, None))
        except OSError as error:
            if tries == 0:
                say(f"waiting for the name {name} ({error})")
            tries += 1
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
