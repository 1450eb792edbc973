"""``python -m rfdetr_operator``: process 1 of the operator's container."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

ENDED_BY_SIGTERM = 128 + signal.SIGTERM  # as a shell reports it: no success, also of a self-test


def leave_early(_number: int, _frame: FrameType | None) -> NoReturn:
    """Nothing has begun, so there is nothing to end."""
    os._exit(ENDED_BY_SIGTERM)


def main() -> int:
    """The operator's exit code."""
    # The kernel drops signals that process 1 has no handler for, and the imports below take a second.
    signal.signal(signal.SIGTERM, leave_early)
    from rfdetr_operator.service import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
