"""Process 1 of a pod: ``python -m rfdetr_trainer.launch`` with the torchrun flags of the RF-DETR guide."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

from rfdetr_trainer.launch.spawn import build_words, spawn

SAVED_NOTHING = 75  # the contract's ExitCode.PREEMPTED, before the contract is imported


def leave_early(_number: int, _frame: FrameType | None) -> NoReturn:
    """Nothing has begun, so there is nothing to save."""
    os._exit(SAVED_NOTHING)


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """The exit code of the launcher; its report is left in the termination log."""
    # The kernel drops signals that process 1 has no handler for, and the imports below take a moment.
    signal.signal(signal.SIGTERM, leave_early)
    if {"-h", "--help"} & set(argv):
        from rfdetr_trainer.launch.flags import HELP

        print(HELP)
        return 0
    words = build_words(environ, argv)
    first = spawn(words)
    try:
        from rfdetr_trainer.launch.run import run

        return run(environ, first, words)
    finally:
        first.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
