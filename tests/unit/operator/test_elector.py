"""The lease: who holds it, when it is taken, and that two never write at the same moment."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Any

import pytest

from builders import START
from rfdetr_operator.shell.cluster import ClusterError, Refused, Unavailable
from rfdetr_operator.shell.elector import AGAIN, RENEW, SAFE, TRY, Clocks, Elector, LeaseTerms
from rfdetr_operator.shell.kubernetes import Answer, Fenced

Body = dict[str, Any]
SECONDS = 6


@dataclass
class LeaseServer:
    """An API server that keeps one lease, and compares resource versions."""

    lease: Body | None = None
    version: int = 0
    answer: int | None = None  # what it says to everything, as long as it is set
    writes: list[str] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Body | None = None, query: object = (), *, limit: int = 0
    ) -> Answer:
        if self.answer is not None:
            return Answer(self.answer, {"message": "told to fail"})
        if method == "GET":
            return Answer(404, {}) if self.lease is None else Answer(200, copy.deepcopy(self.lease))
        assert body is not None
        stored = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if (method == "POST") != (self.lease is None) or body["metadata"].get("resourceVersion") != stored:
            return Answer(409, {})
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.writes.append(body["spec"]["holderIdentity"])
        return Answer(200, copy.deepcopy(self.lease))


@dataclass
class Race:
    """Two candidates, one clock."""

    server: LeaseServer = field(default_factory=LeaseServer)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.first, self.second = self.enter("first"), self.enter("second")

    def enter(self, identity: str) -> Elector:
        """A candidate."""
        clocks = Clocks(lambda: self.seconds, lambda: START, lambda: 0.5)
        return Elector(self.server, LeaseTerms("system", "ours", identity, SECONDS), clocks)

    def compete(self, *candidates: Elector) -> list[bool]:
        """One try of each; who may write then."""
        for each in candidates:
            asyncio.run(each.compete())
        return [self.first.may_write(), self.second.may_write()]


def test_the_first_one_leads_and_the_other_stands_by() -> None:
    """The lease says who, since when and how often it changed hands."""
    race = Race()

    assert [True, False] == race.compete(race.first, race.second)
    assert race.server.lease is not None
    now = "2026-01-02T03:04:05.000000Z"
    assert {
        "holderIdentity": "first",
        "leaseDurationSeconds": SECONDS,
        "leaseTransitions": 0,
        "acquireTime": now,
        "renewTime": now,
    } == race.server.lease["spec"]


def test_a_lease_that_is_renewed_is_not_taken() -> None:
    """However long it goes on."""
    race = Race()
    for _ in range(10):
        race.seconds += SECONDS / 3
        assert [True, False] == race.compete(race.first, race.second)


def test_a_dead_leader_is_followed_after_the_lease() -> None:
    """By the second's own clock: what times the lease says is nobody's evidence."""
    race = Race()
    race.compete(race.first, race.second)
    seen = []
    for passed in (SECONDS - 0.1, SECONDS + 0.1):
        race.seconds = passed
        seen.append(race.compete(race.second))

    assert [[False, False], [False, True]] == seen
    assert race.server.lease is not None
    assert 1 == race.server.lease["spec"]["leaseTransitions"]


def test_a_leader_stops_before_another_may_begin() -> None:
    """At every moment at most one of them may write, wherever the first one froze."""
    race = Race()
    race.compete(race.first, race.second)
    both = 0
    for tenth in range(2 * SECONDS * 10):
        race.seconds = tenth / 10
        both += all(race.compete(race.second))

    assert (0, [False, True]) == (both, [race.first.may_write(), race.second.may_write()])


def test_a_leader_that_was_frozen_sees_that_it_lost() -> None:
    """It holds nothing any more, and writes nothing to the lease."""
    race = Race()
    race.compete(race.first, race.second)
    race.seconds = SECONDS + 1
    race.compete(race.second)
    written = list(race.server.writes)

    assert [False, True] == race.compete(race.first)
    assert written == race.server.writes


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    """A rolling update waits for nobody's lease to run out."""
    race = Race()
    race.compete(race.first, race.second)
    asyncio.run(race.first.release())

    assert [False, True] == race.compete(race.second)


def test_who_lost_gives_nothing_back() -> None:
    """The lease is another one's."""
    race = Race()
    race.compete(race.first, race.second)
    race.seconds = SECONDS + 1
    race.compete(race.second)
    asyncio.run(race.first.release())

    assert race.server.lease is not None
    assert "second" == race.server.lease["spec"]["holderIdentity"]


def test_an_outage_of_the_api_fences_and_ends_nothing() -> None:
    """Nobody else can lead meanwhile; afterwards the same one goes on."""
    race = Race()
    race.compete(race.first)
    race.server.answer = 503
    race.seconds = SECONDS * 0.5
    with pytest.raises(Unavailable):
        race.compete(race.first)
    during = race.first.may_write()
    race.seconds = SECONDS * 100
    fenced = race.first.may_write()
    race.server.answer = None

    assert (True, False, [True, False]) == (during, fenced, race.compete(race.first))


def test_a_container_that_starts_again_takes_up_its_own_lease() -> None:
    """The pod has the same name, and the process before it is dead."""
    race = Race()
    race.compete(race.first)
    race.first = race.enter("first")

    assert [True, False] == race.compete(race.first)


def test_two_renewals_may_fail_before_a_leader_must_stop() -> None:
    """And it stops before another one may begin."""
    assert RENEW + 2 * (TRY + AGAIN) < SAFE < 1


def test_a_missing_right_is_said() -> None:
    """Not taken for a lease that is held."""
    race = Race(LeaseServer(answer=403))
    with pytest.raises(Refused):
        race.compete(race.first)


def test_who_does_not_lead_reads_and_writes_nothing() -> None:
    """Each call is asked about at its own moment."""
    server = LeaseServer()
    calls = Fenced(server, lambda: False)

    async def use(method: str) -> str:
        try:
            return str((await calls.call(method, "/path", {"metadata": {}, "spec": {}})).status)
        except ClusterError as error:
            return type(error).__name__

    found = [asyncio.run(use(method)) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
    assert (["404", *["NotLeading"] * 4], []) == (found, server.writes)
