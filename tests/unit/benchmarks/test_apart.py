"""A benchmark in a process of its own: a record is left whatever happens to it."""

from __future__ import annotations

import pytest

from benchmarks.apart import run_apart


@pytest.mark.parametrize(
    ("limit", "message"),
    [(30.0, "ended with code 2 before its result"), (0.0, "did not end within 0 s")],
    ids=["it ends without a result", "it does not end"],
)
def test_a_benchmark_without_a_result_has_gone_wrong(limit: float, message: str) -> None:
    """The others go on, and the page says why there is no number."""
    record = run_apart("no-such-benchmark", [], limit)

    assert ("no-such-benchmark", "went wrong", message, ()) == (
        record.name,
        record.verdict,
        record.message,
        record.lines,
    )
