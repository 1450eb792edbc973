"""The results in docs/benchmarks.md: between two marks, written by the command and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.result import Line, Record

BEGIN = "<!-- results: written by `python -m benchmarks`, not by hand -->"
END = "<!-- end of results -->"
HEAD = (
    "| name | ours | against | ratio | goal | verdict | runs | noise | load | machine's noise | seen (UTC) |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def format_number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def format_line(line: Line, record: Record) -> str:
    """One row of the table."""
    it = line.result
    cells = (
        f"`{it.name}`",
        f"{format_number(it.ours)} {it.unit}",
        f"{format_number(it.peer)} ({line.against})",
        "-" if it.ratio is None else format_number(it.ratio),
        format_number(it.goal),
        "met" if it.met else "**not met**",
        str(it.runs),
        format_number(it.noise),
        format_number(it.load),
        format_number(record.spread),
        record.time,
    )
    return f"| {' | '.join(cells)} |"


def format_record(record: Record) -> tuple[list[str], list[str]]:
    """The rows of a benchmark, and the lines below the table."""
    if not record.lines:
        row = f"| `{record.name}` | - | - | - | - | **{record.verdict}** | 0 | - | - | - | {record.time} |"
        return [row], [f"- `{record.name}`: {record.message}"]
    rows = [format_line(line, record) for line in record.lines]
    said = dict.fromkeys(word for line in record.lines for word in (*line.faults, *line.notes))
    return rows, [f"- `{record.name}`: {word}" for word in said]


def read_name(line: str) -> str | None:
    """Whose line it is: the first word in backticks of a row or of a note."""
    start = next((mark for mark in ("| `", "- `") if line.startswith(mark)), None)
    return None if start is None else line[len(start) :].partition("`")[0].partition(" ")[0]


def merge(old: Iterable[str], new: Sequence[str], names: set[str], order: Sequence[str]) -> list[str]:
    """Old lines of other benchmarks and the new ones, in the catalogue's order."""
    kept = [line for line in old if (name := read_name(line)) is not None and name not in names and name in order]
    return sorted([*kept, *new], key=lambda line: order.index(read_name(line) or ""))


def build_page(text: str, records: Sequence[Record], order: Sequence[str]) -> str:
    """The page with these records in it; the rows of other benchmarks stay."""
    before, found, rest = text.partition(BEGIN)
    inside, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no line {BEGIN!r} with {END!r} after it")
    names = {record.name for record in records}
    old = inside.splitlines()
    rows, notes = zip(*(format_record(record) for record in records), strict=True)
    table = merge(
        (line for line in old if line.startswith("| `")), [row for each in rows for row in each], names, order
    )
    below = merge(
        (line for line in old if line.startswith("- `")), [one for each in notes for one in each], names, order
    )
    lines = ["", f"{machine.describe()}.", "", *HEAD, *table, "", *below, ""]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def write_page(file: Path, records: Sequence[Record], order: Sequence[str]) -> None:
    file.write_text(build_page(file.read_text(), records, order))
