"""What is seen while a job runs: a live row on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import IO, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rfdetr_operator.api.v1alpha1 import TrainingJob, parse_job
from rfdetr_operator.cli.rows import COLUMNS, build_details, build_line, build_row, localize
from rfdetr_operator.shell.cluster import Body
from rfdetr_operator.shell.local import LocalCluster

PACE = 0.25  # seconds between two looks
QUIET = timedelta(seconds=15)  # after which a plain line comes even if nothing changed
EVENTS = 8  # shown beside the live row
PHASE_STYLES = {"Running": "green", "Succeeded": "bold green", "Failed": "bold red", "Suspended": "yellow"}


class View(Protocol):
    """Shows a job again and again."""

    def show(self, job: TrainingJob, events: tuple[Body, ...], now: datetime) -> None:
        """Show what is now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def format_clock(event: Body) -> str:
    """The local time of an event."""
    return datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S")


def format_event(event: Body) -> str:
    """An event as kubectl describes it."""
    again = f" (x{event['count']})" if event["count"] > 1 else ""
    return f"{event['type']:<8} {event['reason']}: {localize(event['message'])}{again}"


class PlainView:
    """A line at each change of phase or epoch, at each event, and now and then."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._told = 0
        self._last: tuple[str | None, int | None] | None = None
        self._time: datetime | None = None
        self._notes: list[str] = []

    def show(self, job: TrainingJob, events: tuple[Body, ...], now: datetime) -> None:
        for event in events[self._told :]:
            self._write(format_clock(event), format_event(event))
        self._told = len(events)
        for note in job.status.notes:
            if note not in self._notes:
                self._write(now.astimezone().strftime("%H:%M:%S"), f"Note       {note}")
        self._notes = job.status.notes
        state = (job.status.phase, job.status.progress.epoch if job.status.progress else None)
        if state != self._last or self._time is None or now - self._time >= QUIET:
            self._last, self._time = state, now
            self._write(now.astimezone().strftime("%H:%M:%S"), build_line(job, now))

    def _write(self, clock: str, line: str) -> None:
        self._out.write(f"{clock}  {line}\n")
        self._out.flush()

    def close(self) -> None:
        return


class LiveView:
    """The job's row under kubectl's columns, and the last events, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, job: TrainingJob, events: tuple[Body, ...], now: datetime) -> None:
        self._live.update(build_screen(job, events, now), refresh=True)

    def close(self) -> None:
        self._live.stop()


def build_screen(job: TrainingJob, events: tuple[Body, ...], now: datetime) -> Group:
    """The live view of one moment."""
    row = build_row(job, now)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    cells = [Text(cell) for cell in row.cells]
    cells[1].stylize(PHASE_STYLES.get(row.phase, "cyan"))
    table.add_row(*cells)
    lines = [build_event(event) for event in events[-EVENTS:]]
    details = Text(build_details(job), style="dim", no_wrap=True, overflow="ellipsis")
    notes = [Text(note, style="yellow", no_wrap=True, overflow="ellipsis") for note in job.status.notes]
    return Group(Text(), table, details, *notes, Text(), *lines)


def build_event(event: Body) -> Text:
    """One event on one line; what the terminal has no room for is in the job's folder."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{format_clock(event)}  ", style="dim")
    return text.append(format_event(event), style="yellow" if event["type"] == "Warning" else "")


def open_view(out: IO[str], *, plain: bool) -> View:
    """The live view on a terminal, unless plain lines are asked for."""
    console = Console(file=out)
    return PlainView(out) if plain or not console.is_terminal else LiveView(console)


async def keep_showing(cluster: LocalCluster, view: View, clock: Callable[[], datetime]) -> None:
    """Show the job until the task is cancelled, and once more then."""
    try:
        while True:
            view.show(parse_job(cluster.job), cluster.events, clock())
            await asyncio.sleep(PACE)
    finally:
        view.show(parse_job(cluster.job), cluster.events, clock())
        view.close()
