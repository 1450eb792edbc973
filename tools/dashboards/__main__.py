"""``python -m tools.dashboards FOLDER`` writes the three boards as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.dashboards.board import Board
from tools.dashboards.fleet import FLEET
from tools.dashboards.operator_board import OPERATOR_BOARD
from tools.dashboards.training_run import TRAINING_RUN

BOARDS: dict[str, Board] = {"fleet": FLEET, "training-run": TRAINING_RUN, "operator": OPERATOR_BOARD}


def render(board: Board) -> str:
    """The file's text."""
    return json.dumps(board.build(), indent=2, ensure_ascii=False) + "\n"


def main(folder: str) -> None:
    """Write every board."""
    for name, board in BOARDS.items():
        (Path(folder) / f"{name}.json").write_text(render(board))


if __name__ == "__main__":
    main(sys.argv[1])
