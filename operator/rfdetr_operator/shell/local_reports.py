"""Rank 0's live report, read at the job's own port of this machine."""

from __future__ import annotations

from types import TracebackType

import aiohttp
import pydantic

from rfdetr_contract.report import RunReport
from rfdetr_operator.shell.local_container import LOOPBACK

LIMIT = 65536  # bytes
PATIENCE = 2  # seconds


class LocalReports:
    """Reads ``/report`` of one launcher."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}/report"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> LocalReports:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def read(self) -> RunReport | None:
        """The report, None when the launcher does not answer well."""
        if self._session is None:
            return None
        try:
            async with self._session.get(self._url, allow_redirects=False) as answer:
                return RunReport.model_validate_json(await answer.content.read(LIMIT))
        except (aiohttp.ClientError, TimeoutError, pydantic.ValidationError):
            return None
