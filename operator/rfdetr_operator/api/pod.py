"""How the pods of a job are made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from rfdetr_contract import names
from rfdetr_operator.api.fields import (
    ApiModel,
    FreeObject,
    Label,
    LongText,
    Name,
    StringMap,
    rule,
    rules,
)


class EnvVar(ApiModel):
    """A variable of the trainer's environment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!(self.name in {sorted(names.RESERVED_ENV)}) && "
                + " && ".join(f"!self.name.startsWith('{prefix}')" for prefix in names.RESERVED_ENV_PREFIXES),
                "this name of the environment belongs to the operator; use spec.nodes and spec.gpusPerNode instead",
                messageExpression="'env %s belongs to the operator; use spec.nodes and spec.gpusPerNode instead'"
                ".format([self.name])",
                fieldPath=".name",
                reason="FieldValueForbidden",
            )
        )
    )

    name: Annotated[str, Field(max_length=128)] = Field(description="Name.")
    value: LongText | None = Field(None, description="Value. Default: empty.")
    value_from: FreeObject | None = Field(None, description="Source of the value, as in a pod.")


class Pod(ApiModel):
    """How the pods are made. Only a suspended job may change it."""

    image: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Trainer image. Default: the operator's."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When the image is pulled. Default: Kubernetes' own rule."
    )
    image_pull_secrets: Annotated[list[FreeObject], Field(max_length=16)] = Field(
        [], description="Pull secrets. Default: []."
    )
    resources: FreeObject = Field(
        {}, description="Requests and limits; the GPUs are added from gpusPerNode. Default: {}."
    )
    node_selector: Annotated[dict[str, Label], Field(max_length=32)] = Field(
        {}, description="Node selector. Default: {}."
    )
    tolerations: Annotated[list[FreeObject], Field(max_length=32)] = Field([], description="Tolerations. Default: [].")
    affinity: FreeObject = Field({}, description="Affinity. Default: {}.")
    priority_class_name: Name | None = Field(None, description="Priority class. Default: the cluster's own.")
    scheduler_name: Name | None = Field(None, description="Scheduler. Default: the cluster's own.")
    service_account_name: Name | None = Field(
        None, description="Service account; its token is never mounted. Default: default."
    )
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(
        [],
        description="Environment of the trainer. Default: [].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    env_from: Annotated[list[FreeObject], Field(max_length=16)] = Field(
        [], description="Sources of the environment. Default: []."
    )
    volumes: Annotated[list[FreeObject], Field(max_length=32)] = Field([], description="More volumes. Default: [].")
    volume_mounts: Annotated[list[FreeObject], Field(max_length=32)] = Field(
        [], description="Their mounts. Default: []."
    )
    labels: StringMap = Field({}, description="More labels of the pods. Default: {}.")
    annotations: StringMap = Field({}, description="More annotations of the pods. Default: {}.")
    shared_memory: Annotated[str, Field(max_length=32)] = Field(
        "8Gi", description="Size limit of /dev/shm, which data-loader processes need. Default: 8Gi."
    )
    termination_grace_period_seconds: int = Field(
        120, ge=10, le=86400, description="Seconds a pod has to save and leave. Default: 120."
    )
