"""The launcher's small parts: flags, ends, lines, answers, settings."""

from __future__ import annotations

import mmap
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfdetr_contract.report import FailureReason, Outcome, RunReport
from rfdetr_contract.run import Topology
from rfdetr_trainer.errors import ConfigError, RunError
from rfdetr_trainer.launch.counters import Counts
from rfdetr_trainer.launch.deaths import WorkerEnd, classify_end, read_oom_kills
from rfdetr_trainer.launch.environment import build_worker_env
from rfdetr_trainer.launch.flags import Flags, build_flags, check_world
from rfdetr_trainer.launch.http import build_answer
from rfdetr_trainer.launch.logs import LogFiles, Splitter
from rfdetr_trainer.launch.settings import load_run
from rfdetr_trainer.launch.wire import Died, Parsed, Round
from rfdetr_trainer.messages import WorkerMessage
from rfdetr_trainer.resume import Resume

GIVEN = {"nnodes": "2", "nproc_per_node": "1", "node_rank": "1", "master_addr": "m", "master_port": "29500"}
RUNNING = RunReport(outcome=Outcome.RUNNING)


def make_end(code: int, word: WorkerMessage | None = None, oom_kills: int = 0) -> WorkerEnd:
    """A worker's end."""
    return WorkerEnd(1, 4, code, word, "first line\nlast line", oom_kills)


def test_a_worker_that_its_launcher_killed_is_no_death_unless_it_said_why() -> None:
    """It was about to end by itself, with the cause of it all in its last words."""
    word = make_word(FailureReason.DATA_ERROR)

    silent, told = (classify_end(replace(make_end(-9, each), killed=True)) for each in (None, word))

    assert silent is None
    assert Died(generation=4, rank=1, reason=FailureReason.DATA_ERROR, message="said", last_lines="its") == told


def make_word(reason: FailureReason) -> WorkerMessage:
    """A last word."""
    return WorkerMessage(rank=1, generation=4, outcome=Outcome.FAILED, reason=reason, message="said", last_lines="its")


def test_the_five_flags_of_the_guide_are_taken() -> None:
    """They say where the launcher stands."""
    assert Flags(2, 1, 1, "m", 29500) == build_flags(Parsed(values={**GIVEN, "training_script": "worker"}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_restarts": "3"}, "--max-restarts has no effect here; allowed: --nnodes, --nproc-per-node, "),
        ({"training_script": "train.py"}, "'train.py' is no flag: the launcher starts RF-DETR's own training"),
        ({"nnodes": "1:2"}, "--nnodes=1:2 must be a whole number, 1 or more"),
        ({"nproc_per_node": "gpu"}, "--nproc-per-node=gpu must be a whole number, 1 or more"),
        ({"node_rank": "2"}, "--node-rank=2 must be below --nnodes=2"),
    ],
)
def test_a_wrong_flag_is_refused_in_a_sentence(change: dict[str, str], sentence: str) -> None:
    """It names the flag, its value and what is allowed."""
    with pytest.raises(ConfigError) as error:
        build_flags(Parsed(values=GIVEN | change))

    assert sentence == error.value.message[: len(sentence)]


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_missing_flag_is_named(name: str) -> None:
    """None of the five has a default that could be right."""
    values = {key: value for key, value in GIVEN.items() if key != name}

    with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} is missing; needed: --nnodes, "):
        build_flags(Parsed(values=values))


def test_flags_and_plan_must_name_the_same_world() -> None:
    """Else another effective batch would be trained."""
    with pytest.raises(RunError) as error:
        check_world(Flags(2, 1, 0, "m", 1), Topology(nodes=2, processes_per_node=2, accelerator="cpu"))

    assert FailureReason.WORLD_SIZE_MISMATCH == error.value.reason


@pytest.mark.parametrize(
    ("end", "reason", "message"),
    [
        (make_end(-9), FailureReason.CRASHED, "rank 1 was killed by SIGKILL"),
        (make_end(-11), FailureReason.CRASHED, "rank 1 was killed by SIGSEGV"),
        (
            make_end(-9, oom_kills=1),
            FailureReason.HOST_OOM,
            "rank 1 was killed because the container ran out of memory",
        ),
        (make_end(1), FailureReason.CRASHED, "rank 1 ended with code 1: last line"),
        (make_end(78), FailureReason.CONFIG_ERROR, "rank 1 ended with code 78: last line"),
        (make_end(70, make_word(FailureReason.NAN_LOSS)), FailureReason.NAN_LOSS, "said"),
    ],
)
def test_a_death_has_a_reason_and_a_sentence(end: WorkerEnd, reason: FailureReason, message: str) -> None:
    """The last word first, then the code, then the signal."""
    lines = "its" if end.last_word else end.last_lines

    assert Died(generation=4, rank=1, reason=reason, message=message, last_lines=lines) == classify_end(end)


