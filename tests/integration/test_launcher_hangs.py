"""Ranks that live and do nothing, nodes that may not train, and nodes that nobody hears: real launchers, a toy worker."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.launcher_pods import Cluster, Cut, build_run, find_worker, is_alive, wait_until
from rfdetr_contract.report import ExitCode, FailureReason, Outcome, RunReport
from rfdetr_trainer.launch.stragglers import PATIENCE_SECONDS

Make = Callable[..., Cluster]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds clusters of two nodes."""
    made: list[Cluster] = []

    def build(toy: dict[str, object], nodes: int = 2, **limits: float) -> Cluster:
        run = build_run(nodes, 1, "auto", "u1", **limits)
        made.append(Cluster(tmp_path, run, {"steps": 60, "seconds": 0.02, **toy}))
        return made[-1]

    yield build
    for cluster in made:
        cluster.close()


def test_a_rank_that_hangs_is_named_with_its_stack_and_the_run_goes_on(make: Make) -> None:
    """Rank 0 only waits for it: the culprit is on the other node, and a new round does what it did not."""
    cluster = make({"fail": {"rank": 1, "step": 17, "how": "hang"}}, hang_floor_seconds=2)
    first, second = cluster.start(0), cluster.start(1)

    over = first.wait_for(r"round 1 is over: (.*)").group(1)
    first.wait_for("generation 2 step")
    running = RunReport.model_validate_json(first.fetch("/report"))

    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert (2, 15) == (first.report().generation, first.report().resumed_step)
    assert ("trained 60 steps", None, "") == (
        first.report().message,
        first.report().culprit_rank,
        first.report().last_lines,
    )
    assert (f"round 1: {over}", 1, Outcome.RUNNING, None) == (
        running.message,
        running.culprit_rank,
        running.outcome,
        running.reason,
    )
    assert running.last_lines.startswith("fail (launcher_toy.py:")
    assert over.startswith("rank 1 hangs: no progress for ")
    assert " in phase train after step 17 (limit 2 s); it is in fail (launcher_toy.py:" in over
    assert "(most recent call first):" in second.text
    assert "in all_reduce" in first.text


def test_the_same_hang_three_times_ends_the_run_with_its_stack(make: Make) -> None:
    """A hang that comes back at the same step is no accident."""
    cluster = make({"fail": {"rank": 0, "step": 7, "how": "stuck"}}, nodes=1, hang_floor_seconds=1)
    pod = cluster.start(0)

    assert ExitCode.FAILED == pod.end()
    report = pod.report()
    assert (Outcome.FAILED, FailureReason.HANG, 0, 3) == (
        report.outcome,
        report.reason,
        report.culprit_rank,
        report.generation,
    )
    assert report.message.endswith("(3 times at step 5, without a new durable step)")
    assert report.last_lines.startswith("fail (launcher_toy.py:")


def test_a_stopped_rank_costs_one_round(make: Make) -> None:
    """It cannot show its stack, and that names it."""
    cluster = make({"steps": 150}, hang_floor_seconds=2)
    first, second = cluster.start(0), cluster.start(1)
    worker = find_worker(second, 1, 1)
    first.wait_for("generation 1 step 20$")

    os.kill(worker, signal.SIGSTOP)

    over = first.wait_for(r"round 1 is over: (.*)").group(1)
    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert over.startswith("rank 1 hangs: ")
    assert over.endswith("; its process is stopped")
    assert not is_alive(worker)


def test_slow_saves_and_evaluations_of_a_real_run_raise_no_alarm(make: Make) -> None:
    """Rank 0 evaluates and saves for longer than a step may take; the other one waits for it."""
    slow = {"steps": 60, "eval": {"every": 30, "seconds": 4}, "every": 30, "save": 3}
    cluster = make(slow, hang_floor_seconds=2)
    first, second = cluster.start(0), cluster.start(1)

    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert (1, "no rank makes progress" in first.text) == (first.report().generation, False)
    assert first.time_of("generation 1 step 60$") - first.time_of("generation 1 step 1$") > 10  # two saves, one eval


def test_a_save_that_does_not_fit_into_the_time_to_stop_is_warned_of(make: Make) -> None:
    """It was measured: the log says it once, and the report as long as it is so."""
    cluster = make({"steps": 20, "every": 5, "save": 1.1}, nodes=1, stop_seconds=1, grace_seconds=2)
    pod = cluster.start(0)

    assert ExitCode.OK == pod.end()
    words = (
        r"a checkpoint took 1 s, a step takes 0\.0 s, and a pod that is told to stop has 1 s: "
        r"set pod\.terminationGracePeriodSeconds=3 or more"
    )
    assert re.fullmatch(words, pod.report().warning)
    assert 1 == len(re.findall(f"^rfdetr: {words}$", pod.text, re.MULTILINE))


