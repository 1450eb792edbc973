"""Lines: the launcher's own, few and plain, and the workers', passed through and kept beside the checkpoints."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from pathlib import Path
from typing import IO

TAIL_LINES = 20
LINE_LIMIT = 8192  # bytes; a progress bar can be one endless line
BACKLOG = 10_000  # lines that wait for a slow volume; more are dropped


def say(text: str) -> None:
    """Print one line of the launcher's own."""
    print(f"rfdetr: {text}", flush=True)


class Splitter:
    """Bytes to whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            lines, self._rest = [*lines, self._rest], b""
        return [_decode(line) for line in lines]

    def flush(self) -> list[str]:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest, b""
        return [_decode(rest)] if rest else []


def _decode(line: bytes) -> str:
    """A line as a terminal would show it: what a carriage return overwrote is gone."""
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")


class LogFiles:
    """Appends lines to files from a thread: a slow volume delays a log, never a heartbeat."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: queue.Queue[tuple[str, str] | None] = queue.Queue(BACKLOG)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def add(self, name: str, line: str) -> None:
        """Append a line to the named log."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait((name, line))

    def close(self, seconds: float) -> None:
        """Wait at most so long for what is still to be written."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        files: dict[str, IO[str]] = {}
        while (item := self._lines.get()) is not None:
            name, line = item
            with contextlib.suppress(OSError):
                if name not in files:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    files[name] = (self._folder / name).open("a", encoding="utf-8", buffering=1)
                files[name].write(f"{line}\n")
        for file in files.values():
            with contextlib.suppress(OSError):
                file.close()


class Tail:
    """The last lines of one worker."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, line: str) -> None:
        """Keep a line, and forget the oldest."""
        self._lines.append(line)

    def text(self) -> str:
        """The lines, as one text."""
        return "\n".join(self._lines)
