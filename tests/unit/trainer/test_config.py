"""RunConfig to rfdetr's own arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rfdetr.config

from rfdetr_contract.run import RunConfig
from rfdetr_contract.variants import VARIANTS
from rfdetr_trainer import config
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.preflight import PATCH_AND_WINDOWS
from unit.trainer.test_preflight import make_run


def arguments(run: RunConfig, *, resuming: bool = False) -> dict[str, Any]:
    """The training arguments of a run."""
    return config.build_train_arguments(run, data=Path("/data/set"), output=Path("/output/j/rfdetr"), resuming=resuming)


def test_devices_nodes_and_strategy_are_always_said() -> None:
    """The silent training on one device comes from leaving them out."""
    built = arguments(make_run())

    assert (1, 1, "ddp", "cpu") == (built["devices"], built["num_nodes"], built["strategy"], built["accelerator"])


def test_every_argument_is_a_field_of_the_installed_rfdetr() -> None:
    """rfdetr refuses what it does not know."""
    run = make_run()
    model = config.build_model_arguments(run, num_classes=2, weights=None, resuming=False)

    assert set() == set(arguments(run)) - set(rfdetr.config.TrainConfig.model_fields)
    assert set() == set(model) - set(rfdetr.config.RFDETRNanoConfig.model_fields)


def test_what_belongs_to_the_operator_is_a_field_of_rfdetr_too() -> None:
    """A reserved name that rfdetr does not have would hide a typo."""
    assert set() == set(config.OURS_OF_TRAINING) - set(rfdetr.config.TrainConfig.model_fields)
    assert set() == set(config.OURS_OF_MODEL) - set(rfdetr.config.RFDETRNanoConfig.model_fields)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"devices": 1}, "training.overrides.devices belongs to the operator; use spec.gpusPerNode instead"),
        (
            {"ema_decy": 0.9},
            "training.overrides.ema_decy is not a field of the installed rfdetr; did you mean: ema_decay",
        ),
    ],
)
def test_an_override_that_cannot_be_is_named(overrides: dict[str, Any], sentence: str) -> None:
    """One sentence with the key, and what to use instead."""
    known = rfdetr.config.TrainConfig.model_fields

    with pytest.raises(ConfigError) as caught:
        config.check_overrides("training", overrides, config.OURS_OF_TRAINING, known)

    assert sentence in str(caught.value)


def test_a_resume_downloads_no_weights() -> None:
    """The full state is about to be loaded over them."""
    run = make_run()
    coco = run.model_copy(update={"model": run.model.model_copy(update={"pretrain_weights": "coco"})})

    fresh = config.build_model_arguments(coco, num_classes=2, weights=None, resuming=False)
    resumed = config.build_model_arguments(coco, num_classes=2, weights=None, resuming=True)

    assert (False, True, None) == (
        "pretrain_weights" in fresh,
        "pretrain_weights" in resumed,
        resumed["pretrain_weights"],
    )


def test_weights_outside_the_claims_are_refused(tmp_path: Path) -> None:
    """A path may not climb out of the roots."""
    run = make_run()
    (tmp_path / "secret.pth").write_bytes(b"")
    (tmp_path / "output").mkdir()
    outside = run.model_copy(update={"model": run.model.model_copy(update={"pretrain_weights": "../secret.pth"})})

    with pytest.raises(ConfigError, match=r"'\.\./secret\.pth' is not a file"):
        config.choose_weights(outside, (tmp_path / "output",))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_table_of_variants_is_that_of_the_installed_rfdetr(name: str) -> None:
    """Config class, resolution, patch size x windows, and task."""
    variant = VARIANTS[name]
    fields = getattr(rfdetr.config, variant.config).model_fields
    divisor = fields["patch_size"].default * fields["num_windows"].default
    task = "segmentation" if fields["segmentation_head"].default else "detection"

    assert (variant.resolution, variant.divisor, variant.task) == (fields["resolution"].default, divisor, task)


@pytest.mark.parametrize("name", VARIANTS)
def test_patch_size_and_windows_are_those_of_the_installed_rfdetr(name: str) -> None:
    """An override replaces one of the two; the preflight must know the other."""
    variant = VARIANTS[name]
    fields = getattr(rfdetr.config, variant.config).model_fields

    assert PATCH_AND_WINDOWS[variant.divisor] == (fields["patch_size"].default, fields["num_windows"].default)
