"""The table of metrics: whole at every moment, and nobody waits for its volume."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from rfdetr_trainer.checkpoint_io import DurableCheckpointIO, Patience
from rfdetr_trainer.durable import Volume
from rfdetr_trainer.manifest import RunFolder
from rfdetr_trainer.sets import Keep
from rfdetr_trainer.table import SturdyTable, read_rows
from saved_run import Told, make_checkpoint, make_facts
from torn_volume import BrokenVolume, Quick

HEALTHY = BrokenVolume("write", None)
Call = Literal["open", "reopen", "fsync"]


def make_io(root: Path, told: Told, *, last: float) -> DurableCheckpointIO:
    """A door to a disk that answers; ``last``: seconds that whoever leaves waits."""
    return DurableCheckpointIO(RunFolder(root), make_facts(), Keep(), None, told, patience=Patience(last=last))


def open_table(folder: Path, volume: Volume = HEALTHY, *, keep: bool = False) -> SturdyTable:
    """The table of a run that begins, or of one that goes on."""
    return SturdyTable(folder, keep=keep, volume=volume)


def log(table: SturdyTable, step: int, **values: float) -> None:
    """A row, and what the table's own thread does with it."""
    table.log_metrics(values, step)
    table.flush()


def read(folder: Path) -> str:
    """The file."""
    return (folder / "metrics.csv").read_bytes().decode()


def list_steps(folder: Path) -> list[str]:
    """The rows that are there."""
    return [row["step"] for row in read_rows(folder / "metrics.csv")]


@dataclass
class Counting(Quick):
    """A volume that counts the bytes that it is given, and the files that are renamed."""

    given: list[int] = field(default_factory=list)
    renamed: int = 0

    def write(self, descriptor: int, data: memoryview) -> int:
        self.given.append(len(data))
        return super().write(descriptor, data)

    def replace(self, source: Path, target: Path) -> None:
        self.renamed += 1
        super().replace(source, target)


@dataclass
class Gate(Quick):
    """A volume that hangs in one kind of call until its gate is opened, or for some seconds."""

    call: Call
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def open(self, path: Path) -> int:
        self._wait("open")
        return super().open(path)

    def reopen(self, path: Path, offset: int) -> int:
        self._wait("reopen")
        return super().reopen(path, offset)

    def fsync(self, descriptor: int) -> None:
        self._wait("fsync")

    def _wait(self, call: str) -> None:
        if call == self.call:
            self.opened.wait(2.0)


@dataclass
class Tearing(Quick):
    """A volume that takes so many bytes of each write, and refuses the rest while ``refuses`` is set."""

    takes: int
    refuses: bool = False

    def write(self, descriptor: int, data: memoryview) -> int:
        if not self.refuses:
            return super().write(descriptor, data)
        os.write(descriptor, data[: self.takes])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_column_that_comes_later_is_empty_before(tmp_path: Path) -> None:
    """As in Lightning's own table: columns by their names."""
    table = open_table(tmp_path)
    log(table, 1, b=1.0)
    log(table, 2, a=2.0)

    assert "a,b,step\r\n,1.0,1\r\n2.0,,2\r\n" == read(tmp_path)


def test_rows_of_known_columns_are_written_behind_the_others(tmp_path: Path) -> None:
    """A long run's table is not written again for each of them."""
    volume = Counting()
    table = open_table(tmp_path, volume)
    log(table, 1, a=1.0, b=1.0)
    log(table, 2, a=2.0, b=2.0)
    log(table, 3, b=3.0)

    assert ([len("a,b,step\r\n1.0,1.0,1\r\n"), len("2.0,2.0,2\r\n"), len(",3.0,3\r\n")], 1) == (
        volume.given,
        volume.renamed,
    )
    assert "a,b,step\r\n1.0,1.0,1\r\n2.0,2.0,2\r\n,3.0,3\r\n" == read(tmp_path)


@pytest.mark.parametrize(("call", "column"), [("open", "b"), ("reopen", "a"), ("fsync", "a")])
def test_whoever_trains_does_not_wait_for_a_volume_that_hangs(tmp_path: Path, call: Call, column: str) -> None:
    """The rows come when it answers again, and those who leave wait for them."""
    volume = Gate(call)
    table, io = open_table(tmp_path, volume), make_io(tmp_path, Told(), last=30.0)
    io.before.append(table.flush)
    log(table, 0, a=0.0)
    volume.opened.clear()
    for step in range(1, 5):
        table.log_metrics({column: float(step)}, step)
        table.save()
    waiting = len(table.metrics)
    volume.opened.set()

    assert (4, True, ["0", "1", "2", "3", "4"]) == (waiting, io.drain(), list_steps(tmp_path))


def test_a_state_is_not_durable_before_the_rows_that_led_to_it(tmp_path: Path) -> None:
    """A run that is killed and goes on from it does not make them again."""
    volume, told = Gate("fsync"), Told()
    table, io = open_table(tmp_path, volume), make_io(tmp_path, told, last=0.1)
    io.before.append(table.flush)
    volume.opened.clear()
    table.log_metrics({"a": 1.0}, 1)
    io.save_checkpoint(make_checkpoint(1), tmp_path / "step.ckpt")
    early = io.drain(), len(told.states)
    volume.opened.set()
    while io.is_busy:
        time.sleep(0.01)

    assert ((False, 0), True, 1, ["1"]) == (early, io.drain(), len(told.states), list_steps(tmp_path))


