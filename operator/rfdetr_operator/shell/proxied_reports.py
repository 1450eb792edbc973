"""Live reports by way of the API server, for an operator that cannot reach the pods' network."""

from __future__ import annotations

import asyncio
import json

from rfdetr_contract.names import HTTP_PORT
from rfdetr_contract.report import RunReport
from rfdetr_operator.core.model import Worker
from rfdetr_operator.shell.cluster import ClusterError, Key
from rfdetr_operator.shell.kubernetes import Caller
from rfdetr_operator.shell.reports import SIZE_LIMIT, TIMEOUT, parse_report


class ProxiedReports:
    """Reports through the subresource pods/proxy; the same limits hold as over the pod's address."""

    def __init__(self, calls: Caller, port: int = HTTP_PORT) -> None:
        self._calls = calls
        self._port = port

    async def read(self, key: Key, worker: Worker) -> RunReport | None:
        """What the worker says now; None when it cannot be heard."""
        path = f"/api/v1/namespaces/{key.namespace}/pods/{worker.name}:{self._port}/proxy/report"
        try:
            async with asyncio.timeout(TIMEOUT.total):
                answer = await self._calls.call("GET", path, limit=SIZE_LIMIT)
        except (ClusterError, TimeoutError):
            return None
        return parse_report(json.dumps(answer.body).encode()) if answer.status == 200 else None
