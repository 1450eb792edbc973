"""When a run is ready to be hurt, and when it has recovered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import ours, recovery, workload
from benchmarks.processes import Program, choose_tree, running
from benchmarks.result import WentWrong
from rfdetr_contract.run import RunConfig
from trainer_marks import Mark, What, write_mark


def wait_until_gone(pids: Sequence[int]) -> bool:
    """Whether all are gone within two seconds; one that nobody reaps has no command line any more."""
    files = [Path(f"/proc/{pid}/cmdline") for pid in pids]
    for _ in range(200):
        if not any(file.exists() and file.read_bytes() for file in files):
            return True
        time.sleep(0.01)
    return False


def make_marks(pid: int, rank: int, times: Sequence[tuple[What, float]], *, generation: int = 1) -> list[Mark]:
    return [Mark(time, pid, rank, generation, what, step=round(time)) for what, time in times]


STEPPING: tuple[tuple[What, float], ...] = (("built", 1), ("done", 2), ("done", 4), ("done", 5))


def test_a_round_is_ready_two_steps_beyond_a_checkpoint_of_its_own() -> None:
    """Every rank's newest process has made them."""
    marks = [*make_marks(6, 1, [("built", 0)]), *make_marks(7, 0, STEPPING), *make_marks(8, 1, STEPPING)]

    assert {0: 7, 1: 8} == recovery.choose_ready(marks, 2, saved=3.0)


@pytest.mark.parametrize("saved", [None, 0.5, 4.5], ids=["no checkpoint", "of an older round", "one step beyond it"])
def test_a_round_is_not_ready_before(saved: float | None) -> None:
    """The checkpoint that it resumed from is not its own."""
    marks = [*make_marks(7, 0, STEPPING), *make_marks(8, 1, STEPPING)]

    assert recovery.choose_ready(marks, 2, saved) is None


def test_a_world_that_is_not_whole_is_not_ready() -> None:
    """One rank of two has said something."""
    assert recovery.choose_ready(make_marks(7, 0, STEPPING), 2, saved=3.0) is None


def test_a_recovery_is_the_first_step_of_a_process_that_is_new() -> None:
    """The survivor's last steps are not a recovery, and the way to the step is that of its own rank."""
    marks = [
        *make_marks(7, 0, [("begin", 9), ("done", 11)]),
        *make_marks(8, 1, [("built", 12), ("train", 13), ("begin", 14)], generation=2),
        *make_marks(9, 0, [("built", 12.5), ("train", 13), ("begin", 14.5), ("done", 15)], generation=2),
    ]

    found = recovery.build_recovery(marks, frozenset({7}), killed=10.0, before=1)

    stages = {"built": 2.5, "train": 3.0, "begin": 4.5, "done": 5.0}
    assert recovery.Recovery(begins=4.5, done=5.0, rounds=1, stages=stages) == found


def test_without_a_finished_step_there_is_no_recovery() -> None:
    """A step that has begun may never end."""
    marks = make_marks(8, 1, [("built", 12), ("begin", 14)], generation=2)

    assert recovery.build_recovery(marks, frozenset({7}), killed=10.0, before=1) is None


def test_a_half_written_mark_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """A line without its end is still being written."""
    first, second = make_marks(7, 0, [("begin", 1), ("done", 2)])
    write_mark(tmp_path / "marks.jsonl", first)
    whole = (tmp_path / "marks.jsonl").read_text()
    write_mark(tmp_path / "marks.jsonl", second)
    text = (tmp_path / "marks.jsonl").read_text()
    (tmp_path / "marks.jsonl").write_text(text[: len(whole) + 9])
    watch = recovery.Watch(tmp_path / "marks.jsonl")
    before = list(watch.read())

    (tmp_path / "marks.jsonl").write_text(text)

    assert ([first], [first, second]) == (before, watch.read())


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
