"""kill -9 of one of two workers until the next step begins and is done: our launcher against stock torchrun.

Both sides train RF-DETR, and then a bare DDP loop, which leaves nothing but the restart itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import ours, stock, workload
from benchmarks.peers import bare_loop
from benchmarks.processes import kill
from benchmarks.recovery import Recovery, Side, create_watch, describe_stages, recover
from benchmarks.result import Benchmark, Measured, Say, WentWrong
from rfdetr_trainer.launch.settings import ENV_PREFLIGHT_MODULE
from rfdetr_trainer.launch.spawn import ENV_PRELOAD, ENV_WORKER_MODULE

GOAL_DONE, GOAL_BEGINS, GOAL_BARE = 5.0, 8.0, 25.0
STATIC_SECONDS = 30.0  # in which the static flags have to show a step
BARE_WORKER = "benchmarks.peers.bare_loop"
Open = Callable[[Path], AbstractContextManager[Side]]


@dataclass(slots=True)
class Kills:
    """What was measured of one side so far."""

    recoveries: list[Recovery] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def begins(self) -> tuple[float, ...]:
        return tuple(one.begins for one in self.recoveries)

    @property
    def done(self) -> tuple[float, ...]:
        return tuple(one.done for one in self.recoveries)


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each side is killed: ``blocks`` of ``kills``; the other side takes its turn between blocks."""

    blocks: int
    kills: int
    peer_kills: int


@contextmanager
def open_ours(dataset: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Side]:
    """One launcher with two workers."""
    watch, marks = create_watch(folder)
    (node,) = ours.build_nodes(ours.build_run(1, 2, dataset.name), dataset, folder, {**marks, **env})
    with node.start() as program:
        yield ours.build_side(program, node, watch)


def open_stock(dataset: Path, folder: Path, *, static: bool = False) -> AbstractContextManager[Side]:
    """Torchrun with RF-DETR: at its best settings, or with the guide's flags."""
    words = [str(stock.RFDETR), str(dataset), str(folder)]
    name = "torchrun, the guide's flags" if static else "torchrun"
    env = {} if static else stock.OWN_STORE
    return stock.open_side(stock.Stock(name, folder, words, static=static, env=env), "steps/last.ckpt")


def open_bare_ours(dataset: Path, folder: Path) -> AbstractContextManager[Side]:
    env = {
        ENV_WORKER_MODULE: BARE_WORKER,
        ENV_PRELOAD: "torch,torch._dynamo,integration.launcher_toy",
        ENV_PREFLIGHT_MODULE: "",
        bare_loop.ENV_STATE: str(folder / "state.pt"),
    }
    return open_ours(dataset, folder, env)


def open_bare_stock(folder: Path) -> AbstractContextManager[Side]:
    env = {**stock.OWN_STORE, bare_loop.ENV_STATE: str(folder / "state.pt")}
    return stock.open_side(stock.Stock("torchrun", folder, [str(stock.BARE)], env=env), "state.pt")


def hurt(opened: AbstractContextManager[Side], kills: int, say: Say, seconds: float = 120) -> Kills:
    """Each kill takes the other rank than the one before; a recovery of ours that takes more than one round is a fault."""
    done = Kills()
    with opened as side:
        for number in range(kills):
            rank = 1 - number % 2
            one = recover(side, lambda workers, rank=rank: kill([workers[rank]]), seconds)  # type: ignore[misc]
            done.recoveries.append(one)
            say(f"{side.name}: rank {rank} killed, step begins after {one.begins:.2f} s, done after {one.done:.2f} s")
            if side.name == "ours" and one.rounds != 1:
                done.faults.append(f"kill {number + 1} of ours took {one.rounds} rounds, not one")
    return done


def alternate(plan: Plan, places: tuple[Path, Path], sides: tuple[Open, Open], say: Say) -> tuple[Kills, Kills]:
    """Ours and the peer in turn; the order turns too, so that a machine that grows busier favours neither."""
    totals = (Kills(), Kills())
    for block in range(plan.blocks):
        turns = list(zip(totals, places, sides, (plan.kills, plan.peer_kills), strict=True))
        for total, place, open_side, kills in turns if block % 2 == 0 else reversed(turns):
            folder = place / str(block)
            folder.mkdir(parents=True)
            found = hurt(open_side(folder), kills, say)
            total.recoveries += found.recoveries
            total.faults += found.faults
    return totals


def try_static(dataset: Path, folder: Path, kills: int, say: Say) -> str:
    """What the guide's flags do, in one sentence."""
    folder.mkdir()
    seen: list[str] = []
    for number in range(kills):
        try:
            found = hurt(open_stock(dataset, folder / str(number), static=True), 1, say, STATIC_SECONDS)
        except WentWrong as error:
            say(f"torchrun, the guide's flags: {error}"[:200])
            seen.append(f"no step within {STATIC_SECONDS:.0f} s")
        else:
            seen.append(f"step done after {found.done[0]:.2f} s")
    return f"torchrun with the guide's static flags, a kill in a run of its own each: {'; '.join(seen)}"


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    real, bare = (Plan(1, 4, 2), Plan(1, 5, 3)) if short else (Plan(4, 25, 3), Plan(2, 50, 5))
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        data = folder / "digits"
        workload.create_dataset(data)
        mine, theirs = alternate(
            real,
            (folder / "ours", folder / "stock"),
            (lambda at: open_ours(data, at, {}), lambda at: open_stock(data, at)),
            say,
        )
        bare_mine, bare_theirs = alternate(
            bare,
            (folder / "bare-ours", folder / "bare-stock"),
            (lambda at: open_bare_ours(data, at), open_bare_stock),
            say,
        )
        static = try_static(data, folder / "static", 1 if short else 3, say)
    against, faults = "torchrun c10d at its best", tuple(mine.faults)
    notes = (
        describe_stages("ours", mine.recoveries),
        describe_stages("torchrun c10d", theirs.recoveries),
        static,
    )
    return [
        Measured(mine.done, theirs.done, "s", GOAL_DONE, against, faults, notes),
        Measured(mine.begins, theirs.begins, "s", GOAL_BEGINS, against, label="step begins"),
        Measured(
            bare_mine.done, bare_theirs.done, "s", GOAL_BARE, against, tuple(bare_mine.faults), label="bare DDP loop"
        ),
    ]


BENCHMARK = Benchmark(
    "worker_crash",
    "kill -9 of one of two workers to the next step, against stock torchrun at its best",
    measure,
    short_limit=420,
)
