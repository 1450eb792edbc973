"""Lightning's own counters inside a checkpoint, read and set right: plain dictionaries, no training."""

from __future__ import annotations

from typing import Any

LoopState = dict[str, Any]  # what a checkpoint holds under loops.fit_loop

TRAINED = "epoch_loop.batch_progress"
VALIDATED = "epoch_loop.val_loop.batch_progress"


def is_epoch_trained(loop: LoopState) -> bool:
    """The running epoch's batches are all trained, and the epoch has not ended: its validation is still to come."""
    epochs = loop["epoch_progress"]["current"]
    return bool(epochs["processed"] < epochs["started"] and loop[TRAINED]["is_last_batch"])


def rewind_validation(loop: LoopState) -> None:
    """Set the counters of a trained epoch to the moment before its validation, whole, begins.

    Lightning takes a state of the last batch for an ended epoch, and goes on behind the validation; it goes back into one
    that was begun. So one is marked as begun, with none of its batches done.
    """
    trained = loop[TRAINED]
    for counts in (trained["total"], trained["current"]):
        counts["completed"] = counts["processed"]
    validated = loop[VALIDATED]
    validated["is_last_batch"] = False
    validated["current"] = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
    validated["total"] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


def skip_to_epoch_end(loop: LoopState) -> None:
    """The same for an epoch that is not validated: its last batch is done, and counted."""
    trained = loop[TRAINED]
    for counts in (trained["total"], trained["current"]):
        counts["completed"] = counts["processed"]
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
