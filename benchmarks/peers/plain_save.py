"""One plain durable save of a checkpoint's state, as often as asked: `plain_save.py CHECKPOINT FOLDER TIMES` prints the
seconds of each. Serialise, fsync the file, rename it, fsync the folder; no digest, nothing in the background.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch


def save(state: object, target: Path) -> float:
    """Seconds until the file is durable."""
    started = time.monotonic()
    temporary = target.with_suffix(".new")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return time.monotonic() - started


def main(checkpoint: Path, folder: Path, times: int) -> None:
    torch.set_num_threads(1)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for _ in range(times):
        print(save(state, folder / "plain.ckpt"), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
