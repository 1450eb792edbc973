"""One launcher or two, with a toy as their worker: how a run ends, and what it says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.launcher_pods import Cluster, Pod, build_run, find_worker, is_alive, wait_until
from rfdetr_contract.report import ExitCode, FailureReason, Outcome, RunReport

Make = Callable[..., Cluster]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds clusters, one node each unless said otherwise."""
    made: list[Cluster] = []

    def build(toy: dict[str, object], nodes: int = 1, nproc: int = 1) -> Cluster:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Cluster(folder, build_run(nodes, nproc), {"steps": 40, "seconds": 0.01, **toy}))
        return made[-1]

    yield build
    for cluster in made:
        cluster.close()


def summarize(pod: Pod) -> tuple[int, Outcome, FailureReason | None, int | None]:
    """How a pod ended."""
    code, report = pod.end(), pod.report()
    return code, report.outcome, report.reason, report.culprit_rank


def test_a_permanent_failure_ends_every_launcher_at_once(make: Make) -> None:
    """The configuration will be as wrong the next time: no second round, and every pod says the same."""
    cluster = make({"fail": {"rank": 1, "step": 3, "how": "ConfigError"}}, nodes=2)
    pods = [cluster.start(0), cluster.start(1)]

    expected = (ExitCode.CONFIG_ERROR, Outcome.FAILED, FailureReason.CONFIG_ERROR, 1)
    assert [expected, expected] == [summarize(pod) for pod in pods]
    assert "the toy says ConfigError" == pods[0].report().message
    assert "round 2" not in pods[0].text


def test_the_same_failure_at_the_same_step_ends_the_run(make: Make) -> None:
    """Three times without a new durable step: the reason, the rank and its last lines are told."""
    cluster = make({"fail": {"rank": 1, "step": 7, "how": "raise"}, "every": 5}, nproc=2)
    pod = cluster.start(0)

    assert (ExitCode.FAILED, Outcome.FAILED, FailureReason.CRASHED, 1) == summarize(pod)
    report = pod.report()
    words = "rank 1 ended with code 1: RuntimeError: the toy broke (3 times at step 5, without a new durable step)"
    assert (words, 3, 2) == (report.message, report.generation, report.process_restarts)
    assert report.last_lines.endswith("RuntimeError: the toy broke")
    assert "RuntimeError: the toy broke" in (cluster.output.logs / "rank-1.log").read_text()


def test_a_run_whose_rank_0_ends_without_a_word_has_not_succeeded(make: Make) -> None:
    """Exit code 0 alone is no success."""
    pod = make({"fail": {"rank": 0, "step": 0, "how": "silent"}}).start(0)

    assert (ExitCode.FAILED, Outcome.FAILED, FailureReason.CRASHED, 0) == summarize(pod)


def test_another_process_count_on_a_peer_is_refused(make: Make) -> None:
    """The world that was planned is the world that trains."""
    pod = make({}, nproc=2).start(0, nproc=3)

    assert (ExitCode.CONFIG_ERROR, Outcome.FAILED, FailureReason.WORLD_SIZE_MISMATCH, None) == summarize(pod)
    words = "--nnodes=1 x --nproc-per-node=3 is not the planned world of 1 nodes x 2 processes"
    assert words == pod.report().message


def test_peers_of_two_plans_do_not_train_together(make: Make) -> None:
    """A peer with another configuration ends both, with the reason."""
    cluster = make({}, nodes=2)
    first = cluster.start(0)
    cluster.run = cluster.run.model_copy(
        update={"training": cluster.run.training.model_copy(update={"learning_rate": 1.0})}
    )
    second = cluster.start(1)

    expected = (ExitCode.CONFIG_ERROR, Outcome.FAILED, FailureReason.WORLD_SIZE_MISMATCH, None)
    assert [expected, expected] == [summarize(first), summarize(second)]


