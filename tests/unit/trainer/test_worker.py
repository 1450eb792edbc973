"""What a worker settles before it trains."""

from __future__ import annotations

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rfdetr_trainer.worker import claim_rank


def test_a_forked_worker_is_not_rank_0_because_its_fork_server_was_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads the rank once, at its import: two ranks that think they are the first both write rank 0's files."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)

    claim_rank({"RANK": "3"})

    assert 3 == rank_zero_only.rank
