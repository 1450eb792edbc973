"""Status writes: only what changed, and progress at a pace."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_cluster import merge
from rfdetr_operator.api.v1alpha1 import Condition, Display, ProgressStatus, Restarts, Status
from rfdetr_operator.core.changes import Change, build_patch, choose_change, dump_status

BEFORE = Status(
    phase="Running",
    attempt=1,
    conditions=[Condition(type="Running", status="True", reason="AllRanksRunning", message="all run")],
    progress=ProgressStatus(epoch=1, epochs=3, reported_time="2026-01-01T00:00:00Z"),
    restarts=Restarts(),
    display=Display(nodes="2/2"),
    counted_pods=["a"],
)
OTHER_WORDS = [Condition(type="Running", status="True", reason="AllRanksRunning", message="all run well")]
OTHER_REASON = [Condition(type="Running", status="True", reason="Preempted", message="all run")]
# no None: dumped statuses hold none, and in a patch it means that the key goes
TREES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=4)


@pytest.mark.parametrize(
    ("updates", "change"),
    [
        ({}, Change.NONE),
        ({"progress": ProgressStatus(epoch=1, epochs=3, reported_time="2026-01-01T00:00:09Z")}, Change.NONE),
        ({"progress": ProgressStatus(epoch=2, epochs=3)}, Change.SOFT),
        ({"display": Display(nodes="1/2")}, Change.SOFT),
        ({"counted_pods": []}, Change.SOFT),
        ({"restarts": Restarts(process=1)}, Change.SOFT),
        ({"conditions": OTHER_WORDS}, Change.SOFT),
        ({"conditions": OTHER_REASON}, Change.HARD),
        ({"phase": "Restarting"}, Change.HARD),
        ({"attempt": 2}, Change.HARD),
        ({"restarts": Restarts(preemptions=1)}, Change.HARD),
        ({"observed_generation": 2}, Change.HARD),
    ],
)
def test_what_a_user_waits_for_is_written_at_once(updates: dict[str, Any], change: Change) -> None:
    """Progress, wording and displays can wait; the time of a report alone is no news."""
    assert change == choose_change(BEFORE, BEFORE.model_copy(update=updates))


def test_a_patch_holds_what_changed_and_nothing_else() -> None:
    """What went is null."""
    after = BEFORE.model_copy(update={"attempt": 2, "progress": None})

    assert {"attempt": 2, "progress": None} == build_patch(dump_status(BEFORE), dump_status(after))


def test_the_first_progress_is_written_at_once() -> None:
    """A user who has just seen Running looks for it."""
    before = BEFORE.model_copy(update={"progress": None})

    assert Change.HARD == choose_change(before, BEFORE)


@given(OBJECTS, OBJECTS)
def test_a_patched_object_is_the_one_that_was_meant(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The API server's merge and our difference are each other's inverse."""
    assert after == merge(before, build_patch(before, after))
