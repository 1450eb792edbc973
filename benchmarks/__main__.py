"""`python -m benchmarks list`, `python -m benchmarks NAME|all [--short] [--json]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from benchmarks import show
from benchmarks.catalogue import BENCHMARKS
from benchmarks.result import Benchmark, CannotRun, Verdict, WentWrong, build_result, choose_exit_code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures this project against its peers and its bounds."
    )
    choices = ["list", "all", *BENCHMARKS]
    parser.add_argument("name", choices=choices, metavar="NAME", help=f"one of: {', '.join(choices)}")
    parser.add_argument("--short", action="store_true", help="few runs, a minute at most")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    return parser


def run_one(benchmark: Benchmark, console: Console, *, short: bool, as_json: bool) -> Verdict:
    """Progress goes to the standard error, results to the standard output."""
    say = show.build_say(benchmark.name, sys.stderr)
    load = os.getloadavg()[0]
    try:
        measured = benchmark.measure(short, say)
    except CannotRun as error:
        say(f"cannot run here: {error}")
        return "cannot run"
    except WentWrong as error:
        say(f"went wrong: {error}")
        return "went wrong"
    result = build_result(benchmark.name, measured, max(load, os.getloadavg()[0]))
    if as_json:
        for line in (*measured.faults, *measured.notes):
            say(line)
        print(result.to_json(), flush=True)
    else:
        show.print_result(console, result, measured)
    return "met" if result.met else "not met"


def main(words: Sequence[str]) -> int:
    arguments = build_parser().parse_args(words)
    console = Console()
    if arguments.name == "list":
        show.print_list(console, BENCHMARKS.values())
        return 0
    chosen = BENCHMARKS.values() if arguments.name == "all" else [BENCHMARKS[arguments.name]]
    return choose_exit_code(
        tuple(run_one(benchmark, console, short=arguments.short, as_json=arguments.json) for benchmark in chosen)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
