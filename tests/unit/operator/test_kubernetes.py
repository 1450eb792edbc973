"""Answers of the API server in the shell's words."""

from __future__ import annotations

from typing import Any

import pytest

from builders import JOB, UID, make_job
from fake_cluster import make_claim_body
from rfdetr_operator.core.manifests import build_claim, build_service
from rfdetr_operator.core.model import Create
from rfdetr_operator.shell.cluster import ClusterError, Conflict, NamespaceEnding, Refused, Unavailable
from rfdetr_operator.shell.kubernetes import Answer, check, read_body, read_resource, read_retry_after
from rfdetr_operator.shell.kubernetes_cluster import is_ours

ENDING = {"message": "no", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {}, Unavailable),
        (429, {}, Unavailable),
        (500, {}, Unavailable),
        (504, {}, Unavailable),
        (409, {}, Conflict),
        (403, {}, Refused),
        (403, ENDING, NamespaceEnding),
        (422, {}, Refused),
    ],
)
def test_each_status_has_its_word(status: int, body: dict[str, Any], error: type[ClusterError]) -> None:
    """What may pass is tried again; a namespace that ends is not."""
    with pytest.raises(ClusterError) as raised:
        check(Answer(status, body), "create Pod a")

    assert error is type(raised.value)


def test_an_error_says_what_was_tried_and_what_the_server_said() -> None:
    """In one line."""
    with pytest.raises(Refused) as raised:
        check(Answer(422, {"message": "spec.x: Invalid"}), "create Pod a")

    assert "create Pod a: 422 spec.x: Invalid" == str(raised.value)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/namespaces/pods/pods/pods", "pods"),
        ("/api/v1/namespaces/a/persistentvolumeclaims/b", "persistentvolumeclaims"),
        ("/apis/rfdetr.io/v1alpha1/namespaces/a/rfdetrtrainingjobs/b/status", "rfdetrtrainingjobs/status"),
        ("/apis/events.k8s.io/v1/namespaces/a/events", "events"),
        ("/version", "other"),
    ],
)
def test_a_metric_names_resources_and_no_objects(path: str, resource: str) -> None:
    """Few series, whatever users call their things."""
    assert resource == read_resource(path)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[1]", b"\xff"])
def test_an_answer_that_is_no_object_is_an_empty_one(raw: bytes) -> None:
    """A proxy in between may say anything."""
    assert {} == read_body(raw)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("3600", 60.0),
        ("", 0.0),
        ("-1", 0.0),
        ("soon", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
    ],
)
def test_a_retry_after_is_read_within_reason(header: str, seconds: float) -> None:
    """In seconds, at most a minute; whatever else it says is none."""
    assert seconds == read_retry_after(header)


def test_a_retained_claim_of_an_earlier_job_is_taken_up_again() -> None:
    """It has no owner and our label; a stranger's claim of the same name is not touched."""
    job = make_job(checkpoints={"volumeClaimTemplate": {"storage": "1Gi"}})
    wanted = Create("PersistentVolumeClaim", build_claim(job))
    retained = build_claim(job)
    retained["metadata"]["labels"] |= {"rfdetr.io/job-uid": "earlier"}

    assert [True, False] == [
        is_ours(retained, wanted, UID),
        is_ours(make_claim_body(f"{JOB}-checkpoints"), wanted, UID),
    ]


def test_a_service_of_an_earlier_job_is_not_ours() -> None:
    """Its owner is gone, and so will it be."""
    job = make_job()
    earlier = build_service(job)
    earlier["metadata"]["ownerReferences"][0]["uid"] = "earlier"

    assert not is_ours(earlier, Create("Service", build_service(job)), UID)
