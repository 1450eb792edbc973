"""The API server itself refuses a bad spec, in a sentence that says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.harness.commands import CommandError
from cluster.harness.workspace import PodFields
from cluster.jobs import Kubectl, make_job

pytestmark = pytest.mark.cluster

BAD = [
    pytest.param(
        {"model": {"resolution": 600}},
        "resolution 600 must be a multiple of 32 for nano; nearest: 576 or 608",
        id="resolution not divisible",
    ),
    pytest.param(
        {"nodes": 3},
        "effectiveBatchSize 4 cannot be split over 3 ranks (nodes x processes); nearest: 3 or 6",
        id="batch not divisible",
    ),
    pytest.param(
        {"nodes": 8},
        "effectiveBatchSize 4 is smaller than the 8 ranks (nodes x processes); nearest: 8",
        id="batch too small",
    ),
    pytest.param(
        {"pod": {"env": [{"name": "PET_NNODES", "value": "3"}]}},
        "env PET_NNODES belongs to the operator; use spec.nodes and spec.gpusPerNode instead",
        id="reserved environment",
    ),
    pytest.param(
        {"checkpoints": {"volumeClaimTemplate": {"storage": "1Gi"}}},
        "checkpoints needs exactly one of claimName and volumeClaimTemplate",
        id="two claims",
    ),
    pytest.param(
        {"training": {"batchSizePerDevice": "many"}},
        "batchSizePerDevice is auto or an integer from 1",
        id="batch size in words",
    ),
    pytest.param({"training": {"epochs": 0}}, "should be greater than or equal to 1", id="no epochs"),
    pytest.param({"model": {"variant": "huge"}}, 'supported values: "nano"', id="unknown variant"),
    pytest.param({"trainning": {}}, 'unknown field "spec.trainning"', id="a typo"),
]


@pytest.mark.parametrize(("spec", "sentence"), BAD)
def test_a_bad_spec_is_refused_in_a_useful_sentence(
    crds: None, kubectl: Kubectl, pod_fields: PodFields, spec: dict[str, Any], sentence: str
) -> None:
    """Before any resource is taken, with the operator up or down."""
    with pytest.raises(CommandError) as caught:
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(make_job("bad", pod_fields, spec)))

    assert sentence in str(caught.value)


def test_a_name_that_is_too_long_is_refused(crds: None, kubectl: Kubectl, pod_fields: PodFields) -> None:
    """Pods and the Service are named after the job."""
    with pytest.raises(CommandError, match=r"metadata\.name has 51 characters; at most 50"):
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(make_job("a" * 51, pod_fields)))


def test_explain_shows_a_description_of_each_field(crds: None, kubectl: Kubectl) -> None:
    """`kubectl explain rfj.spec.training` is the manual."""
    text = kubectl("explain", "rfj.spec.training.earlyStopping")

    assert "Validated epochs without an improvement. Default: 10." in " ".join(text.split())


def test_what_cannot_change_is_refused_and_what_can_is_taken(
    crds: None, kubectl: Kubectl, namespace: str, pod_fields: PodFields
) -> None:
    """suspend, nodes and runPolicy are the user's; the rest is a new job. A suspended phase alone opens spec.pod."""
    job = make_job("frozen", pod_fields, {"suspend": True})
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(job))

    def patch(spec: dict[str, Any]) -> str:
        body = json.dumps({"spec": spec})
        return kubectl("-n", namespace, "patch", "rfj", "frozen", "--type=merge", "-p", body)

    with pytest.raises(CommandError, match="model cannot be changed after creation"):
        patch({"model": {"variant": "small"}})
    with pytest.raises(CommandError, match="cannot be split over 3 ranks"):
        kubectl("-n", namespace, "scale", "rfj/frozen", "--replicas=3")
    patch({"runPolicy": {"maxRestarts": 3}})
    kubectl("-n", namespace, "scale", "rfj/frozen", "--replicas=4")

    stored = json.loads(kubectl("-n", namespace, "get", "rfj", "frozen", "-o", "json"))["spec"]
    assert (4, 3, "nano") == (stored["nodes"], stored["runPolicy"]["maxRestarts"], stored["model"]["variant"])
