"""What outlives the workers: the newest of everything, and counts that never fall."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rfdetr_contract.report import FailureReason, Outcome, Progress, RunReport
from rfdetr_trainer.launch.board import Board
from rfdetr_trainer.launch.counters import Counters, add_pulses
from rfdetr_trainer.launch.wire import Died
from rfdetr_trainer.messages import Pulse, WorkerMessage

PROGRESS = Progress(epoch=0, epochs=1, step=5, steps_per_epoch=9)


def make_board() -> Board:
    """A board whose clock stands still."""
    return Board(node_rank=0, attempt=1, clock=lambda: 0.0)


def test_only_the_running_generation_is_listened_to() -> None:
    """A message that was sent in an older round says nothing of this one."""
    board = make_board()
    board.begin(2, 0, None)

    board.hear(WorkerMessage(rank=0, generation=1, progress=PROGRESS, pulse=Pulse(steps=9)))

    assert (None, 0) == (board.progress, board.look(0)[1].pulse.steps)


def test_a_restart_keeps_the_last_progress_and_counts() -> None:
    """The metrics have no hole between two rounds."""
    board = make_board()
    board.begin(1, 0, None)
    board.hear(WorkerMessage(rank=0, generation=1, progress=PROGRESS))
    board.begin(2, 3, 2)

    expected = RunReport(
        outcome=Outcome.RUNNING,
        generation=2,
        process_restarts=1,
        steps_redone=3,
        resumed_step=2,
        progress=PROGRESS,
        time=9.0,
    )
    assert (expected, 2) == (board.build_report(9.0), board.heard_step)


def test_restarts_are_counted_by_what_ended_the_round() -> None:
    """The first cause holds: what the survivors die of is no cause; without any it was a peer."""
    board = make_board()
    board.begin(1, 0, None)
    board.note_death(FailureReason.CUDA_OOM)
    board.note_death(FailureReason.PEER_LOST)
    board.begin(2, 0, None)
    board.hear(WorkerMessage(rank=0, generation=2, outcome=Outcome.PREEMPTED))
    board.note_end(0)
    board.begin(3, 0, None)
    board.begin(4, 0, None)

    assert {"CudaOOM": 1, "Preempted": 1, "PeerLost": 1} == board.look(0)[1].restarts


def test_a_storage_fault_is_gone_after_the_next_good_save() -> None:
    """The report says what is, the counter what was."""
    board, told = make_board(), []
    board.begin(1, 0, None)
    for fault in ("no space left", ""):
        board.hear(WorkerMessage(rank=0, generation=1, storage_fault=fault))
        told.append(board.build_report(0).storage_fault)

    assert ["no space left", ""] == told


def test_a_hang_is_told_while_the_run_goes_on_and_by_no_last_word() -> None:
    """Its round, its rank and its calls; a run that completes has not failed."""
    board = make_board()
    board.begin(2, 0, None)
    calls = "read (a.py:3)\nmain (b.py:4)"
    words = "rank 1 hangs: no progress for 64 s"
    board.hang = Died(generation=1, rank=1, reason=FailureReason.HANG, message=words, last_lines=calls)
    board.hear(WorkerMessage(rank=0, generation=2, outcome=Outcome.COMPLETED))

    said = board.build_report(9.0)
    hung = said.model_copy(update={"message": f"round 1: {words}", "culprit_rank": 1, "last_lines": calls})
    ended = said.model_copy(update={"outcome": Outcome.COMPLETED})
    assert (hung, ended) == (board.look(9.0)[0], board.build_last_word(0, 9.0))


def test_the_last_report_says_what_is_known_here() -> None:
    """The end was agreed elsewhere; the node rank, the fault and the seconds are this pod's own."""
    board = Board(node_rank=1, attempt=2, first_rank=1, clock=lambda: 5.0)
    board.storage_fault = "read-only"
    report = board.complete(RunReport(outcome=Outcome.COMPLETED, seconds={"train": 99}), 7)

    assert (1, 2, "read-only", {"init": 0.0}) == (
        report.node_rank,
        report.attempt,
        report.storage_fault,
        report.seconds,
    )


PULSES = st.builds(
    Pulse,
    steps=st.integers(0, 9),
    samples=st.integers(0, 9),
    step_buckets=st.lists(st.integers(0, 9), min_size=3, max_size=3).map(tuple),
    eval_seconds=st.integers(0, 9).map(float),
    checkpoint_failures=st.dictionaries(st.sampled_from(FailureReason), st.integers(1, 3), max_size=2),
)


@given(st.lists(st.lists(st.tuples(PULSES, st.booleans()), max_size=5), max_size=4))
def test_counts_never_fall_whatever_is_lost_and_whoever_dies(rounds: list[list[tuple[Pulse, bool]]]) -> None:
    """Each process counts from nought; messages get lost; the totals only grow, and only by what was heard."""
    counters, served, heard = Counters(), Pulse(), Pulse()
    for round_ in rounds:
        counters.begin()
        totals, last = Pulse(), Pulse()
        for more, arrives in round_:
            totals = add_pulses(totals, more)
            if arrives:
                counters.hear(0, totals)
                last = totals
            now = counters.read(0)
            assert now.steps >= served.steps
            assert all(a >= b for a, b in zip(now.step_buckets, served.step_buckets, strict=False))
            served = now
        heard = add_pulses(heard, last)

    now = counters.read(0)
    assert (heard.steps, heard.samples, heard.eval_seconds, sum(heard.step_buckets), heard.checkpoint_failures) == (
        now.steps,
        now.samples,
        now.eval_seconds,
        sum(now.step_buckets),
        now.checkpoint_failures,
    )


def test_memory_is_told_by_the_device_of_this_node() -> None:
    """Global ranks 2 and 3 are its devices 0 and 1."""
    counters = Counters()
    counters.hear(3, Pulse(gpu_allocated_bytes=5, gpu_peak_bytes=8))
    counters.hear(2, Pulse(gpu_allocated_bytes=6, gpu_peak_bytes=9))

    assert {"0": (6, 9), "1": (5, 8)} == counters.read_gpus(2)
