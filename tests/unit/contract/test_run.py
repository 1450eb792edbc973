"""RunConfig crosses the border unchanged, and a typo never trains for a day."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from rfdetr_contract.names import is_reserved_env
from rfdetr_contract.run import LimitsRun, RunConfig
from runs import make_run_config


def test_a_run_config_survives_its_json() -> None:
    """What the operator wrote is what the trainer reads."""
    run = make_run_config()

    assert run == RunConfig.model_validate_json(run.to_json())


def test_an_unknown_key_is_refused() -> None:
    """An unknown key is an error."""
    body = json.loads(make_run_config().to_json()) | {"epochz": 3}

    with pytest.raises(ValidationError, match="epochz"):
        RunConfig.model_validate(body)


def test_another_version_is_refused() -> None:
    """A trainer never guesses what a newer operator meant."""
    body = json.loads(make_run_config().to_json()) | {"version": 2}

    with pytest.raises(ValidationError, match="version"):
        RunConfig.model_validate(body)


def test_the_hash_follows_the_content() -> None:
    """Another attempt is another hash; the same content is the same hash."""
    run = make_run_config()

    assert (True, False) == (
        run.hash() == make_run_config().hash(),
        run.hash() == run.model_copy(update={"attempt": 2}).hash(),
    )


def test_a_field_that_only_a_newer_image_knows_changes_no_hash() -> None:
    """Pods of one attempt may run two images: what stands at its default says nothing."""

    class Newer(RunConfig):
        added: int = 3

    newer = Newer.model_validate_json(make_run_config().to_json())

    assert (True, False) == (
        make_run_config().hash() == newer.hash(),
        make_run_config().hash() == newer.model_copy(update={"added": 4}).hash(),
    )


@pytest.mark.parametrize(
    ("name", "reserved"),
    [("RANK", True), ("PET_NNODES", True), ("MASTER_ADDR", True), ("RFDETR_DATA_ROOT", True), ("NCCL_DEBUG", False)],
)
def test_reserved_names_of_the_environment(name: str, reserved: bool) -> None:
    """Torchrun's and our own names are not the user's."""
    assert reserved == is_reserved_env(name)


def test_a_launcher_that_may_take_as_long_as_its_pod_lives_is_refused() -> None:
    """It would be killed before its report."""
    with pytest.raises(ValidationError, match="stop_seconds=120 must be below grace_seconds=120: the pod is killed"):
        LimitsRun(stop_seconds=120, grace_seconds=120)
