"""Two ranks over gloo: what one wants both hear, and how long one waits for the other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from integration.launcher_pods import find_port
from integration.test_training import REPOSITORY


def ask(*words: str) -> list[str]:
    """The last lines of both ranks."""
    command = [sys.executable, "-m", "integration.agreeing_rank"]
    folders = {"PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY / 'trainer_image'}:{REPOSITORY / 'tests'}"}
    port = str(find_port())
    ranks = [
        subprocess.Popen([*command, str(rank), port, *words], env=folders, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        return [rank.communicate(timeout=60)[0].splitlines()[-1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()


@pytest.mark.parametrize("patience", [("10",), ("0.5", "10")])
def test_what_one_rank_wants_both_hear(patience: tuple[str, ...]) -> None:
    """A question's own patience beats the agreement's; on the CPU no thread is added to those of the training's group."""
    assert ["leave True, save True; 0 threads"] * 2 == ask("1.5", *patience)


@pytest.mark.parametrize("patience", [("0.5",), ("10", "0.5")])
def test_a_rank_waits_no_longer_than_its_patience(patience: tuple[str, ...]) -> None:
    """The other one comes too late."""
    assert "nobody answered" == ask("3", *patience)[0]