def test_rows_that_a_full_volume_refuses_come_later(tmp_path: Path) -> None:
    """The rows before stay, the training goes on."""
    volume = BrokenVolume("write", None)
    table = open_table(tmp_path, volume)
    log(table, 1, a=1.0)
    volume.number = errno.ENOSPC
    log(table, 2, b=2.0)
    meanwhile = read_rows(tmp_path / "metrics.csv")
    volume.number = None
    log(table, 3, b=3.0)

    assert [{"a": "1.0", "step": "1"}] == meanwhile
    assert ["1", "2", "3"] == list_steps(tmp_path)


@pytest.mark.parametrize("column", ["a", "b"])
@pytest.mark.parametrize("takes", [0, 3, 7, 11])
def test_what_a_full_volume_has_torn_is_written_over(tmp_path: Path, takes: int, column: str) -> None:
    """Two rows are torn in any place, and come whole and once when there is room; so does a column that came meanwhile."""
    volume = Tearing(takes)
    table = open_table(tmp_path, volume)
    log(table, 1, a=1.0)
    volume.refuses = True
    table.log_metrics({"a": 2.0}, 2)
    log(table, 3, a=3.0)
    volume.refuses = False
    log(table, 4, **{column: 4.0})

    assert ["1", "2", "3", "4"] == list_steps(tmp_path)
    assert read(tmp_path).endswith("\r\n4.0,4\r\n" if column == "a" else "\r\n,4.0,4\r\n")


def test_the_next_writer_mends_what_a_kill_has_torn(tmp_path: Path) -> None:
    """A line without an end goes, also where no column is new."""
    log(open_table(tmp_path), 1, a=1.0)
    with (tmp_path / "metrics.csv").open("ab") as file:
        file.write(b"2.0,2\r\n3.")

    log(open_table(tmp_path, keep=True), 3, a=3.5)

    assert "a,step\r\n1.0,1\r\n2.0,2\r\n3.5,3\r\n" == read(tmp_path)


def test_a_damaged_table_does_not_end_the_run(tmp_path: Path) -> None:
    """A line that no head explains is left out; what is no text is told as such."""
    (tmp_path / "metrics.csv").write_bytes(b"a,step\r\n1.0,1\r\n1,2,3,4\r\n\xff,2\r\n")

    log(open_table(tmp_path, keep=True), 3, a=3.0)

    assert "a,step\r\n1.0,1\r\n\ufffd,2\r\n3.0,3\r\n" == read(tmp_path)


def test_a_table_that_somebody_removed_begins_anew(tmp_path: Path) -> None:
    """The training does not end for it."""
    table = open_table(tmp_path)
    log(table, 1, a=1.0)
    (tmp_path / "metrics.csv").unlink()
    log(table, 2, a=2.0)

    assert "a,step\r\n2.0,2\r\n" == read(tmp_path)


@pytest.mark.parametrize(("keep", "steps"), [(True, ["1", "2"]), (False, ["2"])])
def test_a_run_that_resumes_keeps_the_rows_of_the_rounds_before(tmp_path: Path, keep: bool, steps: list[str]) -> None:
    """And a run that begins anew does not: from its first row on, so that whoever is killed before has lost none."""
    log(open_table(tmp_path), 1, a=1.0)

    table = open_table(tmp_path, keep=keep)
    before = list_steps(tmp_path)
    log(table, 2, a=2.0)

    assert (["1"], steps) == (before, list_steps(tmp_path))


def test_rows_that_a_run_makes_again_stand_there_once(tmp_path: Path) -> None:
    """It was killed after step 12 and goes on from the state after 10, whose last row is of step 9."""
    before = open_table(tmp_path)
    for step in (4, 9, 11):
        log(before, step, a=1.0)
    table = open_table(tmp_path, keep=True)
    table.resume(10)
    for step, column in ((11, "a"), (14, "b")):
        log(table, step, **{column: 2.0})

    assert "a,b,step\r\n1.0,,4\r\n1.0,,9\r\n2.0,,11\r\n,2.0,14\r\n" == read(tmp_path)


def test_an_overtaken_rank_writes_no_rows(tmp_path: Path) -> None:
    """The table is the newer generation's, whether it has begun it or not."""
    overtaken = [False]
    tables = [SturdyTable(tmp_path, keep=keep, is_overtaken=lambda: overtaken[0]) for keep in (False, True)]
    log(tables[0], 1, a=1.0)
    overtaken[0] = True
    for table in tables:
        log(table, 2, a=2.0)
        log(table, 3, b=3.0)

    assert ("a,step\r\n1.0,1\r\n", [[], []]) == (read(tmp_path), [table.metrics for table in tables])


def test_a_fault_that_is_not_the_volumes_is_not_hidden(tmp_path: Path) -> None:
    """A folder that is a file is a mistake."""
    (tmp_path / "rfdetr").write_text("in the way")

    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
        log(open_table(tmp_path / "rfdetr"), 1, a=1.0)

    assert caught.value.errno in {errno.EEXIST, errno.ENOTDIR}
