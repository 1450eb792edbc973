"""The share of the time that a training under a fault a minute loses, ours and stock's under the same faults.

A worker is killed, a node's whole process tree is killed, or a node is told to stop (and killed after its grace period);
a node that is gone is replaced at once. Useful are steps that are done for the first time, and validations.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import ours, stock, workload
from benchmarks.pods import Pods, open_pods
from benchmarks.processes import Program, kill
from benchmarks.recovery import Watch, create_watch, find_worker
from benchmarks.result import Benchmark, Measured, Say, WentWrong
from benchmarks.trace import Account, Fault, build_account, build_trace, simulate
from rfdetr_contract.report import RunReport
from rfdetr_trainer.launch.goodput import read_age

SEED = 24  # each kind once in the first three minutes, at the mean rate
# A save takes a good second of one of two processors that both train: more often costs more than it keeps.
STEPS_BETWEEN = 20
MEAN = 60.0  # seconds between two faults
BOUND = 5.0  # percent of the time
GRACE = 30.0  # seconds between SIGTERM and SIGKILL, Kubernetes' default
SLACK = 0.01  # of a pod's life that its own account may miss
END_SECONDS = 60.0
HOUR, MONTH = 3600.0, 30 * 24 * 3600.0


class World(Protocol):
    """Two nodes that can be hurt and replaced."""

    watch: Watch
    programs: dict[int, Program]

    def start(self, rank: int) -> None: ...


@dataclass(slots=True)
class Agents:
    """Two torchrun agents."""

    agent: stock.Stock
    watch: Watch
    stack: ExitStack
    programs: dict[int, Program]

    def start(self, rank: int) -> None:
        self.programs[rank] = self.stack.enter_context(self.agent.start(rank))


def strike(world: World, fault: Fault) -> None:
    """Without a living worker its whole node is hurt."""
    program = world.programs[fault.rank]
    worker = find_worker(world.watch, program, fault.rank)
    if program.exit_code is not None:
        return
    if fault.kind == "preempt node":
        os.kill(program.pid, signal.SIGTERM)
    elif fault.kind == "kill worker" and worker is not None:
        kill([worker])
    else:
        program.kill_tree()


def keep_up(world: World, told: dict[int, float]) -> None:
    """Replace nodes that are gone; end those whose grace period is over."""
    for rank, program in list(world.programs.items()):
        if program.exit_code is None and rank in told and time.time() > told[rank] + GRACE:
            program.kill_tree()
        if program.exit_code is not None:
            told.pop(rank, None)
            world.start(rank)


def endure(world: World, faults: Sequence[Fault], seconds: float, say: Say, name: str) -> Account:
    """The account of the window that begins with the first step."""
    deadline = time.time() + 120
    while not any(mark.what == "done" for mark in world.watch.read()):
        if time.time() > deadline:
            raise WentWrong(f"{name}: no step in 120 s")
        time.sleep(0.05)
    start, pending, told = time.time(), list(faults), dict[int, float]()
    while time.time() < start + seconds:
        if pending and time.time() >= start + pending[0].at:
            fault = pending.pop(0)
            say(f"{name}: {fault.kind} {fault.rank} after {fault.at:.0f} s")
            if fault.kind == "preempt node":
                told[fault.rank] = time.time()
            strike(world, fault)
        keep_up(world, told)
        time.sleep(0.1)
    account = build_account(world.watch.read(), start, start + seconds)
    say(f"{name}: {account.lost_share:.1f} % lost, {account.redone:.1f} s of steps done again")
    return account


def end_all(pods: Pods) -> dict[int, float]:
    """Seconds that each pod lived, once all were told to stop and have."""
    ages = {rank: read_age(Path(f"/proc/{program.pid}/stat")) for rank, program in pods.programs.items()}
    told, lives = time.monotonic(), dict[int, float]()
    for program in pods.programs.values():
        os.kill(program.pid, signal.SIGTERM)
    while len(lives) < len(ages):
        for rank in ages.keys() - lives.keys():
            if pods.programs[rank].exit_code is not None:
                lives[rank] = ages[rank] + time.monotonic() - told
        if time.monotonic() > told + END_SECONDS:
            raise WentWrong(f"a pod was told to stop and lives after {END_SECONDS:.0f} s")
        time.sleep(0.01)
    return lives


def check_ledger(pods: Pods) -> list[str]:
    """Each pod's own account of its time against its life: what does not add up."""
    faults: list[str] = []
    for rank, life in sorted(end_all(pods).items()):
        report = RunReport.model_validate_json((pods.nodes[rank].folder / "termination-log").read_bytes())
        told = sum(report.seconds.values())
        if abs(told - life) > SLACK * life:
            faults.append(f"pod {rank} lived for {life:.1f} s and accounts for {told:.1f} s")
    return faults


