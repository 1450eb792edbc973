"""Events: the same words are the same object, counted."""

from __future__ import annotations

from builders import START, later
from rfdetr_operator.core.model import Notice
from rfdetr_operator.shell.cluster import Key
from rfdetr_operator.shell.events import build_event, build_event_name, build_series

KEY = Key("team", "shelves")
NOTICE = Notice("Normal", "Preempted", "node rank 1 is being replaced after a preemption")


def test_the_same_words_about_the_same_job_have_the_same_name() -> None:
    """Another job, another word, another name."""
    name = build_event_name(KEY, "uid", NOTICE)

    assert [True, False, False] == [
        name == build_event_name(KEY, "uid", NOTICE),
        name == build_event_name(KEY, "other", NOTICE),
        name == build_event_name(KEY, "uid", Notice("Normal", "Preempted", "node rank 2")),
    ]


def test_an_event_is_about_the_job() -> None:
    """All that kubectl describe looks for."""
    event = build_event(KEY, "uid", NOTICE, START, "operator-0")

    assert {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": build_event_name(KEY, "uid", NOTICE), "namespace": "team"},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "rfdetr.io/operator",
        "reportingInstance": "operator-0",
        "action": "Reconcile",
        "reason": "Preempted",
        "type": "Normal",
        "note": "node rank 1 is being replaced after a preemption",
        "regarding": {
            "apiVersion": "rfdetr.io/v1alpha1",
            "kind": "RFDETRTrainingJob",
            "namespace": "team",
            "name": "shelves",
            "uid": "uid",
        },
    } == event


def test_a_repeated_event_is_counted() -> None:
    """The second time starts the series."""
    second = build_series({}, later(1))
    third = build_series(second, later(2))

    assert [
        {"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}},
        {"series": {"count": 3, "lastObservedTime": "2026-01-02T03:04:07.000000Z"}},
    ] == [second, third]
