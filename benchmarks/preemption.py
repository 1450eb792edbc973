"""SIGTERM at a random moment to a worker, to a launcher or to both launchers: which steps are lost, and how long the state
takes to be durable. The bound of the time is twice one plain durable save of the same state.

Beside it, Lightning's own way: two torchrun agents, ModelCheckpoint with ``save_on_exception``, and one agent signalled.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import ours, stock, workload
from benchmarks.pods import Pods, find_step, open_pods
from benchmarks.recovery import Side, create_watch, find_worker, wait_ready
from benchmarks.result import Benchmark, Measured, Say, WentWrong

SEED = 9
IMAGES = 160  # an epoch of 20 steps: validations and the saves at an epoch's end are struck too
LONGEST_WAIT = 7.0  # seconds, an epoch's length
EARLY = 4  # one signal in so many may find pods that still import; the others wait for a step first
LEAVE_SECONDS = 60.0
STOCK_SECONDS = 20.0
VICTIMS = ("worker 0", "worker 1", "launcher 0", "launcher 1", "both launchers")
PLAIN_SAVES = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What a signal cost; ``seconds`` until the state was durable, None when nothing new had to be saved; ``step`` of them
    until the running step was done.
    """

    victim: str
    during: str
    lost: int
    seconds: float | None
    step: float = 0.0


def choose_pids(pods: Pods, victim: str) -> dict[int, int]:
    """Rank to process; a worker that is not there yet is stood in for by its launcher."""
    launchers = {rank: program.pid for rank, program in pods.programs.items()}
    if victim == "both launchers":
        return launchers
    rank = int(victim[-1])
    worker = find_worker(pods.watch, pods.programs[rank], rank) if victim.startswith("worker") else None
    return {rank: worker or launchers[rank]}


def strike(pods: Pods, victim: str) -> Trial:
    """Signal, wait until the pods or the round are gone, replace, compare what was done with what is durable."""
    pids = choose_pids(pods, victim)
    launchers = {program.pid for program in pods.programs.values()}
    marks = pods.watch.read()
    during, generation = (marks[-1].what, marks[-1].generation) if marks else ("import", 0)
    struck = time.time()
    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    for rank in (rank for rank, pid in pids.items() if pid in launchers):
        pods.wait_left(rank, LEAVE_SECONDS)
    saved = pods.read_saved()
    if not launchers & set(pids.values()):

        def read() -> bool | None:
            return True if any(mark.generation > generation for mark in pods.watch.read()) else None

        pods.wait("the next round", read, LEAVE_SECONDS)
        saved = pods.read_saved()
    marks = pods.watch.read()
    lost = find_step(marks) - (saved.step if saved else 0)
    done = [mark.time - struck for mark in marks if mark.what == "done" and saved and struck < mark.time < saved.time]
    for rank in (rank for rank, pid in pids.items() if pid in launchers):
        pods.start(rank)
    seconds = saved.time - struck if saved and saved.time > struck else None
    return Trial(victim, during, lost, seconds, max(done, default=0.0))


def wait_training(pods: Pods, since: float) -> None:
    """Until a step is done."""

    def read() -> bool | None:
        return True if any(mark.what == "done" and mark.time > since for mark in pods.watch.read()) else None

    pods.wait("a step", read, 120)


def try_ours(dataset: Path, folder: Path, trials: int, say: Say) -> list[Trial]:
    """One run, signalled again and again."""
    rng, found = random.Random(SEED), list[Trial]()
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(trials)]
    rng.shuffle(victims)
    with open_pods(ours.build_run(2, 1, dataset.name), dataset, folder) as pods:
        pods.wait("the first step", lambda: find_step(pods.watch.read()) or None, 120)
        for number, victim in enumerate(victims):
            if number % EARLY:
                wait_training(pods, time.time())
            time.sleep(rng.uniform(0, LONGEST_WAIT))
            found.append(strike(pods, victim))
            took = "nothing new to save" if found[-1].seconds is None else f"durable after {found[-1].seconds:.2f} s"
            say(f"ours: {victim} signalled after '{found[-1].during}': {found[-1].lost} steps lost, {took}")
    return found


