"""A rank 0 that was overtaken, and does not know it: what a newer generation lives on stays as it is, and so does the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rfdetr_contract.report import FailureReason, Outcome, RunReport
from rfdetr_trainer.callbacks.boundary import StopFlag
from rfdetr_trainer.checkpoint_io import DurableCheckpointIO
from rfdetr_trainer.errors import RunError
from rfdetr_trainer.fit import Round, write_result
from rfdetr_trainer.messages import Line
from rfdetr_trainer.outcome import End, classify_error
from rfdetr_trainer.table import SturdyTable
from saved_run import SavedRun, make_candidate, make_checkpoint, save

REPORT = RunReport(outcome=Outcome.COMPLETED, message="2 epochs trained")


def save_epoch(io: DurableCheckpointIO, run: SavedRun, epoch: int) -> bool:
    """An epoch's end, which is a new best."""
    io.bests.offer([make_candidate(10 * epoch, epoch=epoch, score=epoch / 10)])
    return save(io, make_checkpoint(10 * epoch, epoch=epoch), run.folder.rfdetr / "last.ckpt")


def log(table: SturdyTable, step: int) -> None:
    """A row."""
    table.log_metrics({"loss": 0.5}, step)
    table.flush()


def open_table(io: DurableCheckpointIO, run: SavedRun, *, keep: bool) -> SturdyTable:
    """The table of a generation."""
    return SturdyTable(run.folder.rfdetr, keep=keep, is_overtaken=io.is_overtaken)


def read_files(root: Path) -> dict[str, bytes]:
    """All that is there."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def line() -> Iterator[Line]:
    """A launcher that does not listen."""
    line = Line(None, 0, 1)
    yield line
    line.close()


def build_round(run: SavedRun, generation: int, line: Line) -> Round:
    """What a worker is told."""
    return Round(run.root, run.root, generation, None, line, StopFlag())


@pytest.mark.parametrize("state", ["g000001-s00000010.ckpt", "g000002-s00000020.ckpt"])
def test_an_overtaken_rank_0_can_neither_publish_nor_prune_nor_end_the_run(
    tmp_path: Path, line: Line, state: str
) -> None:
    """It trains on, saves under names of its own, and ends with the reason. The newer generation lives on its state, or on
    one of its own whose best is the older one's, and ends the run."""
    run = SavedRun(tmp_path)
    old = run.begin(1, keep=(1, 0))
    table = open_table(old, run, keep=False)
    log(table, 1)
    assert save_epoch(old, run, 1)
    new = run.begin(2, keep=(1, 0))
    log(open_table(new, run, keep=True), 2)
    new.bests.settle()
    if state.startswith("g000002"):
        assert save(new, make_checkpoint(20, epoch=2), run.folder.rfdetr / "last.ckpt")
    before = read_files(run.folder.root)

    assert save_epoch(old, run, 2)
    assert save_epoch(old, run, 3)
    log(table, 3)
    old.bests.write_weights(make_checkpoint(30), make_candidate(30), run.folder.rfdetr / "last_ema.pth")
    old.bests.settle()
    with pytest.raises(RunError) as caught:
        write_result(build_round(run, 1, line), run.folder, REPORT)

    after, found = read_files(run.folder.root), run.choose().found
    assert before == {name: after[name] for name in after if name in before}
    assert {"best/g000001", "checkpoints/g000001"} == {name.partition("-")[0] for name in after.keys() - before.keys()}
    words = "another pod claimed a newer generation than 1"
    assert End(Outcome.FAILED, FailureReason.OVERTAKEN, words) == classify_error(caught.value)
    assert state == (found and found.path.name)
    assert End(Outcome.COMPLETED, message=REPORT.message) == write_result(build_round(run, 2, line), run.folder, REPORT)
    assert REPORT == RunReport.model_validate_json(run.folder.result.read_bytes())
