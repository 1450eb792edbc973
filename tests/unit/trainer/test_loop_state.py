"""Lightning's counters: where a state stands between an epoch's last step and its end, and how it resumes there."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection

from rfdetr_trainer.callbacks.agreement import Agreed, Agreement
from rfdetr_trainer.callbacks.resumed import collect_means, restore_means
from rfdetr_trainer.loop_state import TRAINED, VALIDATED, is_epoch_trained, rewind_validation, skip_to_epoch_end


def count(ready: int, processed: int, completed: int) -> dict[str, int]:
    """Lightning's four counters."""
    return {"ready": ready, "started": ready, "processed": processed, "completed": completed}


def build_loop(*, batches: int, last: bool, epochs_done: int = 1) -> dict[str, Any]:
    """A state of the second epoch, saved in ``on_train_batch_end``."""
    trained = count(batches, batches, batches - 1)
    validated = count(3, 2, 2)
    return {
        "epoch_progress": {"current": count(2, epochs_done, epochs_done), "total": count(2, epochs_done, epochs_done)},
        TRAINED: {"current": dict(trained), "total": dict(trained), "is_last_batch": last},
        VALIDATED: {"current": dict(validated), "total": dict(validated), "is_last_batch": False},
        "epoch_loop.state_dict": {"_batches_that_stepped": 9},
    }


def test_only_a_whole_epoch_without_its_end_is_trained() -> None:
    """Inside it, and behind its end, Lightning does what is right by itself."""
    assert [True, False, False] == [
        is_epoch_trained(build_loop(batches=5, last=True)),
        is_epoch_trained(build_loop(batches=4, last=False)),
        is_epoch_trained(build_loop(batches=5, last=True, epochs_done=2)),
    ]


def test_a_validation_begins_anew() -> None:
    """The last batch is done; a validation is marked as begun, with none of its batches done."""
    loop = build_loop(batches=5, last=True)

    rewind_validation(loop)

    done = count(5, 5, 5)
    assert {"current": done, "total": done, "is_last_batch": True} == loop[TRAINED]
    assert {"current": count(0, 0, 0), "total": count(1, 0, 0), "is_last_batch": False} == loop[VALIDATED]


def test_an_epoch_without_a_validation_ends() -> None:
    """Its last batch is counted for the loggers, as it would have been."""
    loop = build_loop(batches=5, last=True)

    skip_to_epoch_end(loop)

    assert (count(5, 5, 5), 10) == (loop[TRAINED]["current"], loop["epoch_loop.state_dict"]["_batches_that_stepped"])


def log(results: _ResultCollection, values: list[float]) -> _ResultCollection:
    """What RF-DETR's training step logs."""
    for value in values:
        results.log("training_step", "train/loss", torch.tensor(value), on_epoch=True, batch_size=3)
    return results


def test_a_mean_that_was_interrupted_is_the_whole_ones_to_the_bit() -> None:
    """Before the epoch's next batch, and behind its last."""
    values = [0.1, 0.7, 1.3, 0.2]
    key = "training_step.train/loss"
    whole = log(_ResultCollection(training=True), values)[key].compute()
    kept = [collect_means(log(_ResultCollection(training=True), values[:done])) for done in (3, 4)]
    inside, behind = log(_ResultCollection(training=True), values[3:]), _ResultCollection(training=True)

    made = restore_means(inside, kept[0]), restore_means(behind, kept[1])

    assert ((), (key,)) == made
    assert [whole] * 2 == [inside[key].compute(), behind[key].compute()]


def test_one_rank_agrees_with_itself() -> None:
    """The answer to a question that was posted is heard once."""
    agreement = Agreement()
    agreement.open(world_size=1)
    agreement.post(Agreed(leave=True))

    assert [Agreed(leave=True), Agreed(), Agreed(save=True)] == [
        agreement.hear(),
        agreement.hear(),
        agreement.ask(Agreed(save=True)),
    ]