def test_a_read_beyond_a_file_that_was_cut_is_not_blamed_on_shared_memory_alone(tmp_path: Path) -> None:
    """A checkpoint is mapped, and its volume may fail under it: the kernel sends the signal of a full /dev/shm."""
    file = tmp_path / "mapped"
    file.write_bytes(bytes(2 * mmap.PAGESIZE))
    code = f"""
import mmap, os
with open({str(file)!r}, "r+b") as opened:
    mapped = mmap.mmap(opened.fileno(), 0)
    os.truncate({str(file)!r}, 0)
    mapped[mmap.PAGESIZE]
"""
    end = make_end(subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode)

    words = "/dev/shm is full, or a file on a volume that it had mapped was cut or cannot be read"
    expected = Died(
        generation=4,
        rank=1,
        reason=FailureReason.SHARED_MEMORY,
        message=f"rank 1 was killed by SIGBUS: {words}",
        last_lines=end.last_lines,
    )
    assert expected == classify_end(end)


@pytest.mark.parametrize("code", [0, 75])
def test_a_good_end_is_no_death(code: int) -> None:
    """Finished, or saved and left."""
    assert classify_end(make_end(code)) is None


def test_kills_for_memory_are_read_from_the_control_group(tmp_path: Path) -> None:
    """Without that file there is no such news."""
    (tmp_path / "events").write_text("low 0\noom 2\noom_kill 3\n")

    assert (3, 0) == (read_oom_kills(tmp_path / "events"), read_oom_kills(tmp_path / "none"))


@given(st.lists(st.binary(max_size=40)))
def test_lines_come_out_whole_however_they_are_cut(pieces: list[bytes]) -> None:
    """What arrives in pieces reads as if it had come at once."""
    cut, whole = Splitter(), Splitter()

    parts = [line for piece in pieces for line in cut.feed(piece)] + cut.flush()
    assert whole.feed(b"".join(pieces)) + whole.flush() == parts


def test_a_progress_bar_is_kept_as_it_stood_last() -> None:
    """A carriage return overwrites."""
    assert ["100%"] == Splitter().feed(b"10%\r50%\r100%\r\n")


def test_an_endless_line_is_let_go_in_pieces() -> None:
    """A bar that never ends its line must not fill the memory."""
    assert ["x" * 9000] == Splitter().feed(b"x" * 9000)


def test_logs_go_on_where_an_earlier_pod_left_them(tmp_path: Path) -> None:
    """A replaced pod's last words survive it."""
    for line in ("one", "two"):
        logs = LogFiles(tmp_path / "logs")
        logs.add("rank-0.log", line)
        logs.close(5)

    assert "one\ntwo\n" == (tmp_path / "logs" / "rank-0.log").read_text()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /healthz HTTP/1.1", "200 OK"),
        ("GET /report?x=1 HTTP/1.1", "200 OK"),
        ("GET /metrics HTTP/1.1", "200 OK"),
        ("GET / HTTP/1.1", "404 Not Found"),
        ("POST /report HTTP/1.1", "405 Method Not Allowed"),
    ],
)
def test_three_paths_are_answered(request_line: str, status: str) -> None:
    """All others are refused."""
    assert status == build_answer(request_line, lambda: (RUNNING, Counts()))[0]


def test_the_report_is_served_as_the_operator_parses_it() -> None:
    """The same model on both sides."""
    body = build_answer("GET /report HTTP/1.1", lambda: (RUNNING, Counts()))[2]

    assert RUNNING == RunReport.model_validate_json(body)


def test_a_worker_gets_torchruns_environment() -> None:
    """The third of four ranks, on the second of two nodes; the store is this round's, at an address that lives."""
    resume = Resume(file="/o/c", sha256="0", size=1, step=3, epoch=0, batch_in_epoch=0, world_size=4)
    order = Round(generation=7, store_port=4000, resume=resume)
    env = build_worker_env(Flags(2, 2, 1, "m", 29500), 0, order, "u", "10.0.0.7")

    expected = {
        "RANK": "2",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "10.0.0.7",
        "MASTER_PORT": "4000",
        "TORCHELASTIC_RUN_ID": "u-7",
        "RFDETR_GENERATION": "7",
        "RFDETR_RESUME": resume.model_dump_json(),
    }
    assert expected == {key: env[key] for key in expected}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"version": 2}', "version: input should be 1"),
        ('{"surprise": 1}', "job: field required"),
        ("{", "the document: invalid JSON"),
    ],
)
def test_a_run_config_that_cannot_be_read_names_the_field(tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence, no trace."""
    path = tmp_path / "run.json"
    path.write_text(text)

    with pytest.raises(ConfigError) as error:
        load_run(path)

    assert error.value.message.startswith(f"run config {path}: {sentence}")
