"""Random histories of pods, users and crashes of the operator: whatever happens, the laws hold and the end is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SETTINGS, START, make_body, make_crashed, make_done, make_preempted
from fake_cluster import KEY, FakeCluster, OperatorKilled, SilentReports
from rfdetr_operator.api.v1alpha1 import Restarts, Status
from rfdetr_operator.core.conditions import Phase, is_terminal
from rfdetr_operator.shell.cluster import Conflict
from rfdetr_operator.shell.reconcile import Reconciler

BUDGET = 2
RANKS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("reconcile"), st.just(0)),
    st.tuples(st.just("reconcile"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["run", "run", "run", "succeed", "fail", "leave", "die", "preempt", "vanish"]), RANKS),
    st.tuples(st.just("run all"), st.just(0)),
    st.tuples(st.just("finish"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 90)),
    st.tuples(st.just("suspend"), st.integers(0, 1)),
    st.tuples(st.just("scale"), st.sampled_from([1, 2])),
)


@dataclass
class World:
    """A cluster, a clock, and the laws that are checked after each step."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(make_body(runPolicy={"maxRestarts": BUDGET})))
    seconds: float = 0.0
    ended: str | None = None
    attempt: int = 0
    counted: int = 0

    def reconcile(self, lives: int | None = None) -> timedelta | None:
        """One pass of an operator that has just started and dies after ``lives`` writes."""
        self.cluster.lives = lives
        operator = Reconciler(self.cluster, SilentReports(), SETTINGS, lambda: START + timedelta(seconds=self.seconds))
        try:
            return asyncio.run(operator(KEY))
        except (OperatorKilled, Conflict):
            return timedelta(seconds=1)
        finally:
            self.cluster.lives = None

    def step(self, name: str, value: int) -> None:
        """One thing happens."""
        cluster = self.cluster
        happen: dict[str, Callable[[], object]] = {
            "reconcile": self.reconcile,
            "crash": lambda: self.reconcile(value),
            "run": lambda: cluster.run(value),
            "run all": cluster.run_all,
            "succeed": lambda: cluster.end(value, make_done(value)),
            "fail": lambda: cluster.end(value, make_crashed(value).report),
            "leave": lambda: cluster.end(value, make_preempted(value).report),
            "die": lambda: cluster.end(value, None),
            "preempt": lambda: cluster.preempt(value),
            "vanish": lambda: cluster.vanish(value),
            "finish": cluster.finish_deletions,
            "wait": lambda: self.sleep(value),
            "suspend": lambda: cluster.edit(suspend=bool(value)),
            "scale": lambda: cluster.edit(nodes=value),
        }
        happen[name]()

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.seconds += seconds

    def check(self) -> None:
        """The laws."""
        status = self.cluster.status
        restarts = status.restarts or Restarts()
        assert (status.attempt or 0) >= self.attempt, "the attempt never falls"
        assert restarts.counted >= self.counted, "the count never falls"
        assert restarts.counted <= BUDGET + 1, "the budget is spent once"
        self.attempt, self.counted = status.attempt or 0, restarts.counted
        if self.ended is not None:
            assert status.phase == self.ended, "terminal is terminal"
        if is_terminal(status, self.cluster.job.metadata.generation):
            self.ended = status.phase
        for line in self.cluster.log:
            assert not line.endswith("again"), f"a rank was made while its object lives: {line}"
            if "attempt" in line:
                made, stored = line.split()[3], line.split()[5]
                assert made == stored, f"a pod of an attempt that is not stored: {line}"

    def settle(self) -> Status:
        """Nothing bad happens any more: the kubelet does its work and the operator its passes."""
        for _ in range(40):
            before = len(self.cluster.log)
            self.reconcile()
            self.cluster.finish_deletions()
            self.cluster.run_all()
            self.check()
            self.seconds += 61
            if len(self.cluster.log) == before and self.is_still():
                return self.cluster.status
        raise AssertionError(f"it never comes to rest: {self.cluster.log[-12:]}")

    def is_still(self) -> bool:
        """One more pass changes nothing."""
        before = len(self.cluster.log)
        self.reconcile()
        return before == len(self.cluster.log)


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_the_laws_hold_through_any_history(steps: list[tuple[str, int]]) -> None:
    """However pods die and wherever the operator is killed, the job comes to rest: running, suspended or ended."""
    world = World()
    for name, value in steps:
        world.step(name, value)
        world.check()

    status = world.settle()
    assert status.phase in (Phase.RUNNING, Phase.SUSPENDED, Phase.SUCCEEDED, Phase.FAILED)
