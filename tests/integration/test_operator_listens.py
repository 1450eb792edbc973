"""A job that runs: what listening to it costs, which news is believed, and when a node counts as lost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from builders import make_progress, make_report
from reconcile_bench import Bench
from rfdetr_operator.core.model import NodeState


def make_resting() -> Bench:
    """A job that runs, has told its first progress and wants nothing; nobody has read it since."""
    bench = Bench()
    bench.run()
    bench.reports.report = make_report(progress=make_progress(1))
    bench.reconcile()
    bench.cluster.reads = 0
    bench.cluster.log.clear()
    return bench


def test_listening_to_a_running_job_reads_nothing_of_the_api_server() -> None:
    """Its progress is written at the usual pace, upon the version that our own last write made."""
    bench = make_resting()
    for second, epoch in ((11, 2), (16, 3), (22, 4)):
        bench.seconds = second
        bench.reports.report = make_report(progress=make_progress(epoch))
        bench.listen()

    assert (0, ["status Running", "status Running"]) == (bench.cluster.reads, bench.cluster.log)
    assert ("4/12", "3m20s", "2/2") == bench.row()


def test_an_echo_of_our_own_write_is_no_news() -> None:
    """Any other version is."""
    bench = make_resting()
    bench.reports.report = make_report(progress=make_progress())
    bench.seconds = 11
    bench.listen()
    version = bench.cluster.body["metadata"]["resourceVersion"]
    bench.listen(version)
    quiet = bench.cluster.reads
    bench.cluster.edit(runPolicy={"maxRestarts": 3})
    bench.listen(version, bench.cluster.body["metadata"]["resourceVersion"])

    assert (0, 1) == (quiet, bench.cluster.reads)


def test_a_pods_event_is_news() -> None:
    """The pod that it tells of is read, and replaced."""
    bench = make_resting()
    bench.cluster.vanish(1)
    bench.listen("")

    assert "create shelves-1 attempt 1 stored 1" in bench.cluster.log


def test_an_event_that_was_lost_is_made_good_within_half_a_minute() -> None:
    """What was read is not believed for longer."""
    bench = make_resting()
    bench.cluster.vanish(1)
    for second in range(0, 31, 5):
        bench.seconds = second
        bench.listen()

    assert (1, True) == (bench.cluster.reads, "shelves-1" in bench.cluster.pods)


def test_a_write_upon_an_old_version_is_refused_and_the_job_read_anew() -> None:
    """Somebody changed it and the event is still on its way."""
    bench = make_resting()
    bench.cluster.edit(runPolicy={"maxRestarts": 3})
    bench.reports.report = make_report(progress=make_progress())
    bench.seconds = 11
    bench.listen()

    assert (1, ["status Running"]) == (bench.cluster.reads, bench.cluster.log)


def make_two_nodes() -> Bench:
    """A job that runs on two nodes and makes progress, with both well."""
    bench = Bench()
    bench.reconcile()
    for rank, node in ((0, "alpha"), (1, "beta")):
        bench.cluster.place(rank, node)
        bench.cluster.nodes[node] = NodeState(node, silence=timedelta(seconds=1))
    bench.cluster.run_all()
    bench.reports.report = make_report(progress=make_progress())
    bench.reconcile()
    bench.reconcile()
    bench.cluster.log.clear()
    return bench


def pass_time(bench: Bench, seconds: int) -> None:
    """A pass every five seconds."""
    for _ in range(seconds // 5):
        bench.seconds += 5
        bench.reconcile()


def test_a_job_that_makes_progress_has_nobody_look_at_its_nodes() -> None:
    """One question to rank 0 a pass, none to the other pods."""
    bench = make_two_nodes()
    asked = bench.reports.asked
    for epoch in range(4, 8):
        bench.reports.report = make_report(progress=make_progress(epoch))
        pass_time(bench, 5)

    assert (asked + 4, []) == (bench.reports.asked, [each for each in bench.cluster.log if "look" in each])


def test_a_slow_job_whose_pods_answer_has_nobody_look_at_its_nodes() -> None:
    """A long validation is no loss."""
    bench = make_two_nodes()
    bench.cluster.nodes["beta"] = NodeState("beta", ready=False)
    pass_time(bench, 300)

    assert [] == bench.cluster.log


@pytest.mark.parametrize("rank", [0, 1])
def test_a_pod_on_a_lost_node_is_replaced(rank: int) -> None:
    """Rank 0's as well as another one's: seconds after both evidences are there, elsewhere if there is a choice."""
    bench = make_two_nodes()
    bench.reports.mute = {rank}
    node = ("alpha", "beta")[rank]
    bench.cluster.nodes[node] = NodeState(node, silence=timedelta(seconds=60))
    pass_time(bench, 20)
    if "nodeAffinity" not in json.dumps(bench.cluster.pods[f"shelves-{rank}"]):
        pass_time(bench, 5)

    shunned = json.dumps(bench.cluster.pods[f"shelves-{rank}"]["spec"]["affinity"])
    assert (1, True) == (bench.cluster.log.count(f"delete shelves-{rank}"), node in shunned)
    assert bench.cluster.status.restarts is not None
    assert (1, 0, 0) == (
        bench.cluster.status.restarts.node_losses,
        bench.cluster.status.restarts.preemptions,
        bench.cluster.status.restarts.counted,
    )


def test_a_silent_pod_on_a_healthy_node_is_left_alone() -> None:
    """A busy process, or a network policy that keeps the operator out."""
    bench = make_two_nodes()
    bench.reports.mute = {0, 1}
    pass_time(bench, 120)

    assert [] == [each for each in bench.cluster.log if "look" not in each]


def test_an_operator_that_never_heard_the_job_deletes_nothing() -> None:
    """It cannot tell a silent pod from a network that lets it hear none."""
    bench = make_two_nodes()
    bench.restart()
    bench.reports.mute = {0, 1}
    bench.cluster.nodes["beta"] = NodeState("beta", ready=False)
    pass_time(bench, 120)

    assert [] == [each for each in bench.cluster.log if "look" not in each]
