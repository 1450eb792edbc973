"""Ranks that have found each other over gloo count their world before the first step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.data.digits import Recipe, write_digits
from integration.launcher_pods import find_port
from integration.test_training import REPOSITORY, Gang, build_environ, make_run
from rfdetr_contract.report import ExitCode, FailureReason, World


def run_ranks(home: Path, planned: int, precisions: tuple[str, str], topology: tuple[int, int] = (2, 1)) -> list[str]:
    """The last lines of two ranks, on so many nodes with so many processes each, of a run for ``planned``."""
    file, port, (nodes, processes) = home / "run.json", find_port(), topology
    file.write_text(make_run(ranks=planned).to_json())
    started = []
    for rank, precision in enumerate(precisions):
        environ = build_environ(home, rank, 2, port) | {
            "LOCAL_RANK": str(rank % processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "GROUP_RANK": str(rank // processes),
            "NODE_RANK": str(rank // processes),
            "GROUP_WORLD_SIZE": str(nodes),
        }
        environ["PYTHONPATH"] += f":{REPOSITORY / 'tests'}"
        command = [sys.executable, "-m", "integration.guarded_rank", str(file), precision]
        started.append(
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=120) for process in started]
    assert [0, 0] == [process.returncode for process in started], said
    return [words.splitlines()[-1] for words, _ in said]


@pytest.mark.parametrize(("topology", "nodes"), [((2, 1), (1, 1)), ((1, 2), (2,))])
def test_every_rank_counts_the_same_world(tmp_path: Path, topology: tuple[int, int], nodes: tuple[int, ...]) -> None:
    """The device of each rank, the devices of each node, and the precision."""
    world = World(
        expected=2, attested=2, devices=("cpu", "cpu"), devices_per_node=nodes, precision="bf16-mixed"
    ).model_dump_json()

    assert [f"{world}; 4 steps"] * 2 == run_ranks(tmp_path, 2, ("bf16-mixed", "bf16-mixed"), topology)


@pytest.mark.parametrize(
    ("planned", "precisions", "sentence"),
    [
        (
            2,
            ("32-true", "bf16-mixed"),
            "ranks compute in different precisions (32-true, bf16-mixed); set training.precision",
        ),
        (3, ("32-true", "32-true"), "3 ranks were asked for, 2 are there: [0, 1]"),
    ],
)
def test_a_world_that_is_not_the_one_asked_for_trains_no_step(
    tmp_path: Path, planned: int, precisions: tuple[str, str], sentence: str
) -> None:
    """Every rank says why."""
    refusal = f"{FailureReason.WORLD_SIZE_MISMATCH}: {sentence}; 0 steps"

    assert [refusal] * 2 == run_ranks(tmp_path, planned, precisions)


def test_a_training_with_fewer_ranks_than_planned_ends_before_its_first_step(tmp_path: Path) -> None:
    """Real RF-DETR, planned for three nodes, started on two: no retry will bring the third."""
    write_digits(tmp_path / "digits", Recipe(train=8, valid=2))
    gang = Gang(tmp_path / "w")
    gang.start(make_run(ranks=3), size=2)
    try:
        gang.hear(lambda message: message.reason is not None)
        code = gang.processes[0].wait(60)
    finally:
        gang.end()  # rank 1 still waits for rank 0's store: a launcher would end it

    word = gang.messages[-1]
    assert (ExitCode.CONFIG_ERROR, FailureReason.WORLD_SIZE_MISMATCH) == (code, word.reason)
    assert "`num_nodes=3`" in word.message
    assert "does not match the world size (2)" in word.message
    assert not [message for message in gang.messages if message.step]
    assert not gang.run_folder.checkpoints.exists()
