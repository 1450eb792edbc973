"""Rank 0's live report, pulled over its pod's address. The answer is untrusted, and no decision needs it."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
from pydantic import ValidationError

from rfdetr_contract.names import HTTP_PORT
from rfdetr_contract.report import RunReport
from rfdetr_operator.core.model import Worker
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.streams import read_limited

TIMEOUT = aiohttp.ClientTimeout(total=2)
SIZE_LIMIT = 64 * 1024  # bytes


class Reports(Protocol):
    """Where a live report comes from."""

    async def read(self, key: Key, worker: Worker) -> RunReport | None:
        """What the worker says now; None when it cannot be heard."""


class HttpReports:
    """Reports over HTTP: no redirects, no proxies, 64 KiB, 2 seconds, strict schema."""

    def __init__(self, session: aiohttp.ClientSession, port: int = HTTP_PORT) -> None:
        self._session = session
        self._port = port

    async def read(self, key: Key, worker: Worker) -> RunReport | None:  # noqa: ARG002 - the pod's address says it all
        """What the worker says now; None when it cannot be heard."""
        if worker.ip is None:
            return None
        host = f"[{worker.ip}]" if ":" in worker.ip else worker.ip
        url = f"http://{host}:{self._port}/report"
        try:
            async with self._session.get(url, timeout=TIMEOUT, allow_redirects=False) as response:
                if response.status != 200:
                    return None
                text = await read_limited(response.content, SIZE_LIMIT)
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError):
            return None
        return parse_report(text)


def parse_report(text: bytes | None) -> RunReport | None:
    """The report of a body; None for anything else."""
    try:
        return None if text is None else RunReport.model_validate_json(text)
    except ValidationError:
        return None
