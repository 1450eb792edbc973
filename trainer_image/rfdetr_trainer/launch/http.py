"""``/metrics``, ``/report`` and ``/healthz``: one answer a connection, nothing is read but the request line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST

from rfdetr_contract.report import RunReport
from rfdetr_trainer.launch.counters import Counts
from rfdetr_trainer.launch.exposition import build_exposition
from rfdetr_trainer.launch.ports import listen

REQUEST_SECONDS = 2.0
HEAD_LIMIT = 8192
CONNECTIONS_LIMIT = 64  # at once; all others are closed unread
Look = Callable[[], tuple[RunReport, Counts]]


def build_answer(request: str, look: Look) -> tuple[str, str, bytes]:
    """Status line, content type and body for a request line."""
    method, _, rest = request.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method not in {"GET", "HEAD"}:
        return "405 Method Not Allowed", "text/plain", b"only GET is answered\n"
    if path == "/healthz":
        return "200 OK", "text/plain", b"ok\n"
    if path == "/report":
        return "200 OK", "application/json", look()[0].model_dump_json(exclude_none=True).encode()
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, build_exposition(*look())
    return "404 Not Found", "text/plain", b"there are /metrics, /report and /healthz\n"


def build_reply(request: str, look: Look) -> bytes:
    """The whole reply to a request line."""
    status, kind, body = build_answer(request, look)
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if request.startswith("HEAD ") else body)


async def serve_http(port: int, look: Look) -> asyncio.Server:
    """The listening server; ``port`` 0 takes any free one.

    It shares its loop with the heartbeats of the launchers: no client keeps anything of it for longer than two seconds.
    """
    open_connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_connections
        open_connections += 1
        try:
            if open_connections <= CONNECTIONS_LIMIT:
                async with asyncio.timeout(REQUEST_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(build_reply(head.split(b"\r\n", 1)[0].decode("latin-1"), look))
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            open_connections -= 1
            writer.transport.abort()

    return await asyncio.start_server(answer, sock=listen(port), limit=HEAD_LIMIT)
