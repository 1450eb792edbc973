"""A worker that meets its peers at torch's own store, as Lightning does, and steps with them over gloo.

``TOY``: steps, seconds (of a step), and ``late``: the rank that stops itself in the first round, before it looks for the
store. What became of it stands in the file ``late`` of the data root: its launcher may be gone when it wakes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from rfdetr_contract import names
from rfdetr_contract.report import ExitCode, FailureReason, Outcome
from rfdetr_trainer.messages import Line
from rfdetr_trainer.outcome import classify_error
from rfdetr_trainer.rendezvous import wait_for_store

STORE_SECONDS = 3


def main() -> int:
    """Meet, step, and say how it went."""
    toy = json.loads(os.environ["TOY"])
    rank, generation = int(os.environ["RANK"]), int(os.environ[names.ENV_GENERATION])
    line = Line(os.environ[names.ENV_LAUNCHER_SOCKET], rank, generation)
    print(f"generation {generation} pid {os.getpid()} meets at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}")
    late = toy.get("late") == rank and generation == 1
    if late:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        step(line, toy, generation)
    except RuntimeError as error:
        end = classify_error(error)
        if late:
            (Path(os.environ[names.ENV_DATA_ROOT]) / "late").write_text(f"{end.reason} {end.message}")
        line.send(outcome=end.outcome, reason=end.reason, message=end.message)
        return ExitCode.FAILED
    line.send(outcome=Outcome.COMPLETED)
    return ExitCode.OK


def step(line: Line, toy: dict[str, float], generation: int) -> None:
    """All ranks of a generation add it up; a sum that is another one has met somebody else.

    Raises:
        RuntimeError: torch's own, or that sum.

    """
    wait_for_store(os.environ, STORE_SECONDS)
    dist.init_process_group("gloo", timeout=timedelta(seconds=STORE_SECONDS))
    for number in range(1, int(toy["steps"]) + 1):
        total = torch.tensor([generation])
        dist.all_reduce(total)
        if int(total) != generation * dist.get_world_size():
            raise RuntimeError(f"{FailureReason.USER_CODE}: another generation's rank is in the sum {int(total)}")
        line.send(phase="train", step=number)
        print(f"generation {generation} step {number}")
        time.sleep(toy["seconds"])
    dist.destroy_process_group()
