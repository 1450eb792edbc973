"""`python -m benchmarks list`, `python -m benchmarks NAME|all [--short] [--json] [--write docs/benchmarks.md]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import machine, page, show
from benchmarks.apart import LONG_LIMIT, build_lost, read_time, run_apart
from benchmarks.catalogue import NAMES, load
from benchmarks.result import (
    Benchmark,
    CannotRun,
    Line,
    Measured,
    Record,
    Verdict,
    WentWrong,
    build_result,
    choose_exit_code,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures this project against its peers and its bounds."
    )
    choices = ["list", "all", *NAMES]
    parser.add_argument("name", choices=choices, metavar="NAME", help=f"one of: {', '.join(choices)}")
    parser.add_argument("--short", action="store_true", help="few runs: minutes at most")
    parser.add_argument("--json", action="store_true", help="lines of JSON instead of a table")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the results into this page")
    parser.add_argument("--record", type=Path, metavar="FILE", help="leave all that was measured in this file")
    return parser


def run_one(benchmark: Benchmark, console: Console, *, short: bool, as_json: bool) -> Record:
    """Progress goes to the standard error, results to the standard output."""
    say = show.build_say(benchmark.name, sys.stderr)
    spread, load_before = machine.measure_spread(), machine.read_load()
    try:
        found = benchmark.measure(short, say)
    except CannotRun as error:
        say(f"cannot run here: {error}")
        return Record(benchmark.name, "cannot run", read_time(), spread, str(error))
    except WentWrong as error:
        say(f"went wrong: {error}")
        return Record(benchmark.name, "went wrong", read_time(), spread, str(error))
    several = [found] if isinstance(found, Measured) else found
    load_now = max(load_before, machine.read_load())
    results = [build_result(benchmark.name, measured, load_now) for measured in several]
    for result, measured in zip(results, several, strict=True):
        show.print_either(console, result, measured, say if as_json else None)
    lines = tuple(
        Line(result, one.against, one.faults, one.notes) for result, one in zip(results, several, strict=True)
    )
    verdict: Verdict = "met" if all(result.met for result in results) else "not met"
    return Record(benchmark.name, verdict, read_time(), spread, lines=lines)


def run_safely(name: str, options: Sequence[str], *, short: bool) -> Record:
    """A record whatever happens."""
    try:
        limit = load(name).short_limit if short else LONG_LIMIT
    except Exception as error:  # noqa: BLE001 - a module that cannot be loaded is a result like any other
        return build_lost(name, f"could not be loaded: {type(error).__name__}: {error}")
    return run_apart(name, options, limit)


def run_all(names: Sequence[str], arguments: argparse.Namespace) -> list[Record]:
    """Each in a process of its own, one after the other."""
    options = [option for option in ("--short", "--json") if getattr(arguments, option[2:])]
    records: list[Record] = []
    for name in names:
        records.append(run_safely(name, options, short=arguments.short))
        if arguments.write:
            page.write_page(arguments.write, records[-1:], NAMES)
    return records


def main(words: Sequence[str]) -> int:
    arguments = build_parser().parse_args(words)
    console = Console()
    if arguments.name == "list":
        show.print_list(console, map(load, NAMES))
        return 0
    if arguments.name == "all" or arguments.write:
        records = run_all(NAMES if arguments.name == "all" else [arguments.name], arguments)
        show.print_summary(console, records)
    else:
        records = [run_one(load(arguments.name), console, short=arguments.short, as_json=arguments.json)]
    if arguments.record:
        arguments.record.write_text(records[0].to_json())
    return choose_exit_code(tuple(record.verdict for record in records))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
