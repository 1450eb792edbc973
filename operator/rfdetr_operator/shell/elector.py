"""Who serves the jobs: one operator at a time, by a Lease. Deadlines are this process's own monotonic ones.

A leader may write for two thirds of the lease after the moment *before* its last renewal; another one takes over a whole
lease after it saw that renewal. Whatever froze in between, the first has stopped before the second begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from rfdetr_operator.shell.cluster import Body, ClusterError
from rfdetr_operator.shell.events import format_micro
from rfdetr_operator.shell.kubernetes import Answer, Caller, check

log = logging.getLogger(__name__)

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces"
# Shares of the lease: from one renewal to the next, a try's own limit, the pause after one that failed, and how long a
# leader may write after a good one.
RENEW, TRY, AGAIN, SAFE = 1 / 4, 1 / 6, 1 / 40, 2 / 3
LONGEST_PAUSE: Final = 1.0  # seconds between two looks of a standby: how soon it takes a lease that was given back
RELEASE: Final = 1.0  # seconds that giving it back may take


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Which lease, who asks, and for how long it is held without a renewal."""

    namespace: str
    name: str
    identity: str
    seconds: int

    @property
    def path(self) -> str:
        """Of all leases of the namespace."""
        return f"{LEASES}/{self.namespace}/leases"


@dataclass(frozen=True, slots=True)
class Clocks:
    """``tick`` measures, ``now`` is written for people, ``chance`` spreads."""

    tick: Callable[[], float]
    now: Callable[[], datetime]
    chance: Callable[[], float]


class Leadership(Protocol):
    """Whether this operator serves the jobs."""

    def may_write(self) -> bool:
        """It leads, at this very moment."""

    def was_reached(self) -> bool:
        """It was once said who leads: this operator could."""

    async def run(self, gained: Callable[[], None], beat: Callable[[], None]) -> None:
        """Call ``gained`` whenever it begins to lead, ``beat`` at each try; return when another one leads instead."""

    async def release(self) -> None:
        """Let the next one begin at once."""


class Alone:
    """There is no other operator."""

    def may_write(self) -> bool:
        """Always."""
        return True

    def was_reached(self) -> bool:
        """There is nothing to reach."""
        return True

    async def run(self, gained: Callable[[], None], beat: Callable[[], None]) -> None:
        """Lead for ever."""
        gained()
        while True:
            beat()
            await asyncio.sleep(LONGEST_PAUSE)

    async def release(self) -> None:
        """Nobody waits."""


class Elector:
    """One candidate for one lease."""

    def __init__(self, calls: Caller, terms: LeaseTerms, clocks: Clocks) -> None:
        self._calls = calls
        self._terms = terms
        self._clocks = clocks
        self._lease: Body | None = None  # as last written by us
        self._record: object = None  # as last seen of another holder
        self._since = 0.0
        self._safe_until = -1.0
        self._has_led = False
        self._is_reached = True  # an outage is said once
        self._was_reached = False

    def may_write(self) -> bool:
        """It leads, at this very moment."""
        return self._clocks.tick() < self._safe_until

    def was_reached(self) -> bool:
        """It was once said who leads: this operator could."""
        return self._was_reached

    async def run(self, gained: Callable[[], None], beat: Callable[[], None]) -> None:
        """Compete until another one leads instead. An API server that is away only fences: nobody else can lead either."""
        while True:
            before = self.may_write()
            try:
                async with asyncio.timeout(self._terms.seconds * TRY):
                    await self.compete()
                self._is_reached = self._was_reached = True
            except (ClusterError, TimeoutError) as error:
                if self._is_reached:
                    log.warning("the lease was not reached", extra={"error": f"{type(error).__name__}: {error}"})
                self._is_reached = False
            beat()
            if self._has_led and self._lease is None:
                return
            if self.may_write() and not before:
                self._has_led = True
                log.info("leading", extra={"lease": self._terms.name, "identity": self._terms.identity})
                gained()
            await asyncio.sleep(self._choose_pause())

    async def release(self) -> None:
        """Give the lease back, if it is still ours."""
        if self._lease is None or not self.may_write():
            return
        self._safe_until = -1.0
        given = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
        with contextlib.suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(RELEASE):
                await self._put(given)
        log.info("lease given back", extra={"lease": self._terms.name})

    def _choose_pause(self) -> float:
        """A renewal that failed is tried again soon: two may fail in a row before the leader must stop."""
        if self.may_write():
            return self._terms.seconds * (RENEW if self._is_reached else AGAIN)
        return min(self._terms.seconds * RENEW, LONGEST_PAUSE) * (0.8 + 0.4 * self._clocks.chance())

    async def compete(self) -> None:
        """One try: renew what is ours; otherwise, and after a renewal that is too late, look first and take what is free.

        Raises:
            ClusterError: the API server did not answer, or says no.

        """
        began = self._clocks.tick()
        if self._lease is not None and self.may_write():
            answer = await self._put(self._build(self._lease))
            if answer.status != 409:
                return self._take(check(answer, "renew lease"), began)
        answer = await self._calls.call("GET", f"{self._terms.path}/{self._terms.name}")
        if answer.status == 404:
            answer = await self._calls.call("POST", self._terms.path, self._build(None))
        elif self._is_free(lease := check(answer, "get lease")):
            began = self._clocks.tick()
            answer = await self._put(self._build(lease))
        else:
            self._lease = None
            return None
        return None if answer.status == 409 else self._take(check(answer, "take lease"), began)

    def _take(self, stored: Body, began: float) -> None:
        self._lease = stored
        self._safe_until = began + self._terms.seconds * SAFE

    def _is_free(self, lease: Body) -> bool:
        """Given back, ours, or seen without a change for as long as it lasts: by our clock, since others may be wrong."""
        spec, now = lease.get("spec") or {}, self._clocks.tick()
        record = (lease["metadata"].get("resourceVersion"), spec.get("renewTime"), spec.get("holderIdentity"))
        if record != self._record:
            self._record, self._since = record, now
        if spec.get("holderIdentity") in (None, "", self._terms.identity):
            return True
        return now - self._since >= float(spec.get("leaseDurationSeconds") or self._terms.seconds)

    def _build(self, lease: Body | None) -> Body:
        spec = dict((lease or {}).get("spec") or {})
        now = format_micro(self._clocks.now())
        if spec.get("holderIdentity") != self._terms.identity:
            transitions = int(spec.get("leaseTransitions") or 0) + (lease is not None)
            spec |= {"acquireTime": now, "leaseTransitions": transitions}
        spec |= {
            "holderIdentity": self._terms.identity,
            "leaseDurationSeconds": self._terms.seconds,
            "renewTime": now,
        }
        metadata = {"name": self._terms.name, "namespace": self._terms.namespace}
        if lease is not None:
            metadata = lease["metadata"]  # its resource version makes the write a comparison
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _put(self, lease: Body) -> Answer:
        return await self._calls.call("PUT", f"{self._terms.path}/{self._terms.name}", lease)
