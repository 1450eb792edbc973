"""When silence is a hang, and whose. No clock is read here: silences are told.

A rank that waits for another one is silent too, so the world hangs only when every rank has been silent for longer than
its own phase allows: while one of them saves or evaluates, the others may wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.launch.wire import RankBeat, RankView
from rfdetr_trainer.messages import Phase


@dataclass(frozen=True, slots=True)
class Limit:
    """Seconds of silence: ``factor`` times the longest that ended well, within floor and ceiling."""

    floor: float
    factor: float
    ceiling: float


LIMITS: Mapping[Phase, Limit] = {
    "init": Limit(300, 5, 1800),  # weights may come over a network, the ranks may have to wait for each other
    "first_step": Limit(300, 5, 1800),  # kernels are chosen, memory is allocated
    "train": Limit(60, 10, 1800),
    "eval": Limit(300, 5, 3600),
    "checkpoint": Limit(120, 5, 1800),  # a volume may be slow for a while
    "export": Limit(300, 5, 1800),
    "judge": Limit(300, 5, 3600),
    "end": Limit(60, 5, 300),
}
ONCE_A_ROUND: frozenset[Phase] = frozenset({"init", "first_step"})

# Calls in which a rank waits for the others, or for a device that does.
WAITING = frozenset(
    {
        "all_gather",
        "all_gather_into_tensor",
        "all_gather_object",
        "all_reduce",
        "all_to_all",
        "barrier",
        "broadcast",
        "broadcast_object_list",
        "gather",
        "monitored_barrier",
        "reduce",
        "reduce_scatter",
        "scatter",
        "synchronize",
        "wait_for_ranks",
        "_default_broadcast_coalesced",
        "_distributed_broadcast_coalesced",
        "_engine_run_backward",
        "_sync_module_states",
        "_verify_param_shape_across_processes",
    }
)
INNERMOST = 6  # calls that tell what a rank does now


@dataclass(frozen=True, slots=True)
class Hang:
    """The world stands still: how every rank stands, and the limit that its silence is beyond."""

    beats: tuple[RankBeat, ...]
    limits: Mapping[int, float]


def choose_limit(phase: Phase, longest: float | None, run: LimitsRun) -> float:
    """The silence that a phase allows; before any has ended, it is the ceiling."""
    limit = LIMITS[phase]
    floor = limit.floor if run.hang_floor_seconds is None else run.hang_floor_seconds
    ceiling = limit.ceiling if run.hang_ceiling_seconds is None else run.hang_ceiling_seconds
    return max(floor, ceiling if longest is None else min(limit.factor * longest, ceiling))


def find_hang(beats: Sequence[RankBeat], run: LimitsRun) -> Hang | None:
    """The hang that the world is in; None: at least one rank may still be silent."""
    limits = {beat.rank: choose_limit(beat.phase, beat.longest, run) for beat in beats}
    if not beats or any(beat.silent <= limits[beat.rank] for beat in beats):
        return None
    return Hang(tuple(beats), limits)


def has_moved(before: Sequence[RankBeat], now: Sequence[RankBeat]) -> bool:
    """Some rank has made progress between the two."""
    old = {beat.rank: beat for beat in before}
    return any(
        beat.rank not in old
        or (beat.phase, beat.step) != (old[beat.rank].phase, old[beat.rank].step)
        or beat.silent < old[beat.rank].silent
        for beat in now
    )


def is_waiting(view: RankView) -> bool:
    """Its calls show that it waits for the others."""
    return any(call.partition(" ")[0] in WAITING for call in view.calls[:INNERMOST])


def choose_culprit(hang: Hang, views: Sequence[RankView]) -> RankBeat:
    """The rank that the others wait for.

    What a look at the ranks showed comes first: who is stopped, who shows no calls while others do, who does not wait.
    Steps come after it, since they are told late.
    """
    seen = {view.rank: view for view in views}
    silent = {beat.rank for beat in hang.beats if beat.rank not in seen or not seen[beat.rank].calls}

    def order(beat: RankBeat) -> tuple[bool, bool, bool, int, float, int]:
        view = seen.get(beat.rank)
        return (
            not (view is not None and view.stopped),
            beat.rank not in silent,
            view is not None and is_waiting(view),
            beat.step,
            -beat.silent,
            beat.rank,
        )

    return min(hang.beats, key=order)


def describe(culprit: RankBeat, hang: Hang, views: Sequence[RankView]) -> str:
    """One sentence about the rank that hangs."""
    view = next((view for view in views if view.rank == culprit.rank), None)
    words = f"rank {culprit.rank} hangs: no progress for {culprit.silent:.0f} s in phase {culprit.phase} "
    words += f"after step {culprit.step} (limit {hang.limits[culprit.rank]:.0f} s)"
    if view is not None and view.stopped:
        return f"{words}; its process is stopped"
    return f"{words}; it is in {view.calls[0]}" if view is not None and view.calls else f"{words}; it shows no stack"
