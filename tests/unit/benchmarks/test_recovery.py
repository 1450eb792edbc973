"""When a run is ready to be hurt, and when it has recovered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import ours, stock, workload
from benchmarks.processes import Program, choose_tree, running
from benchmarks.result import WentWrong
from benchmarks.stock import Mark
from rfdetr_contract.report import CheckpointState, Outcome, Progress, RunReport
from rfdetr_contract.run import RunConfig


def make_report(generation: int, step: int, *, saved: int | None = None, resumed: int | None = None) -> RunReport:
    checkpoint = None if saved is None else CheckpointState(step=saved, epoch=0, time=0.0, size=1, file="a.ckpt")
    progress = Progress(epoch=0, epochs=9, step=step, steps_per_epoch=200, checkpoint=checkpoint)
    return RunReport(outcome=Outcome.RUNNING, generation=generation, resumed_step=resumed, progress=progress)


def make_marks(pid: int, rank: int, steps: Sequence[tuple[int, float | None]]) -> list[Mark]:
    return [Mark(time=float(step), pid=pid, rank=rank, step=step, saved=saved) for step, saved in steps]


def wait_until_gone(pids: Sequence[int]) -> bool:
    """Whether all are gone within two seconds; one that nobody reaps has no command line any more."""
    files = [Path(f"/proc/{pid}/cmdline") for pid in pids]
    for _ in range(200):
        if not any(file.exists() and file.read_bytes() for file in files):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (make_report(1, step=9), False),
        (make_report(1, step=11, saved=10), False),
        (make_report(1, step=12, saved=10), True),
        (make_report(2, step=13, saved=10, resumed=10), False),
        (make_report(2, step=22, saved=20, resumed=10), True),
        (RunReport(outcome=Outcome.RUNNING), False),
    ],
)
def test_a_round_is_ready_two_steps_beyond_a_checkpoint_of_its_own(report: RunReport, expected: bool) -> None:
    """The checkpoint that it resumed from is not its own."""
    assert expected == ours.is_ready(report)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (make_report(1, step=14), False),
        (make_report(2, step=13, resumed=10), False),
        (make_report(2, step=10, resumed=10), False),
        (make_report(2, step=11, resumed=10), True),
        (make_report(3, step=11, resumed=10), True),
    ],
)
def test_a_recovery_ends_with_a_step_of_a_newer_round(now: RunReport, expected: bool) -> None:
    """News of the old round, and the step that the new one starts from, do not count."""
    assert expected == ours.has_stepped(make_report(1, step=13), now)


def test_the_peer_is_ready_two_steps_beyond_a_checkpoint_of_every_rank() -> None:
    """The newest process of each rank is the one to be killed."""
    first = [(9, None), (10, None), (11, 1.0), (12, 1.0), (13, 1.0)]
    old, marks = make_marks(7, 0, first), make_marks(8, 1, first)

    assert {0: 7, 1: 8} == stock.choose_ready([*old, *marks], ranks=2)


def test_the_peer_is_not_ready_with_the_checkpoint_of_an_older_round() -> None:
    """A restarted process has to save before it is killed again."""
    marks = [mark for pid in (7, 8) for mark in make_marks(pid, pid - 7, [(11, 1.0), (12, 1.0), (13, 1.0)])]

    assert stock.choose_ready(marks, ranks=2) is None


def test_the_first_step_of_a_new_process_ends_the_peers_recovery() -> None:
    """The survivor's last steps are not a recovery."""
    marks = [*make_marks(7, 0, [(12, None), (13, None)]), *make_marks(9, 0, [(11, None), (12, None)])]

    assert marks[2] == stock.choose_first_step(marks, [7])


def test_a_half_written_mark_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """A line without its end is still being written."""
    (tmp_path / stock.MARKS).write_text('{"time": 1.0, "pid": 7, "rank": 0, "step": 3, "saved": null}\n{"time": 2')

    assert [Mark(time=1.0, pid=7, rank=0, step=3, saved=None)] == stock.read_marks(tmp_path)


def test_the_workload_is_told_as_the_operator_tells_it() -> None:
    """The run survives its journey as JSON, and its effective batch is that of the peer."""
    run = ours.build_run(2, 1, "digits")

    assert (run, 2 * workload.PER_DEVICE) == (RunConfig.model_validate_json(run.to_json()), run.batch.effective)


def test_a_tree_is_a_process_and_all_below_it() -> None:
    """Parents come before their children; strangers are left out."""
    assert (3, 4, 6, 5) == choose_tree(3, {3: 1, 4: 3, 5: 4, 6: 3, 7: 2})


def test_nothing_of_a_program_is_left_after_its_block(tmp_path: Path) -> None:
    """A grandchild is killed with the program."""
    spawn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with running([sys.executable, "-c", spawn], {}, tmp_path / "log") as program:
        tree = program.wait_for("a child", lambda: found if len(found := program.read_tree()) == 2 else None, seconds=5)

    assert wait_until_gone(tree)


def test_a_program_that_ends_too_early_is_named_with_its_last_words(tmp_path: Path) -> None:
    """The message has the exit code and what the program printed last."""
    program = Program([sys.executable, "-c", "import sys; print('no data'); sys.exit(3)"], {}, tmp_path / "peer.log")
    with pytest.raises(WentWrong) as caught:
        program.wait_for("a step", lambda: None, seconds=10)

    assert "peer.log: ended with code 3 before a step: no data" == str(caught.value)


def test_an_unknown_benchmark_is_refused_with_the_choices() -> None:
    """The command line names what there is, and `list` runs nothing."""
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, cwd=workload.REPOSITORY, capture_output=True, text=True, check=False)

    assert (2, True) == (done.returncode, "worker_crash" in done.stderr)