def try_ours(
    dataset: Path, folder: Path, faults: Sequence[Fault], seconds: float, say: Say
) -> tuple[Account, str, list[str]]:
    run = ours.build_run(2, 1, dataset.name)
    run = run.model_copy(update={"checkpoints": run.checkpoints.model_copy(update={"every_steps": STEPS_BETWEEN})})
    with open_pods(run, dataset, folder) as pods:
        account = endure(pods, faults, seconds, say, "ours")
        reports = [report for node in pods.nodes if (report := node.read_report()) is not None]
        wrong = check_ledger(pods)
    spent = max((report.seconds for report in reports), key=lambda seconds: sum(seconds.values()), default={})
    split = ", ".join(f"{name} {value:.0f}" for name, value in sorted(spent.items(), key=lambda item: -item[1]))
    return account, f"seconds of the pod that lived longest, by its own account: {split}", wrong


def try_stock(dataset: Path, folder: Path, faults: Sequence[Fault], seconds: float, say: Say) -> Account:
    """RF-DETR's own habit: a ``last.ckpt`` at each epoch's end."""
    folder.mkdir()
    watch, marks = create_watch(folder)
    words = [str(stock.RFDETR), str(dataset), str(folder), "per-epoch"]
    with ExitStack() as stack:
        agent = stock.Stock("torchrun", folder, words, nodes=2, processes=1, env={**stock.OWN_STORE, **marks})
        agents = Agents(agent, watch, stack, {})
        for rank in (0, 1):
            agents.start(rank)
        return endure(agents, faults, seconds, say, "torchrun")


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    seconds = 180.0 if short else 600.0
    faults = build_trace(SEED, MEAN, seconds)
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        data = folder / "digits"
        workload.create_dataset(data)
        mine, split, wrong = try_ours(data, folder / "ours", faults, seconds, say)
        theirs = try_stock(data, folder / "stock", faults, seconds, say)
        imports = workload.time_import(say)
    cost = (mine.window - mine.useful) / len(faults)
    hourly = simulate([cost], HOUR, MONTH, SEED)
    replaced = sum(fault.kind != "kill worker" for fault in faults)
    notes = (
        f"{replaced} of {len(faults)} faults took a pod; a fresh process imports for {imports:.1f} s",
        f"these imports alone are {100 * replaced * imports / seconds:.1f} % of the time",
        f"faults: {', '.join(f'{fault.kind} {fault.rank} at {fault.at:.0f} s' for fault in faults)}",
        f"a fault costs {cost:.1f} s, saves included: {BOUND:.0f} % are lost at one in {100 * cost / BOUND:.0f} s",
        f"simulated with that cost and a fault an hour for a month: {hourly:.2f} % are useful",
        split,
    )
    lost, unit = (mine.lost_share,), "% of the time lost"
    return [
        Measured(lost, (BOUND,), unit, 1.0, f"bound: {BOUND:.0f} %", tuple(wrong), notes),
        Measured(lost, (theirs.lost_share,), unit, 1.0, "torchrun, a save an epoch", label="beside stock"),
    ]


BENCHMARK = Benchmark(
    "goodput",
    "the time that a training loses under a fault a minute, against 5 % and against stock",
    measure,
    short_limit=540,
)
