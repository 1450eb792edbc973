"""When silence is a hang, and whose: told silences in, a verdict out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfdetr_contract.report import FailureReason, Straggler
from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.launch.overseer import build_death
from rfdetr_trainer.launch.ranks import Ranks
from rfdetr_trainer.launch.stacks import parse_calls
from rfdetr_trainer.launch.stragglers import PATIENCE_SECONDS, Slowness, advance, find_straggler
from rfdetr_trainer.launch.watchdog import LIMITS, Hang, choose_culprit, choose_limit, find_hang, has_moved
from rfdetr_trainer.launch.wire import RankBeat, RankView, Views
from rfdetr_trainer.messages import Phase, Pulse, WorkerMessage

LIMITED = LimitsRun()


def make_beat(rank: int = 0, phase: Phase = "train", silent: float = 0.0, **more: float) -> RankBeat:
    """How a rank stands; its phase has had a silence of one second."""
    return RankBeat.model_validate({"rank": rank, "phase": phase, "step": 7, "silent": silent, "longest": 1.0, **more})


def make_view(rank: int, *calls: str, stopped: bool = False) -> RankView:
    """What a look at a rank showed."""
    return RankView(rank=rank, stopped=stopped, calls=calls)


@dataclass
class Simulation:
    """Ranks in lockstep with a clock of their own: what they do takes as long as they are told."""

    ranks: Ranks = field(default_factory=Ranks)
    now: float = 0.0
    step: int = 0
    tick: float = 1.0  # seconds between two looks
    alarms: list[str] = field(default_factory=list)

    def begin(self, world: int) -> None:
        """A round begins."""
        self.ranks.begin(1, range(world), 0, self.now)

    def spend(self, seconds: float, phase: Phase, alone: int | None = None) -> None:
        """All ranks enter a phase, or one of them alone, and one tick after another passes in it without a word."""
        for beat in self.ranks.build_beats(self.now):
            if alone in {None, beat.rank}:
                self.ranks.hear(WorkerMessage(rank=beat.rank, generation=1, phase=phase, step=self.step), self.now)
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + self.tick, end)
            if find_hang(self.ranks.build_beats(self.now), LIMITED) is not None:
                self.alarms.append(f"{phase} after {seconds:.0f} s")


@pytest.mark.parametrize(
    ("longest", "limit"), [(None, 1800.0), (0.3, 60.0), (6.0, 60.0), (20.0, 200.0), (1000.0, 1800.0)]
)
def test_a_limit_follows_what_was_seen_within_floor_and_ceiling(longest: float | None, limit: float) -> None:
    """Ten times the longest silence of training so far; before any was seen, the ceiling."""
    assert limit == choose_limit("train", longest, LIMITED)


def test_floor_and_ceiling_can_be_set_by_the_run() -> None:
    """A floor above the ceiling wins."""
    run = LimitsRun(hang_floor_seconds=5, hang_ceiling_seconds=20)

    assert [5, 20, 20] == [choose_limit("eval", longest, run) for longest in (0.1, 100.0, None)]
    assert 90 == choose_limit("eval", 1.0, LimitsRun(hang_floor_seconds=90, hang_ceiling_seconds=20))


def test_every_limit_is_in_order() -> None:
    """A floor is below its ceiling, and no factor shortens."""
    assert [] == [phase for phase, limit in LIMITS.items() if not (limit.floor < limit.ceiling and limit.factor > 1)]


def test_the_world_hangs_only_when_every_rank_is_beyond_its_limit() -> None:
    """A rank that waits for one that saves is silent for a good reason."""
    waiting, saving = make_beat(0, silent=100), make_beat(1, "checkpoint", silent=100)

    assert None is find_hang([waiting, saving], LIMITED)
    assert Hang((waiting, make_beat(1, silent=61)), {0: 60, 1: 60}) == find_hang(
        [waiting, make_beat(1, silent=61)], LIMITED
    )


def test_no_rank_is_no_hang() -> None:
    """Between rounds nobody lives."""
    assert None is find_hang([], LIMITED)


EPOCHS, STEPS = 3, 4
START = st.floats(1, 0.99 * LIMITS["init"].ceiling)


def draw_silences(phase: Phase, count: int) -> st.SearchStrategy[list[float]]:
    """Silences of a phase, floor or no floor: each is below the factor times the longest before it, and the ceiling."""
    limit = LIMITS[phase]

    def stretch(first: float, growths: list[float]) -> list[float]:
        silences = [first]
        for growth in growths:
            silences.append(min(growth * max(silences), 0.99 * limit.ceiling))
        return silences

    first = st.floats(limit.floor / limit.factor, 0.99 * limit.ceiling)
    growths = st.lists(st.floats(0.05, 0.99 * limit.factor), min_size=count - 1, max_size=count - 1)
    return st.builds(stretch, first, growths)


@settings(max_examples=100, deadline=None)
@given(
    steps=draw_silences("train", EPOCHS * STEPS),
    evals=draw_silences("eval", EPOCHS),
    saves=draw_silences("checkpoint", EPOCHS),
    start=START,
    first=START,
    alone=st.sampled_from([None, 0]),
)
def test_slow_steps_evaluations_and_saves_raise_no_alarm(
    steps: list[float], evals: list[float], saves: list[float], start: float, first: float, alone: int | None
) -> None:
    """A hundred runs that get ever slower, far beyond the floors: none is called a hang, also where the others wait."""
    run = Simulation(tick=math.inf)  # the longest silence tells what the shorter ones would
    run.begin(world=2)
    run.spend(start, "init")
    run.spend(first, "first_step")
    for epoch in range(EPOCHS):
        for seconds in steps[epoch * STEPS : (epoch + 1) * STEPS]:
            run.step += 1
            run.spend(seconds, "train")
        run.spend(evals[epoch], "eval", alone)
        run.spend(saves[epoch], "checkpoint", alone)

    assert [] == run.alarms


def test_a_rank_that_stops_stepping_is_seen_soon_after_its_limit() -> None:
    """Steps of two seconds, then silence: the first alarm comes at the floor."""
    run = Simulation()
    run.begin(world=2)
    for _ in range(20):
        run.step += 1
        run.spend(2.0, "train")
    run.step += 1
    run.spend(70, "train")

    assert 10 == len(run.alarms)


def test_a_restart_forgets_the_silences_of_the_round_before_it() -> None:
    """Only what happens once a round is compared with earlier rounds."""
    ranks = Ranks()
    ranks.begin(1, [0], 0, 0.0)
    ranks.hear(WorkerMessage(rank=0, generation=1, phase="train"), 40.0)
    ranks.hear(WorkerMessage(rank=0, generation=1, step=1), 50.0)
    assert 10.0 == ranks.build_beats(50.0)[0].longest

    ranks.begin(2, [0], 1, 60.0)

    assert 40.0 == ranks.build_beats(61.0)[0].longest
    ranks.hear(WorkerMessage(rank=0, generation=2, phase="train"), 62.0)
    assert RankBeat(rank=0, phase="train", step=1, silent=3.0) == ranks.build_beats(65.0)[0]


def test_a_message_that_brings_nothing_new_is_no_progress() -> None:
    """A rank that says the same again may hang in a loop."""
    ranks = Ranks()
    ranks.begin(1, [0], 0, 0.0)
    for now in (1.0, 2.0, 3.0):
        ranks.hear(WorkerMessage(rank=0, generation=1, phase="train", step=4, pulse=Pulse(steps=4)), now)

    assert 4.0 == ranks.build_beats(5.0)[0].silent


def test_a_dead_rank_and_an_older_round_say_nothing() -> None:
    """They are not waited for."""
    ranks = Ranks()
    ranks.begin(2, [0, 1], 0, 0.0)
    ranks.end(1)
    ranks.hear(WorkerMessage(rank=0, generation=1, step=9), 1.0)

    assert (RankBeat(rank=0, phase="init", step=0, silent=5.0),) == ranks.build_beats(5.0)


HANG = Hang((make_beat(0, silent=65), make_beat(1, silent=64)), {0: 60, 1: 60})
IN_BACKWARD = ("run_backward (graph.py:1)", "_engine_run_backward (graph.py:824)", "backward (tensor.py:1)")


@pytest.mark.parametrize(
    "views",
    [
        [make_view(0, *IN_BACKWARD), make_view(1, stopped=True)],
        [make_view(0, *IN_BACKWARD), make_view(1)],
        [make_view(0, *IN_BACKWARD)],
        [make_view(0, *IN_BACKWARD), make_view(1, "read (file.py:3)")],
        [make_view(0, "all_reduce (distributed_c10d.py:9)"), make_view(1, "sleep (x.py:1)")],
    ],
)
def test_the_culprit_is_the_rank_that_the_others_wait_for(views: list[RankView]) -> None:
    """Stopped, without a stack, or not in a collective, although it was silent for a shorter time."""
    assert 1 == choose_culprit(HANG, views).rank


def test_without_a_look_the_rank_that_is_behind_is_the_culprit() -> None:
    """Fewer steps first, then the longer silence."""
    behind = Hang((make_beat(0, silent=65), make_beat(1, silent=64, step=6)), HANG.limits)

    assert [1, 0] == [choose_culprit(hang, []).rank for hang in (behind, HANG)]


def test_a_hang_is_told_as_a_death_with_the_calls_of_its_culprit() -> None:
    """One sentence, and the innermost calls as the last lines."""
    views = Views(generation=3, views=(make_view(0, *IN_BACKWARD), make_view(1, "read (a.py:3)", "main (b.py:4)")))
    death = build_death(HANG, (views,), 3)

    words = "rank 1 hangs: no progress for 64 s in phase train after step 7 (limit 60 s); it is in read (a.py:3)"
    assert (3, 1, FailureReason.HANG, words, "read (a.py:3)\nmain (b.py:4)") == (
        death.generation,
        death.rank,
        death.reason,
        death.message,
        death.last_lines,
    )


def test_a_stopped_process_is_called_so() -> None:
    """Nobody can ask it for its stack."""
    views = Views(generation=3, views=(make_view(0, *IN_BACKWARD), make_view(1, stopped=True)))

    assert build_death(HANG, (views,), 3).message.endswith("(limit 60 s); its process is stopped")


def test_a_rank_that_moved_while_it_was_looked_at_is_no_hang() -> None:
    """A step, a phase, or a silence that ended."""
    still = [make_beat(0, silent=70)]
    moved = [[make_beat(0, silent=71, step=8)], [make_beat(0, "eval", silent=71)], [make_beat(0, silent=1)]]

    assert not has_moved(still, [make_beat(0, silent=71)])
    assert [True, True, True] == [has_moved(still, now) for now in moved]


def test_the_main_threads_calls_are_read_from_a_dump() -> None:
    """Faulthandler tells of the oldest thread last; what stands between the lines is not its."""
    dump = """Thread 0x00007f4f9e9396c0 (most recent call first):
  File "/l/threading.py", line 982 in run
