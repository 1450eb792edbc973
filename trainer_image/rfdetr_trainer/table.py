"""RF-DETR's table of metrics: a thread writes it while the training goes on. What a volume refuses waits, and is not lost."""

from __future__ import annotations

import csv
import io
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from rfdetr_trainer.checkpoint_io import DurableCheckpointIO
from rfdetr_trainer.durable import STORAGE_FAULTS, VOLUME, Volume, extend, write_durable
from rfdetr_trainer.writer import Writer

logger = logging.getLogger(__name__)
Row = dict[str, Any]


class SturdyTable(ExperimentWriter):  # type: ignore[misc]  # Lightning is not type-checked here
    """Lightning's writer waits for the volume, rewrites the file in place when a column comes, and ends the run when it cannot.

    Here the training only hands its rows over. Those of known columns are written behind the last row; a new column, and a
    file whose end is not known (it may be torn), are a new file beside it, and a rename.
    """

    metrics: list[Row]
    metrics_keys: list[str]
    metrics_file_path: str
    hparams: Row

    def __init__(
        self, folder: Path, *, keep: bool, is_overtaken: Callable[[], bool] = bool, volume: Volume = VOLUME
    ) -> None:
        # Not the parent's own: it removes the rows of the rounds before, and whoever is killed then has lost them.
        self._path = folder / self.NAME_METRICS_FILE
        self.metrics, self.metrics_keys, self.hparams = [], [], {}
        self.log_dir, self.metrics_file_path = str(folder), str(self._path)
        self._is_overtaken = is_overtaken
        self._volume = volume
        self._size = None if keep else 0  # bytes of the file that count; None: every whole line
        self._steps: int | None = None  # that are done: rows of later ones in the file will be made again
        self._writer = Writer("metrics-writer")
        self._lock = threading.Lock()

    def resume(self, steps: int) -> None:
        """The run goes on from a state after so many steps: what rounds before have written of later ones goes."""
        self._steps = steps

    def save(self) -> None:
        """The new rows are on their way."""
        if self.metrics:
            self._writer.submit(self.flush)

    def flush(self) -> None:
        """Write the new rows. Those that the volume refuses are written the next time, an overtaken rank's never."""
        with self._lock:
            rows = self.metrics[:]
            try:
                if rows and not self._is_overtaken():
                    self._write(rows)
            except OSError as error:
                if error.errno not in STORAGE_FAULTS:
                    raise
                logger.warning("%s waits: %s", self._path.name, error.strerror)
                return
            del self.metrics[: len(rows)]

    def _write(self, rows: list[Row]) -> None:
        size, known = self._size, list_columns(rows, self.metrics_keys) == self.metrics_keys
        if known and size is not None and measure(self._path) >= size:
            data = render(rows, self.metrics_keys)
            extend(self._path, size, data, self._volume)
            self._size = size + len(data)
            return
        steps = self._steps if size is None else None  # what this round has written is all done
        rows = [*(row for row in read_rows(self._path, size) if is_done(row, steps)), *rows]
        columns = list_columns(rows)
        data = render(rows, columns, head=True)
        write_durable(self._path, data, self._volume)
        self.metrics_keys, self._size = columns, len(data)


def read_rows(path: Path, size: int | None = None) -> list[Row]:
    """What the table holds, in its first ``size`` bytes: a line without an end, or with more than the head has, is none."""
    if not path.is_file():
        return []
    data = path.read_bytes()[:size]
    whole = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    return [row for row in csv.DictReader(io.StringIO(whole, newline="")) if None not in row]


def is_done(row: Row, steps: int | None) -> bool:
    """Whether a row is of one of the first ``steps`` steps, which Lightning counts from 0. A row of no step stays."""
    step = str(row.get("step"))
    return steps is None or not step.isdecimal() or int(step) < steps


def list_columns(rows: Sequence[Row], known: Sequence[str] = ()) -> list[str]:
    """Every column that any row has, by their names."""
    return sorted({*known, *(key for row in rows for key in row)})


def render(rows: Sequence[Row], columns: Sequence[str], *, head: bool = False) -> bytes:
    """Rows as lines of the table; ``head``: below its first one."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns)
    if head:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def measure(path: Path) -> int:
    """A file's size in bytes; 0 when it is not there."""
    return path.stat().st_size if path.is_file() else 0


def make_sturdy(trainer: Any, storage: DurableCheckpointIO, *, keep: bool) -> None:
    """Give RF-DETR's table its sturdy writer, on the rank that writes it; ``keep``: the rows that are there are this run's."""
    for each in trainer.loggers:
        if type(each) is CSVLogger and trainer.is_global_zero:
            each._experiment = table = SturdyTable(Path(each.log_dir), keep=keep, is_overtaken=storage.is_overtaken)
            storage.before.append(table.flush)


def find_tables(trainer: Any) -> list[SturdyTable]:
    """The sturdy tables of this rank."""
    found = [each._experiment for each in trainer.loggers if type(each) is CSVLogger]
    return [table for table in found if isinstance(table, SturdyTable)]
