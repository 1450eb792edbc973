"""What a worker settles before it trains."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rfdetr_contract.report import ExitCode, Outcome
from rfdetr_trainer.launch.deaths import WorkerEnd
from rfdetr_trainer.messages import Line, WorkerMessage
from rfdetr_trainer.outcome import Preempted, classify_error
from rfdetr_trainer.worker import claim_rank, tell


def test_a_forked_worker_is_not_rank_0_because_its_fork_server_was_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads the rank once, at its import: two ranks that think they are the first both write rank 0's files."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)

    claim_rank({"RANK": "3"})

    assert 3 == rank_zero_only.rank


@pytest.mark.parametrize("saved", [True, False])
def test_the_last_word_of_a_worker_that_leaves_says_whether_its_state_is_durable(tmp_path: Path, saved: bool) -> None:
    """Its exit code is the same; its launcher takes its word."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "s"))
        line = Line(str(tmp_path / "s"), 0, 1)
        tell(line, classify_error(Preempted(7, saved=saved)))
        line.close()
        word = WorkerMessage.model_validate_json(ear.recv(65536))

    end = WorkerEnd(rank=0, generation=1, code=ExitCode.PREEMPTED, last_word=word, last_lines="")
    assert (Outcome.PREEMPTED, saved, not saved) == (word.outcome, word.saved, end.is_unsaved)
