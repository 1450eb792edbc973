"""The command line as its user meets it: exit codes and sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from rfdetr_operator.cli import main
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.local_store import Store

SPEC = """\
apiVersion: rfdetr.io/v1alpha1
kind: RFDETRTrainingJob
metadata: {name: toy}
spec:
  nodes: 2
  gpusPerNode: 0
  model: {variant: nano}
  dataset: {claimName: data}
  training: {effectiveBatchSize: 8}
  checkpoints: {volumeClaimTemplate: {storage: 1Gi}, retain: true}
"""
JOB = {
    "apiVersion": "rfdetr.io/v1alpha1",
    "kind": "RFDETRTrainingJob",
    "metadata": {"name": "toy", "namespace": "default", "uid": "u", "generation": 1, "resourceVersion": "1"},
    "spec": {"dataset": {"claimName": "data"}, "checkpoints": {"volumeClaimTemplate": {"storage": "1Gi"}}},
    "status": {"phase": "Suspended", "display": {"epoch": "3/9"}},
}


def write_manifest(folder: Path, text: str = SPEC) -> str:
    """A manifest's path."""
    path = folder / "toy.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "command", [[], ["validate"], ["local"], ["local", "run"], ["local", "status"], ["local", "clean"]]
)
def test_every_command_explains_itself_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends well and shows one line to type."""
    code = main([*command, "--help"])

    assert 0 == code
    assert "example: rfdetrctl " in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["fly"], ["local"], ["local", "run"], ["local", "run", "x", "--timeout", "y"]])
def test_a_wrong_command_is_exit_code_64(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse says why."""
    code = main(command)

    assert 64 == code
    assert "rfdetrctl" in capsys.readouterr().err


def test_validate_says_what_a_right_manifest_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Variant, resolution and the batch plan, in one sentence."""
    path = write_manifest(tmp_path)
    code = main(["validate", path])

    assert 0 == code
    assert (
        f"{path}: right. toy trains nano at 384 pixels for 100 epochs; ranks 2; "
        "one step is 4 a rank x 1 x 2 = 8 samples.\n"
    ) == capsys.readouterr().out


def test_validate_says_each_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, with file and field, and no stack trace."""
    path = write_manifest(tmp_path, SPEC.replace("nodes: 2", "nodes: 0\n  gpus: 1"))
    code = main(["validate", path])

    assert 64 == code
    assert [
        f"rfdetrctl: {path}: spec.nodes: 0 is not allowed: input should be greater than or equal to 1",
        f"rfdetrctl: {path}: spec.gpus: unknown field; did you mean gpusPerNode?",
    ] == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--claim", "data"], "rfdetrctl: --claim 'data' is not NAME=FOLDER"),
        (["--claim", "data=/nowhere"], "rfdetrctl: --claim 'data=/nowhere': /nowhere is not a folder"),
        (["--kill", "7@3s"], "rfdetrctl: --kill '7@3s': node rank 7 does not exist; the job has ranks 0 to 1"),
    ],
)
def test_a_wrong_option_of_run_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    """And nothing is started or stored."""
    state = tmp_path / "state"
    code = main(["local", "run", write_manifest(tmp_path), "--state", str(state), *options])

    assert (64, f"{sentence}\n") == (code, capsys.readouterr().err)
    assert not state.exists()


def test_a_file_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The path comes first."""
    code = main(["local", "run", "nowhere.yaml"])

    assert (64, "rfdetrctl: nowhere.yaml: No such file or directory\n") == (code, capsys.readouterr().err)


def test_status_shows_what_is_stored_and_that_nobody_runs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row, then how to go on."""
    Store(tmp_path, Key("default", "toy")).save(JOB)
    code = main(["local", "status", "--state", str(tmp_path)])
    _, row, sentence = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert ["toy", "Suspended", "3/9"] == row.split()[:3]
    assert "default/toy: not being run; it goes on with: rfdetrctl local run FILE" == sentence


@pytest.mark.parametrize("retain", [True, False])
def test_clean_forgets_a_job_and_keeps_a_retained_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], retain: bool
) -> None:
    """As deleting the job on a cluster would."""
    store = Store(tmp_path, Key("default", "toy"))
    checkpoints = {"volumeClaimTemplate": {"storage": "1Gi"}, "retain": retain}
    store.save({**JOB, "spec": {"dataset": {"claimName": "data"}, "checkpoints": checkpoints}})
    claim = tmp_path / "claims" / "toy-checkpoints"
    claim.mkdir(parents=True)
    code = main(["local", "clean", "toy", "--state", str(tmp_path)])

    assert 0 == code
    assert capsys.readouterr().out.startswith("default/toy: forgotten")
    assert (None, retain) == (store.load(), claim.exists())


def test_clean_of_a_running_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the process."""
    store = Store(tmp_path, Key("default", "toy"))
    store.save(JOB)
    with store.locked():
        code = main(["local", "clean", "--state", str(tmp_path)])

    assert 64 == code
    assert "is being run by process" in capsys.readouterr().err
    assert store.load() == JOB


def test_clean_of_an_unknown_job_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence."""
    Store(tmp_path, Key("default", "toy")).save(JOB)
    code = main(["local", "clean", "tin", "--state", str(tmp_path)])

    assert (64, f"rfdetrctl: no job 'tin' in {tmp_path}; there: toy\n") == (code, capsys.readouterr().err)
