"""What the API server does to a manifest before it stores it, for local mode: admission and identity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rfdetr_contract import names
from rfdetr_operator.api.v1alpha1 import IMMUTABLE, Spec, TrainingJob, parse_job
from rfdetr_operator.shell.cluster import Body
from rfdetr_operator.shell.local_checks import find_mistakes, local_mistakes


class Mistakes(ValueError):
    """A manifest that is not taken; each mistake is one sentence that begins with its field."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def parse_manifest(text: str) -> Body:
    """The one job of a YAML file; other kinds beside it are for a cluster.

    Raises:
        Mistakes: no YAML, or not exactly one job.

    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise Mistakes(f"not YAML: {' '.join(str(error).split())}") from None
    jobs = [each for each in documents if isinstance(each, dict) and each.get("kind") == names.KIND]
    if len(jobs) != 1:
        kinds = [str(each.get("kind")) if isinstance(each, dict) else type(each).__name__ for each in documents]
        raise Mistakes(
            f"kind: {len(jobs)} objects of kind {names.KIND} where one is wanted; "
            f"found: {', '.join(kinds) or 'nothing'}"
        )
    return dict(jobs[0])


def admit(body: Mapping[str, Any], stored: Body | None, uid: str, now: str) -> Body:
    """The object as it is stored: a new one, or the stored one with what may change changed and ``suspend`` as written.

    Raises:
        Mistakes: the manifest is not taken.

    """
    found = find_mistakes(body) or tuple(local_mistakes(Spec.model_validate(body["spec"])))
    if found:
        raise Mistakes(*found)
    return build_new(body, uid, now) if stored is None else change(stored, body["spec"])


def build_new(body: Mapping[str, Any], uid: str, now: str) -> Body:
    """The object of a manifest, as the API server would store it first."""
    metadata = body["metadata"]
    return {
        **{key: body[key] for key in ("apiVersion", "kind", "spec")},
        "metadata": {
            **{key: metadata[key] for key in ("name", "labels", "annotations") if key in metadata},
            "namespace": metadata.get("namespace", "default"),
            "uid": uid,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": now,
        },
    }


def change(stored: Body, spec: Mapping[str, Any]) -> Body:
    """The stored object with another spec, one generation on; the same object when nothing changes.

    Raises:
        Mistakes: a field would change that cannot.

    """
    before, after = parse_job(stored), parse_job({**stored, "spec": spec})
    changed = changed_fields(before, after)
    if changed:
        raise Mistakes(
            *(
                f"spec.{name}: cannot be changed after creation; make a new job, or `rfdetrctl local clean` first"
                for name in changed
            )
        )
    if before.spec == after.spec:
        return stored
    kept = stored["metadata"]
    version = str(int(kept["resourceVersion"]) + 1)
    return {
        **stored,
        "spec": spec,
        "metadata": {**kept, "generation": kept["generation"] + 1, "resourceVersion": version},
    }


def changed_fields(before: TrainingJob, after: TrainingJob) -> tuple[str, ...]:
    """Immutable fields in which two specs of one job differ."""
    aliases = {field.alias or name: name for name, field in Spec.model_fields.items()}
    return tuple(
        name for name in IMMUTABLE if getattr(before.spec, aliases[name]) != getattr(after.spec, aliases[name])
    )
