"""What is taken, what is refused, and what a second run of a manifest may change."""

from __future__ import annotations

from typing import Any

import pytest

from rfdetr_operator.api.v1alpha1 import Spec
from rfdetr_operator.shell.local_admission import Mistakes, admit, parse_manifest
from rfdetr_operator.shell.local_checks import find_mistakes, local_mistakes, without_effect

NOW = "2026-01-01T00:00:00Z"


def make_manifest(**spec: object) -> dict[str, Any]:
    """A right manifest of two nodes, with parts of its spec replaced."""
    return {
        "apiVersion": "rfdetr.io/v1alpha1",
        "kind": "RFDETRTrainingJob",
        "metadata": {"name": "shelves"},
        "spec": {
            "nodes": 2,
            "gpusPerNode": 0,
            "dataset": {"claimName": "data"},
            "checkpoints": {"claimName": "runs"},
            **spec,
        },
    }


def test_a_new_job_gets_what_the_api_server_gives() -> None:
    """Identity, namespace and first generation; the spec stays as written."""
    body = make_manifest()

    admitted = admit(body, None, "uid-1", NOW)

    assert admitted == {
        **body,
        "metadata": {
            "name": "shelves",
            "namespace": "default",
            "uid": "uid-1",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": NOW,
        },
    }


def test_the_same_manifest_again_changes_nothing() -> None:
    """Defaults written out are no change."""
    stored = admit(make_manifest(), None, "uid-1", NOW)

    assert stored is admit(make_manifest(suspend=False, processesPerNode=1), stored, "uid-2", NOW)


def test_a_suspended_job_goes_on_under_its_own_uid() -> None:
    """The manifest says what is wished: it has no ``suspend``, so the stored one ends."""
    stored = admit(make_manifest(suspend=True), None, "uid-1", NOW)

    again = admit(make_manifest(), stored, "uid-2", NOW)

    assert again == {
        **make_manifest(),
        "metadata": {**stored["metadata"], "generation": 2, "resourceVersion": "2"},
    }


def test_an_immutable_field_that_changed_is_refused() -> None:
    """As on a cluster: another dataset is another job."""
    stored = admit(make_manifest(), None, "uid-1", NOW)

    with pytest.raises(Mistakes, match=r"^spec.dataset: cannot be changed after creation"):
        admit(make_manifest(dataset={"claimName": "other"}), stored, "uid-2", NOW)


@pytest.mark.parametrize(
    ("spec", "sentences"),
    [
        ({"training": {"epocs": 3}}, ("spec.training.epocs: unknown field; did you mean epochs?",)),
        ({"dataset": {}}, ("spec.dataset.claimName: is required",)),
        (
            {"training": {"epochs": 0}},
            ("spec.training.epochs: 0 is not allowed: input should be greater than or equal to 1",),
        ),
        (
            {"model": {"variant": "nano", "resolution": 100}},
            ("spec.model.resolution 100 must be a multiple of 32 for nano; nearest: 96 or 128",),
        ),
        ({"checkpoints": {}}, ("spec.checkpoints: needs exactly one of claimName and volumeClaimTemplate",)),
        (
            {"pod": {"env": [{"name": "RANK", "value": "0"}]}},
            ("spec.pod.env: RANK belongs to the operator; use spec.nodes and spec.gpusPerNode instead",),
        ),
    ],
)
def test_each_mistake_is_one_sentence_with_its_field(spec: dict[str, Any], sentences: tuple[str, ...]) -> None:
    """The field's path comes first, then the value and what is allowed."""
    assert sentences == find_mistakes(make_manifest(**spec))


def test_two_mistakes_are_two_sentences() -> None:
    """All are said at once."""
    found = find_mistakes(
        make_manifest(model={"resolution": 577}, training={"effectiveBatchSize": 15, "batchSizePerDevice": 4})
    )

    assert [sentence.split()[0] for sentence in found] == ["spec.model.resolution", "spec.training.effectiveBatchSize"]


def test_a_right_manifest_has_no_mistakes() -> None:
    """The builder's own manifest."""
    assert () == find_mistakes(make_manifest())


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, "spec.pod.envFrom: needs a cluster"),
        ({"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {}}}]}, "spec.pod.env: KEY takes its value from"),
        ({"volumes": [{"name": "v", "nfs": {}}]}, "spec.pod.volumes: 'v' is of a kind that needs a cluster"),
    ],
)
def test_what_this_machine_cannot_do_is_refused(pod: dict[str, Any], sentence: str) -> None:
    """A cluster would take it."""
    (found,) = local_mistakes(Spec.model_validate(make_manifest(pod=pod)["spec"]))

    assert found.startswith(sentence)


def test_fields_without_effect_are_named() -> None:
    """Only those that are set."""
    pod = {"image": "trainer:1", "nodeSelector": {"a": "b"}, "tolerations": []}

    assert ("pod.image", "pod.nodeSelector") == without_effect(Spec.model_validate(make_manifest(pod=pod)["spec"]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "^not YAML: "),
        ("", "^kind: 0 objects of kind RFDETRTrainingJob where one is wanted; found: nothing$"),
        ("kind: Pod", "^kind: 0 objects of kind RFDETRTrainingJob where one is wanted; found: Pod$"),
    ],
)
def test_a_file_without_one_job_is_refused(text: str, sentence: str) -> None:
    """What was found is said."""
    with pytest.raises(Mistakes, match=sentence):
        parse_manifest(text)
