"""When and how a status is written: what a user waits for at once, progress at a pace, and only what changed."""

from __future__ import annotations

import enum
from typing import Any

from rfdetr_operator.api.v1alpha1 import Status

SOFT = frozenset({"display", "progress", "world", "countedPods", "refusedTime"})


class Change(enum.StrEnum):
    """How urgent a status write is."""

    NONE = "none"
    SOFT = "soft"  # at a pace
    HARD = "hard"  # now


def dump_status(status: Status) -> dict[str, Any]:
    """The status as the API server stores it."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if value != []}


def build_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch from one object to another: what went is null, lists are whole."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := build_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def choose_change(before: Status, after: Status) -> Change:
    """How urgent the difference is. The first progress is awaited; later progress and the wording of a condition can wait."""
    if before == after:
        return Change.NONE
    first_news = before.progress is None and after.progress is not None
    if first_news or _keep_hard(before) != _keep_hard(after):
        return Change.HARD
    patch = build_patch(dump_status(before), dump_status(after))
    told = patch.get("progress") or {}
    if not patch or (patch.keys() == {"progress"} and told.keys() == {"reportedTime"}):
        return Change.NONE
    return Change.SOFT


def _keep_hard(status: Status) -> dict[str, Any]:
    kept = {key: value for key, value in dump_status(status).items() if key not in SOFT}
    kept["conditions"] = [{**each, "message": ""} for each in kept.get("conditions", [])]
    if "restarts" in kept:
        kept["restarts"] = {**kept["restarts"], "process": 0}
    return kept
