"""What a cluster would refuse a manifest with, and what this machine cannot do or ignores: sentences. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pydantic

from rfdetr_contract import names
from rfdetr_operator.api.v1alpha1 import Metadata, Spec, TrainingJob
from rfdetr_operator.core.run_config import SpecError, build_run_config, choose_batch, choose_resolution

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
CLUSTER_ONLY = {
    "image": "pod.image",
    "image_pull_policy": "pod.imagePullPolicy",
    "image_pull_secrets": "pod.imagePullSecrets",
    "resources": "pod.resources",
    "node_selector": "pod.nodeSelector",
    "tolerations": "pod.tolerations",
    "affinity": "pod.affinity",
    "priority_class_name": "pod.priorityClassName",
    "scheduler_name": "pod.schedulerName",
    "service_account_name": "pod.serviceAccountName",
}


def find_mistakes(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Every sentence that a cluster would refuse the manifest with."""
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    found = []
    if body.get("apiVersion") != names.API_VERSION:
        found.append(f"apiVersion: {body.get('apiVersion')!r} is not known; allowed: {names.API_VERSION}")
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > names.MAX_JOB_NAME:
        found.append(
            f"metadata.name: {name!r} must be 1 to {names.MAX_JOB_NAME} of a-z, 0-9 and -, "
            "with a letter or digit at both ends"
        )
    try:
        spec = Spec.model_validate(body.get("spec") or {})
    except pydantic.ValidationError as error:
        return (*found, *dict.fromkeys(describe_error(each) for each in error.errors()))
    job = TrainingJob(metadata=Metadata(name=str(name)), spec=spec)
    return (*found, *dict.fromkeys(rule_mistakes(job)))


def describe_error(error: Mapping[str, Any]) -> str:
    """One pydantic error as a sentence with the field's path."""
    path = [str(part) for part in error["loc"] if not is_union_branch(str(part))]
    field = ".".join(["spec", *path])
    match error["type"]:
        case "missing":
            return f"{field}: is required"
        case "extra_forbidden":
            known = known_fields(path[:-1])
            close = find_close(path[-1], known)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            return f"{field}: unknown field; {hint}"
    message = str(error["msg"])
    return f"{field}: {error['input']!r} is not allowed: {message[:1].lower()}{message[1:]}"


def find_close(word: str, known: tuple[str, ...]) -> list[str]:
    """Known names that resemble a word, or begin with it."""
    begin = [name for name in known if name.lower().startswith(word.lower())]
    return difflib.get_close_matches(word, known, n=1) or begin


def is_union_branch(part: str) -> bool:
    """Whether a part of pydantic's location names a branch of a union and not a field."""
    return part == "int" or part.startswith("literal[")


def known_fields(path: list[str]) -> tuple[str, ...]:
    """The fields of the model at a path of the spec."""
    model: type[pydantic.BaseModel] = Spec
    for part in path:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        kinds = [fields[part].annotation, *get_args(fields[part].annotation)] if part in fields else []
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)]
        if models:
            model = models[0]
    return tuple(field.alias or name for name, field in model.model_fields.items())


def rule_mistakes(job: TrainingJob) -> Iterator[str]:
    """What the schema's rules (CEL) say, for a spec whose fields are each right."""
    for build in (choose_resolution_of, choose_batch, build_first_run):
        try:
            build(job)
        except SpecError as error:
            yield f"spec.{error}"
    spec = job.spec
    checkpoints = spec.checkpoints
    if (checkpoints.claim_name is None) == (checkpoints.volume_claim_template is None):
        yield "spec.checkpoints: needs exactly one of claimName and volumeClaimTemplate"
    template = checkpoints.volume_claim_template
    if spec.nodes > 1 and template and "ReadWriteMany" not in template.access_modes:
        yield "spec.checkpoints.volumeClaimTemplate.accessModes: more than one node needs ReadWriteMany"
    for variable in spec.pod.env:
        if names.is_reserved_env(variable.name):
            yield f"spec.pod.env: {variable.name} belongs to the operator; use spec.nodes and spec.gpusPerNode instead"


def choose_resolution_of(job: TrainingJob) -> object:
    """The job's resolution, for its refusal."""
    return choose_resolution(job.spec)


def build_first_run(job: TrainingJob) -> object:
    """The first attempt's RunConfig, for its refusal."""
    return build_run_config(job, attempt=1)


def local_mistakes(spec: Spec) -> Iterator[str]:
    """What a cluster would take and this machine cannot do."""
    if spec.pod.env_from:
        yield "spec.pod.envFrom: needs a cluster; give the variables in spec.pod.env"
    for variable in spec.pod.env:
        if variable.value_from and "fieldRef" not in variable.value_from:
            source = next(iter(variable.value_from))
            yield f"spec.pod.env: {variable.name} takes its value from {source}, which needs a cluster; give a value"
    for volume in spec.pod.volumes:
        if not {"emptyDir", "hostPath", "persistentVolumeClaim", "downwardAPI"} & set(volume):
            yield f"spec.pod.volumes: {volume.get('name')!r} is of a kind that needs a cluster"


def without_effect(spec: Spec) -> tuple[str, ...]:
    """Fields that are set and that this machine ignores."""
    found = [
        path for field, path in CLUSTER_ONLY.items() if field in spec.pod.model_fields_set and getattr(spec.pod, field)
    ]
    return tuple(found + (["gpusPerNode scheduling"] if spec.gpus_per_node else []))
