"""Results in the page: put there by the command, row by row."""

from __future__ import annotations

import pytest

from benchmarks.page import BEGIN, END, build_page, read_name
from benchmarks.result import Line, Measured, Record, build_result, parse_record

ORDER = ("crash", "loss")
EMPTY = f"Before.\n\n{BEGIN}\n{END}\n\nAfter.\n"


def make_record(name: str = "crash", *, ours: float = 1.5, note: str = "two ranks") -> Record:
    measured = Measured(ours=(ours,), peer=(7.5,), unit="s", goal=4.0, against="stock", notes=(note,))
    lines = (Line(build_result(name, measured, load=0.5), measured.against, notes=measured.notes),)
    return Record(name, "met", "2026-01-02 03:04", spread=0.02, lines=lines)


def find_lines(page: str) -> list[str]:
    return [line for line in page.splitlines() if read_name(line)]


def test_a_record_is_read_as_it_was_written() -> None:
    """The process that measured and the one that writes the page are two."""
    assert make_record() == parse_record(make_record().to_json())


def test_a_page_gets_rows_and_notes_between_its_marks() -> None:
    """What stands around the marks stays."""
    page = build_page(EMPTY, [make_record()], ORDER)

    row = "| `crash` | 1.5 s | 7.5 (stock) | 5 | 4 | met | 1 | 0 | 0.5 | 0.02 | 2026-01-02 03:04 |"
    assert [row, "- `crash`: two ranks"] == find_lines(page)
    assert (True, True) == (page.startswith("Before."), page.endswith("After.\n"))


def test_a_new_run_replaces_its_own_rows_and_no_others() -> None:
    """The order is the catalogue's, whatever was run last."""
    page = build_page(EMPTY, [make_record("loss", note="a"), make_record("crash", note="b")], ORDER)

    page = build_page(page, [make_record("crash", ours=3.0, note="c")], ORDER)

    assert ["crash", "loss", "crash", "loss"] == [read_name(line) for line in find_lines(page)]
    assert (1, 1, 1) == (page.count("| 3 s |"), page.count("| 1.5 s |"), page.count("`crash`: c"))


def test_a_benchmark_that_went_wrong_has_a_row_and_says_why() -> None:
    """A failure is a result like any other."""
    record = Record("loss", "went wrong", "2026-01-02 03:04", spread=0.0, message="did not end within 5 s")

    row = "| `loss` | - | - | - | - | **went wrong** | 0 | - | - | - | 2026-01-02 03:04 |"
    assert [row, "- `loss`: did not end within 5 s"] == find_lines(build_page(EMPTY, [record], ORDER))


def test_a_page_without_marks_is_refused() -> None:
    """Nobody's page is overwritten."""
    with pytest.raises(ValueError, match="has no line"):
        build_page("text", [make_record()], ORDER)