[epoch 3] a line of the training

Current thread 0x00007f4f9f476b80 (most recent call first):
  File "/p/loader.py", line 5 in _next_data
  File "/p/fit.py", line 6 in <module>"""

    assert ("_next_data (loader.py:5)", "<module> (fit.py:6)") == parse_calls(dump.splitlines())


@pytest.mark.parametrize(
    ("own", "straggler"),
    [
        ({0: 0.1, 1: 0.3}, Straggler(rank=1, ratio=3.0)),
        ({0: 0.3, 1: 0.2, 2: 0.2}, Straggler(rank=0, ratio=1.5)),
        ({0: 0.3}, None),
    ],
)
def test_the_slowest_rank_is_measured_against_the_median(own: dict[int, float], straggler: Straggler | None) -> None:
    """By its own work alone: a collective makes all ranks look alike."""
    beats = [make_beat(rank, own_seconds=seconds) for rank, seconds in own.items()]

    assert straggler == find_straggler(beats)


def test_a_rank_that_stays_slow_is_told_of_once() -> None:
    """A slow moment is no news, and a line a second would be none either."""
    slow, said = Slowness(), []
    for second in range(0, 100, 10):
        slow, words = advance(slow, Straggler(rank=1, ratio=2.0), 1.5, float(second))
        said.append(words)

    line = "rank 1 is slow: its own work of a step takes 2.0 times the median rank's"
    assert [(int(PATIENCE_SECONDS) // 10, line)] == [(index, words) for index, words in enumerate(said) if words]
    assert (Slowness(), None) == advance(slow, Straggler(rank=1, ratio=1.1), 1.5, 100.0)