def test_a_rank_that_is_slow_for_half_a_minute_is_told_of_and_left_alone(make: Make) -> None:
    """By what each rank measures of its own work: both step at the same pace."""
    cluster = make({"steps": 4000, "slow": {"rank": 1, "seconds": 0.1}})
    first, second = cluster.start(0), cluster.start(1)
    first.wait_for("generation 1 step 20$")
    began = time.monotonic()

    ratio = float(first.wait_for(r"^rfdetr: rank 1 is slow: .* takes ([\d.]+) times the median", seconds=60).group(1))

    report = RunReport.model_validate_json(first.fetch("/report"))
    assert (1, True) == (report.straggler and report.straggler.rank, ratio > 2), report
    assert re.search(r"^rfdetr_train_straggler_ratio ([3-9]|2\.)", first.fetch("/metrics"), re.MULTILINE)
    assert time.monotonic() - began > PATIENCE_SECONDS - 5
    assert [None, None] == [pod.process.poll() for pod in (first, second)]


@pytest.mark.parametrize("unfit", [0, 1])
def test_a_data_set_that_one_node_refuses_ends_every_launcher_at_once(make: Make, unfit: int) -> None:
    """The others would wait for ever; all say the same and end with the permanent code."""
    cluster = make({})
    cluster.environ |= {"RFDETR_PREFLIGHT_MODULE": "integration.launcher_refuses", "TOY_UNFIT": f"pod-{unfit}"}
    started = time.monotonic()
    pods = [cluster.start(0), cluster.start(1)]

    expected = (ExitCode.DATA_ERROR, FailureReason.DATA_ERROR, f"{cluster.folder.name}: image 7 is missing")
    assert [expected, expected] == [(pod.end(), pod.report().reason, pod.report().message) for pod in pods]
    assert time.monotonic() - started < 15


def test_a_launcher_killed_with_sigkill_leaves_nobody_behind(make: Make) -> None:
    """Fork server, workers and a worker's own helper are dead within a second."""
    cluster = make({"steps": 2000, "helper": True}, nodes=1)
    pod = cluster.start(0)
    worker, helper = find_worker(pod, 0, 1), int(pod.wait_for(r"helper (\d+)").group(1))
    pod.wait_for("generation 1 step 10$")
    zygote = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])

    pod.kill()

    assert wait_until(lambda: not any(is_alive(pid) for pid in (zygote, worker, helper)), seconds=1)


def test_a_killed_fork_servers_helpers_die_with_it(make: Make) -> None:
    """The launcher ends what the fork server cannot any more."""
    pod = make({"steps": 200, "helper": True}, nodes=1).start(0)
    worker, helper = find_worker(pod, 0, 1), int(pod.wait_for(r"helper (\d+)").group(1))
    zygote = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(zygote, signal.SIGKILL)

    assert wait_until(lambda: not is_alive(helper), seconds=2)
    assert ExitCode.OK == pod.end()


def test_a_cut_network_is_noticed_within_five_seconds_and_healed(make: Make) -> None:
    """No end of stream, no reset, only silence: both sides let go of their workers, and meet again."""
    cluster = make({"steps": 250})
    cut = Cut(cluster.port)
    first = cluster.start(0)
    second = cluster.start(1, port=cut.port)
    workers = [find_worker(first, 0, 1), find_worker(second, 1, 1)]
    first.wait_for("generation 1 step 20$")

    cut.off()
    began = time.monotonic()
    assert wait_until(lambda: not any(is_alive(pid) for pid in workers), seconds=8)
    noticed = time.monotonic() - began
    cut.on()

    assert [ExitCode.OK, ExitCode.OK] == [first.end(), second.end()]
    assert 2 == first.report().generation
    assert noticed < 6.5  # five seconds of silence, counted from the last of the signs of life, one a second
    cut.close()


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("integration.launcher_thread", "the fork server has 2 threads"),
        ("integration.launcher_socket", "the fork server has 2 open sockets"),
        ("integration.launcher_cuda", "CUDA is initialised in the fork server"),
    ],
)
def test_a_broken_law_of_forking_starts_workers_cold_and_says_so(make: Make, module: str, why: str) -> None:
    """A fork beside a thread, a connection or a CUDA context can hang: slower is better than stuck."""
    pod = make({"steps": 5}, nodes=1).start(0, RFDETR_PRELOAD=module)

    assert ExitCode.OK == pod.end()
    assert f"rfdetr: rank 0 starts cold: {why}" in pod.text
