"""Events of events.k8s.io: a deterministic name by what is said, so that saying it again raises a count."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from rfdetr_contract import names
from rfdetr_operator.core.model import Notice
from rfdetr_operator.shell.cluster import Key

NOTE_LIMIT = 1024


def build_event_name(key: Key, uid: str, notice: Notice) -> str:
    """The event's name: the same words about the same job always have the same one."""
    said = f"{uid}\n{notice.type}\n{notice.reason}\n{notice.message}"
    return f"{key.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def format_micro(now: datetime) -> str:
    """A MicroTime."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def build_event(key: Key, uid: str, notice: Notice, now: datetime, instance: str) -> dict[str, Any]:
    """The event as it is said for the first time."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": build_event_name(key, uid, notice), "namespace": key.namespace},
        "eventTime": format_micro(now),
        "reportingController": names.REPORTING_CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": notice.reason,
        "type": notice.type,
        "note": notice.message[:NOTE_LIMIT],
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
    }


def build_series(event: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The patch that says that it was said once more."""
    count = (event.get("series") or {}).get("count", 1)
    return {"series": {"count": count + 1, "lastObservedTime": format_micro(now)}}
