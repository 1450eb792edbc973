"""The whole process tree of a node is killed and started again at once, until the next optimizer step of the world.

The bound is what a replacement cannot avoid, its own import, and a second. Beside it, stock torchrun on two agents: as it
comes, and with a store of its own for each round.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ours, stock, workload
from benchmarks.recovery import Recovery, Side, create_watch, describe_stages, recover
from benchmarks.result import Benchmark, Measured, Say, WentWrong

ALLOWANCE = 1.0  # seconds beyond the import
GOAL = 1.0
STOCK_SECONDS = 45.0
LONG_STOCK_SECONDS = 90.0


def lose_nodes(dataset: Path, folder: Path, lost: tuple[int, ...], say: Say) -> list[Recovery]:
    """A recovery for each node rank in ``lost``, one after the other in one run."""
    folder.mkdir()
    watch, env = create_watch(folder)
    nodes = ours.build_nodes(ours.build_run(2, 1, dataset.name), dataset, folder, env)
    found: list[Recovery] = []
    with ExitStack() as stack:
        programs = [stack.enter_context(node.start()) for node in nodes]
        for number, rank in enumerate(lost):
            side = ours.build_side(programs[1 - rank], nodes[0], watch)

            def replace(_: object, rank: int = rank, number: int = number) -> None:
                programs[rank].kill_tree()
                programs[rank] = stack.enter_context(nodes[rank].start(incarnation=number + 1))

            found.append(recover(side, replace))
            say(f"node rank {rank} lost, next step after {found[-1].done:.2f} s, rounds {found[-1].rounds}")
    return found


def lose_stock(dataset: Path, folder: Path, env: dict[str, str], seconds: float, say: Say) -> float | None:
    """Seconds until stock's next step after the loss of its second agent; None: there was none in time."""
    folder.mkdir()
    watch, marks = create_watch(folder)
    words = [str(stock.RFDETR), str(dataset), str(folder)]
    agent = stock.Stock("torchrun", folder, words, nodes=2, processes=1, env={**env, **marks})
    checkpoint = folder / "steps" / "last.ckpt"
    with ExitStack() as stack:
        first, second = stack.enter_context(agent.start(0)), stack.enter_context(agent.start(1))

        def replace(_: object) -> None:
            second.kill_tree()
            stack.enter_context(agent.start(1))

        try:
            found = recover(Side("torchrun", first, watch, lambda: stock.read_time(checkpoint)), replace, seconds)
        except WentWrong as error:
            say(f"torchrun: {error}"[:200])
            return None
    say(f"torchrun: node rank 1 lost, next step after {found.done:.2f} s")
    return found.done


def describe_stock(what: str, found: list[float | None], limit: float) -> str:
    seen = [f"no step within {limit:.0f} s" if each is None else f"{each:.1f} s" for each in found]
    return f"torchrun c10d {what}, node rank 1 lost: {', '.join(seen)}"


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    blocks, lost, tries = (1, (1, 0), 1) if short else (3, (1, 0, 1, 0), 3)
    limit = STOCK_SECONDS if short else LONG_STOCK_SECONDS
    found: list[Recovery] = []
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        data = folder / "digits"
        workload.create_dataset(data)
        imports = [workload.time_import(say)]
        for block in range(blocks):
            found += lose_nodes(data, folder / f"block-{block}", lost, say)
            imports.append(workload.time_import(say))
        best = [lose_stock(data, folder / f"best-{each}", stock.OWN_STORE, limit, say) for each in range(tries)]
        plain = [lose_stock(data, folder / f"plain-{each}", {}, limit, say) for each in range(tries)]
    seconds = tuple(one.done for one in found)
    faults = tuple(f"loss {number + 1} took {one.rounds} rounds" for number, one in enumerate(found) if one.rounds != 1)
    notes = (
        describe_stages("ours", found),
        describe_stock("with a store of its own for each round", best, limit),
        describe_stock("as it comes", plain, limit),
    )
    bound = tuple(each + ALLOWANCE for each in imports)
    against = f"bound: import + {ALLOWANCE:.0f} s"
    measured = [Measured(seconds, bound, "s", GOAL, against, faults, notes)]
    working = tuple(each for each in best if each is not None)
    if working:
        measured.append(Measured(seconds, working, "s", GOAL, "torchrun c10d, own store", label="beside stock"))
    return measured


BENCHMARK = Benchmark(
    "node_loss",
    "loss of a node that is replaced at once to the next step, against its own import + 1 s",
    measure,
    short_limit=420,
)