def try_stock(dataset: Path, folder: Path, say: Say) -> tuple[int, bool, bool]:
    """Steps lost, whether anything was saved after the signal, and whether the training still stood after the time."""
    folder.mkdir()
    watch, marks = create_watch(folder)
    words = [str(stock.RFDETR), str(dataset), str(folder), "save-on-exception"]
    agent = stock.Stock("torchrun", folder, words, nodes=2, processes=1, env={**stock.OWN_STORE, **marks})
    saves = folder / "steps"
    with ExitStack() as stack:
        first, second = stack.enter_context(agent.start(0)), stack.enter_context(agent.start(1))
        wait_ready(Side("torchrun", first, watch, lambda: stock.read_time(saves / "last.ckpt")))
        struck = time.time()
        os.kill(second.pid, signal.SIGTERM)
        while time.time() < struck + STOCK_SECONDS and first.exit_code is None:
            time.sleep(0.1)
        stands = first.exit_code is None
    newest = max(file.stat().st_mtime for file in saves.glob("*.ckpt"))
    marked = [mark for mark in watch.read() if mark.what == "done"]
    kept = find_step([mark for mark in marked if mark.time <= newest])
    lost = find_step(marked) - kept
    say(f"torchrun and Lightning: one agent signalled, {lost} steps lost, saved {newest > struck}, stands {stands}")
    return lost, newest > struck, stands


def measure_plain(pods_folder: Path, folder: Path) -> tuple[float, ...]:
    """Seconds of plain durable saves of the state that ours saved, with nothing else running."""
    checkpoint = max(pods_folder.rglob("g*.ckpt"), key=lambda file: file.stat().st_mtime)
    script = workload.REPOSITORY / "benchmarks" / "peers" / "plain_save.py"
    command = [sys.executable, str(script), str(checkpoint), str(folder), str(PLAIN_SAVES)]
    done = subprocess.run(command, env=workload.build_env(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise WentWrong(f"the plain save: {done.stderr.strip().splitlines()[-1:]}")
    return tuple(float(line) for line in done.stdout.split())


def measure(short: bool, say: Say) -> list[Measured]:
    workload.check_machine()
    workload.write_bytecode()
    trials, peers = (10, 2) if short else (100, 4)
    with tempfile.TemporaryDirectory(prefix="rfdetr-benchmark-") as name:
        folder = Path(name)
        data = folder / "digits"
        workload.create_dataset(data, IMAGES)
        found = try_ours(data, folder / "ours", trials, say)
        plain = measure_plain(folder / "ours", folder)
        say(f"one plain durable save: {', '.join(f'{each:.2f}' for each in plain)} s")
        theirs = [try_stock(data, folder / f"stock-{number}", say) for number in range(peers)]
    lost = tuple(float(trial.lost) for trial in found)
    seconds = tuple(trial.seconds for trial in found if trial.seconds is not None)
    faults = tuple(f"{trial.victim}: {trial.lost} steps lost" for trial in found if trial.lost)
    saved, stood = sum(each[1] for each in theirs), sum(each[2] for each in theirs)
    beside = (
        f"Lightning with save_on_exception under torchrun, one of two agents signalled: saved in {saved} of {peers}, "
        f"still standing after {STOCK_SECONDS:.0f} s in {stood} of {peers}"
    )
    steps = [trial.step for trial in found if trial.seconds is not None]
    split = (
        f"of the median of {median(seconds):.2f} s until durable, {median(steps):.2f} s are the running step"
        if seconds
        else "no signal found anything to save"
    )
    return [
        Measured(lost, (0.0,), "steps lost", 1.0, "bound: none", faults, (beside, split)),
        Measured(
            seconds or (0.0,),
            tuple(2 * each for each in plain),
            "s",
            1.0,
            "bound: 2 x a plain save",
            label="signal to durable",
        ),
        Measured(lost, tuple(float(each[0]) for each in theirs), "steps lost", 1.0, "Lightning", label="beside stock"),
    ]


BENCHMARK = Benchmark(
    "preemption",
    "SIGTERM to a random process at a random moment: steps lost, and seconds until durable",
    measure,
    short_limit=420,
)
