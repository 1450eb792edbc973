"""One of two ranks that ask each other: ``python -m integration.agreeing_rank RANK PORT LATE PATIENCE [PATIENCE]``, in seconds.

``LATE`` is how much later rank 1 asks than rank 0; a patience is the agreement's, and the question's own where there are two.
Its last line says what was agreed and how many network threads the agreement has added, or that nobody answered in time.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from rfdetr_trainer.callbacks.agreement import Agreed, Agreement


def count_network_threads() -> int:
    """Of this process."""
    return sum(task.read_text() == "gloo_tcp_loop\n" for task in Path("/proc/self/task").glob("*/comm"))


def main(rank: int, port: int, late: float, *patience: timedelta) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo")
    before = count_network_threads()
    agreement = Agreement(patience[0])
    agreement.open(2)
    agreement.ask(Agreed(), timedelta(minutes=1))
    if rank:
        time.sleep(late)
    try:
        agreed = agreement.ask(Agreed(leave=rank == 0, save=rank == 1), *patience[1:])
    except RuntimeError as error:
        print("nobody answered" if "Timed out waiting" in str(error) else str(error), flush=True)
        return
    print(f"leave {agreed.leave}, save {agreed.save}; {count_network_threads() - before} threads", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(int(words[0]), int(words[1]), float(words[2]), *(timedelta(seconds=float(word)) for word in words[3:]))
    os._exit(0)  # as the worker does: a thread of a broken group may abort the interpreter on its way out
