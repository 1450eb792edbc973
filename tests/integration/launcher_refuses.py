"""A preflight that refuses the data set of the pod whose uid stands in ``TOY_UNFIT``."""

from __future__ import annotations

import os
from pathlib import Path

from rfdetr_contract import names
from rfdetr_contract.run import RunConfig
from rfdetr_trainer.errors import DataError


def check(_run: RunConfig, data_root: Path) -> None:
    """Judge the data set by the pod that looks at it."""
    if os.environ[names.ENV_POD_UID] == os.environ["TOY_UNFIT"]:
        raise DataError(f"{data_root.name}: image 7 is missing")
