"""``/metrics``, ``/report`` and ``/healthz``: one answer a connection, nothing is read but the request line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST

from rfdetr_contract.report import RunReport
from rfdetr_trainer.launch.counters import Counts
from rfdetr_trainer.launch.exposition import build_exposition
from rfdetr_trainer.launch.ports import listen

REQUEST_SECONDS = 2.0
HEAD_LIMIT = 8192
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


async def serve_http(port: int, look: Look) -> asyncio.Server:
    """The listening server; ``port`` 0 takes any free one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                request = head.split(b"\r\n", 1)[0].decode("latin-1")
                status, kind, body = build_answer(request, look)
                words = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{words}Connection: close\r\n\r\n".encode())
                writer.write(b"" if request.startswith("HEAD ") else body)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, sock=listen(port), limit=HEAD_LIMIT)
