"""The table of metrics: whole at every moment, and patient with its volume."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rfdetr_trainer.table import SturdyTable, read_rows
from torn_volume import BrokenVolume


def open_table(folder: Path, volume: BrokenVolume) -> SturdyTable:
    """The table of a run that begins."""
    return SturdyTable(folder, keep=False, volume=volume)


def test_a_column_that_comes_later_is_empty_before(tmp_path: Path) -> None:
    """As in Lightning's own table: columns by their names."""
    table = open_table(tmp_path, BrokenVolume("write", None))
    table.log_metrics({"b": 1.0}, 1)
    table.save()
    table.log_metrics({"a": 2.0}, 2)
    table.save()

    assert "a,b,step\r\n,1.0,1\r\n2.0,,2\r\n" == (tmp_path / "metrics.csv").read_bytes().decode()


def test_rows_that_a_full_volume_refuses_come_later(tmp_path: Path) -> None:
    """The rows before stay, the training goes on."""
    volume = BrokenVolume("write", None)
    table = open_table(tmp_path, volume)
    table.log_metrics({"a": 1.0}, 1)
    table.save()
    volume.number = errno.ENOSPC
    table.log_metrics({"b": 2.0}, 2)
    table.save()
    meanwhile = read_rows(tmp_path / "metrics.csv")
    volume.number = None
    table.log_metrics({"b": 3.0}, 3)
    table.save()

    assert [{"a": "1.0", "step": "1"}] == meanwhile
    assert ["1", "2", "3"] == [row["step"] for row in read_rows(tmp_path / "metrics.csv")]


@pytest.mark.parametrize(("keep", "steps"), [(True, ["1", "2"]), (False, ["2"])])
def test_a_run_that_resumes_keeps_the_rows_of_the_rounds_before(tmp_path: Path, keep: bool, steps: list[str]) -> None:
    """And a run that begins anew does not."""
    before = open_table(tmp_path, BrokenVolume("write", None))
    before.log_metrics({"a": 1.0}, 1)
    before.save()

    table = SturdyTable(tmp_path, keep=keep)
    kept = read_rows(tmp_path / "metrics.csv")
    table.log_metrics({"a": 2.0}, 2)
    table.save()

    assert keep == bool(kept)
    assert steps == [row["step"] for row in read_rows(tmp_path / "metrics.csv")]
