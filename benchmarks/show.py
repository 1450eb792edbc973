"""How results look on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from benchmarks.result import Benchmark, Measured, Record, Result, Say


def build_say(name: str, stream: TextIO) -> Say:
    """A line of progress with the seconds since the start."""
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{name} {time.monotonic() - started:6.1f} s  {line}", file=stream, flush=True)

    return say


def print_list(console: Console, benchmarks: Iterable[Benchmark]) -> None:
    table = Table("name", "what it measures", box=None, pad_edge=False)
    for benchmark in benchmarks:
        table.add_row(benchmark.name, benchmark.what)
    console.print(table)


def format_values(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def format_ratio(ratio: float | None) -> str:
    """None: ours is nothing, and the other side is not."""
    return "without bound" if ratio is None else f"{ratio:.2f}"


def print_either(console: Console, result: Result, measured: Measured, say: Say | None) -> None:
    """One line of JSON, its faults and notes through ``say``; without it a table."""
    if say is None:
        print_result(console, result, measured)
        return
    for line in (*measured.faults, *measured.notes):
        say(line)
    print(result.to_json(), flush=True)


def print_summary(console: Console, records: Sequence[Record]) -> None:
    """One line a benchmark, after all of them."""
    table = Table("name", "verdict", "ratios", box=None, pad_edge=False)
    for record in records:
        ratios = " ".join(format_ratio(line.result.ratio) for line in record.lines)
        table.add_row(record.name, record.verdict, ratios or record.message)
    console.print(table, highlight=False)


def print_result(console: Console, result: Result, measured: Measured) -> None:
    console.print(f"[bold]{result.name}[/bold] ({result.unit}, less is better)")
    table = Table()
    for column in ("", "median", "each"):
        table.add_column(column)
    table.add_row("ours", f"{result.ours:.2f}", format_values(measured.ours))
    table.add_row(measured.against, f"{result.peer:.2f}", format_values(measured.peer))
    console.print(table)
    verdict = "[green]met[/green]" if result.met else "[red]not met[/red]"
    console.print(
        f"ratio {format_ratio(result.ratio)}, goal {result.goal:.2f}: {verdict}; "
        f"runs {result.runs}, noise {result.noise:.2f}, load {result.load:.2f}"
    )
    for line in (*measured.faults, *measured.notes):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
