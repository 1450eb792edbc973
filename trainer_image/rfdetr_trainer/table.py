"""RF-DETR's table of metrics, written whole beside itself and renamed: a full volume costs it a while, never its rows."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from rfdetr_trainer.durable import STORAGE_FAULTS, VOLUME, Volume, write_durable

logger = logging.getLogger(__name__)
Row = dict[str, Any]


class SturdyTable(ExperimentWriter):  # type: ignore[misc]  # Lightning is not type-checked here
    """Lightning's writer rewrites the file in place when a column comes, and ends the run when it cannot."""

    metrics: list[Row]
    metrics_keys: list[str]
    metrics_file_path: str
    hparams: Row

    def __init__(self, folder: Path, *, keep: bool, volume: Volume = VOLUME) -> None:
        # Not the parent's own: it removes the rows of the rounds before, and whoever is killed then has lost them.
        path = folder / self.NAME_METRICS_FILE
        self.metrics, self.metrics_keys, self.hparams = [], [], {}
        self.log_dir, self.metrics_file_path = str(folder), str(path)
        self._volume = volume
        if not keep:
            path.unlink(missing_ok=True)

    def save(self) -> None:
        """Add the new rows; those that the volume refuses are added the next time."""
        if not self.metrics:
            return
        path = Path(self.metrics_file_path)
        try:
            rows = [*read_rows(path), *self.metrics]
            write_durable(path, render(rows), self._volume)
        except OSError as error:
            if error.errno not in STORAGE_FAULTS:
                raise
            logger.warning("%s waits: %s", path.name, error.strerror)
            return
        self.metrics_keys = sorted({key for row in rows for key in row})
        self.metrics = []


def read_rows(path: Path) -> list[Row]:
    """What the table holds."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def render(rows: list[Row]) -> bytes:
    """The table, with every column that any row has."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=sorted({key for row in rows for key in row}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def make_sturdy(trainer: Any, *, keep: bool) -> None:
    """Give RF-DETR's table its sturdy writer, on the rank that writes it; ``keep``: the rows that are there are this run's."""
    for each in trainer.loggers:
        if type(each) is CSVLogger and trainer.is_global_zero:
            each._experiment = SturdyTable(Path(each.log_dir), keep=keep)