def test_a_flag_without_effect_is_refused(make: Make) -> None:
    """torchrun's restarts are not ours: silence would be a lie."""
    pod = make({}).start(0, "--max-restarts=3")

    assert (ExitCode.CONFIG_ERROR, Outcome.FAILED, FailureReason.CONFIG_ERROR, None) == summarize(pod)
    assert pod.report().message.startswith("--max-restarts has no effect here; allowed: --nnodes, ")


def test_a_killed_fork_server_is_replaced(make: Make) -> None:
    """Its workers die with it; the run goes on with a new one."""
    pod = make({"steps": 300, "every": 5}).start(0)
    worker = find_worker(pod, 0, 1)
    pod.wait_for("generation 1 step 10$")
    zygote = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(zygote, signal.SIGKILL)

    assert (ExitCode.OK, Outcome.COMPLETED, None, None) == summarize(pod)
    assert 2 == pod.report().generation


def test_a_killed_workers_own_helpers_die_with_it(make: Make) -> None:
    """A data loader's processes must not hold memory that the next round needs."""
    cluster = make({"steps": 300, "every": 5, "helper": True})
    pod = cluster.start(0)
    worker, helper = find_worker(pod, 0, 1), int(pod.wait_for(r"helper (\d+)").group(1))
    pod.wait_for("generation 1 step 10$")

    os.kill(worker, signal.SIGKILL)

    pod.wait_for("round 2")
    assert wait_until(lambda: not is_alive(helper))


def test_a_torn_checkpoint_is_passed_over_for_the_one_before_it(make: Make) -> None:
    """The digest decides; the log says what was passed over."""
    cluster = make({"steps": 200, "every": 5})
    pod = cluster.start(0)
    pod.wait_for("generation 1 step 21$")
    pod.kill(signal.SIGTERM)
    assert ExitCode.PREEMPTED == pod.end()
    *_, before, newest = sorted(cluster.output.checkpoints.glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")

    again = cluster.start(0)

    assert ExitCode.OK == again.end()
    assert f"checkpoint {newest.name} is missing or does not match its digest" in again.text
    assert int(before.stem.rpartition("s")[2]) == again.report().resumed_step


def test_a_worker_that_does_not_stop_in_time_is_killed(make: Make) -> None:
    """The second signal means now."""
    cluster = make({"steps": 3, "seconds": 30})
    pod = cluster.start(0)
    worker = find_worker(pod, 0, 1)
    pod.kill(signal.SIGTERM)
    pod.wait_for("told to stop")

    pod.kill(signal.SIGTERM)

    assert (ExitCode.PREEMPTED, Outcome.PREEMPTED, None, None) == (summarize(pod))
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize(
    ("refuses", "words"), [(False, ", with a checkpoint"), (True, ", without a new checkpoint: the volume refused it")]
)
def test_a_launcher_that_is_told_to_stop_says_whether_the_state_is_durable(
    make: Make, refuses: bool, words: str
) -> None:
    """Its workers leave alike, with 75; every node hears of rank 0's volume from its own rank."""
    cluster = make({"steps": 400, "every": 1000, "refuses": refuses}, nodes=2)
    pods = [cluster.start(0), cluster.start(1)]
    for pod in pods:
        pod.wait_for("generation 1 step 3$")
    for pod in pods:
        pod.kill(signal.SIGTERM)

    expected = (ExitCode.PREEMPTED, Outcome.PREEMPTED, None, None)
    assert [expected, expected] == [summarize(pod) for pod in pods]
    assert {f"stopped on a signal{words}"} == {pod.report().message for pod in pods}
    assert refuses == (not list(cluster.output.checkpoints.glob("*.json")))


def test_the_report_of_a_complete_run_is_told_again(make: Make) -> None:
    """A pod that is made again after the end has nothing to do."""
    cluster = make({"steps": 1})
    cluster.output.root.mkdir(parents=True)
    report = RunReport(outcome=Outcome.EARLY_STOPPED, message="patience")
    cluster.output.result.write_text(report.model_dump_json())

    pod = cluster.start(0)

    assert (ExitCode.OK, Outcome.EARLY_STOPPED, None, None) == summarize(pod)
