"""One connection between two launchers: JSON lines, a heartbeat both ways, and silence that means loss."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from rfdetr_trainer.launch.threads import in_thread
from rfdetr_trainer.launch.wire import FromLeader, FromMember, Ping

Incoming = TypeVar("Incoming")
Resolve = Callable[[str, int], list[str]]
BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.25
CONNECT_SECONDS = 2.0  # to an address; whoever does not answer is probably gone, and the name may have a new one
LINE_LIMIT = 1 << 18


class Channel(Generic[Incoming]):
    """Messages out and in; ``receive`` returns None once the other side is lost.

    ``address``: where the other side was found, whatever its name says by now; empty where it came by itself.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        adapter: TypeAdapter[Incoming],
        silence: float,
        address: str = "",
    ) -> None:
        self.address = address
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
    resolve: Resolve = resolve,
) -> Channel[Incoming]:
    """A connection to the host as its name resolves now: a replaced pod has a new address.

    Raises:
        OSError: no address of the name answers in time; the next try asks for its addresses again.

    """
    host, port = place
    addresses = await in_thread(lambda: resolve(host, port))
    error: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(address, port, limit=LINE_LIMIT)
            return Channel(reader, writer, adapter, silence, address)
        except TimeoutError:
            error = OSError(f"{address} does not answer")
        except OSError as refused:
            error = refused
    raise error
