"""What looking for lost nodes costs, and what is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from builders import SETTINGS, START, later, make_observed, make_progress, make_report, make_worker
from fake_cluster import KEY, FakeCluster, SpokenReports
from rfdetr_operator.core.model import NodeState, Observed, PodPhase, Silence
from rfdetr_operator.shell.lookout import AVOID_FOR, Lookout


class Scene:
    """A lookout over a job, with its clock."""

    def __init__(self, *nodes: NodeState) -> None:
        self.cluster = FakeCluster(nodes={each.name: each for each in nodes})
        self.reports = SpokenReports(make_report(progress=make_progress()))
        self.now = START
        self.lookout = Lookout(self.cluster, self.reports, SETTINGS, lambda: self.now)

    def look(self, observed: Observed, seconds: float) -> Observed:
        """What is seen then."""
        self.now = later(seconds)
        return asyncio.run(self.lookout.look(KEY, observed))


def make_large(phase: PodPhase, count: int = 40) -> Observed:
    """A job with a pod on each of many nodes."""
    ranks = range(count)
    return make_observed(*(make_worker(rank, phase, node=f"node-{rank:02}", scheduled=START) for rank in ranks))


def test_a_large_job_that_pulls_its_image_floods_nobody() -> None:
    """A few nodes a look, all of them in turn."""
    scene = Scene()
    looks = []
    for turn in range(5):
        scene.cluster.log.clear()
        scene.look(make_large(PodPhase.PENDING), 60 + 5 * turn)
        looks.append(set(scene.cluster.log))

    assert ([8] * 5, 40) == ([len(each) for each in looks], len(set.union(*looks)))


def test_a_pod_that_was_placed_a_moment_ago_is_no_reason_to_look() -> None:
    """An image takes its time."""
    scene = Scene()
    scene.look(make_large(PodPhase.PENDING), 19)

    assert [] == scene.cluster.log


def test_silence_is_counted_from_the_first_question_without_an_answer() -> None:
    """And forgotten with the first answer."""
    beta = NodeState("beta", ready=False)
    scene = Scene(beta)
    pods = make_observed(make_worker(0, node="alpha"), make_worker(1, node="beta"))
    scene.look(pods, 0)
    scene.reports.mute = {1}
    seen = [scene.look(pods, seconds).silent for seconds in (5, 12)]
    scene.reports.mute = set()
    healed = scene.look(pods, 15).silent

    assert [{"pod-1": Silence(timedelta(0), heard=True)}, {"pod-1": Silence(timedelta(seconds=7), heard=True)}] == seen
    assert {} == healed


def test_a_lost_node_is_shunned_for_a_while() -> None:
    """Until the scheduler knows by itself."""
    scene = Scene(NodeState("beta", ready=False), NodeState("alpha"))
    scene.reports.mute = {0, 1}
    scene.look(make_observed(make_worker(0, node="alpha"), make_worker(1, node="beta")), 30)
    found = [scene.lookout.choose_avoided()]
    scene.now += AVOID_FOR
    found.append(scene.lookout.choose_avoided())

    assert [("beta",), ()] == found


def test_a_lookout_that_is_switched_off_only_listens() -> None:
    """Rank 0's report comes all the same."""
    scene = Scene()
    off = Lookout(scene.cluster, scene.reports, replace(SETTINGS, node_lost=timedelta(0)), lambda: scene.now)
    pods = make_large(PodPhase.RUNNING)
    seen = asyncio.run(off.look(KEY, pods))

    assert (replace(pods, report=scene.reports.report, report_time=START), 1) == (seen, scene.reports.asked)
