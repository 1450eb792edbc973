"""A rank waits for rank 0's store to listen before torch looks for it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping

RETRY_SECONDS = 0.005
TRY_SECONDS = 2.0  # the kernel's own tries are ever further apart


def wait_for_store(environ: Mapping[str, str], seconds: float) -> None:
    """Return once the store of this round listens, or time is up and torch is to say what is wrong.

    Torch's own client waits a third of a second and more after the first refusal; rank 0 is rarely that late.
    """
    if environ.get("RANK", "0") == "0":
        return
    address = (environ["MASTER_ADDR"], int(environ["MASTER_PORT"]))
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=min(left, TRY_SECONDS)):
            return
        time.sleep(RETRY_SECONDS)
