"""Field types of the resource: every string has a maximum length, every list and map a maximum size."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """Frozen, camelCase outside and snake_case inside. The API server prunes what it does not know; we refuse it."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class StatusModel(BaseModel):
    """Status is read back from clusters of other releases: what is unknown is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


Name = Annotated[str, Field(max_length=253)]
Label = Annotated[str, Field(max_length=63)]
Text = Annotated[str, Field(max_length=1024)]
LongText = Annotated[str, Field(max_length=4096)]
Number = Annotated[str, Field(max_length=16)]
Time = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
Free = Annotated[dict[str, Any], Field(max_length=64)]
FreeObject = Annotated[dict[str, Any], Field(max_length=64)]
StringMap = Annotated[dict[str, LongText], Field(max_length=64)]


def rule(cel: str, message: str, **extra: str) -> dict[str, str]:
    """One CEL rule: ``message`` is the sentence; ``messageExpression``, ``fieldPath`` and ``reason`` may be given."""
    return {"rule": cel, "message": message, **extra}


def rules(*each: dict[str, str]) -> dict[str, Any]:
    """The schema extension that carries CEL rules."""
    return {"x-kubernetes-validations": list(each)}
