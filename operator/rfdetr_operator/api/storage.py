"""Where checkpoints live, what a run starts from, and when the operator gives up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from rfdetr_operator.api.fields import ApiModel, Name, Text, rule, rules


class ClaimTemplate(ApiModel):
    """A claim that the operator makes for the job."""

    storage: Annotated[str, Field(max_length=32)] = Field(description="Size, such as 50Gi.")
    storage_class_name: Name | None = Field(None, description="StorageClass. Default: the cluster's own.")
    access_modes: Annotated[
        list[Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]], Field(max_length=3)
    ] = Field(
        ["ReadWriteMany"], description="Access modes; more than one node needs ReadWriteMany. Default: [ReadWriteMany]."
    )


class Checkpoints(ApiModel):
    """Where checkpoints live and when they are made, beside every epoch's end."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.claimName) != has(self.volumeClaimTemplate)",
                "checkpoints needs exactly one of claimName and volumeClaimTemplate",
                reason="FieldValueInvalid",
            )
        )
    )

    claim_name: Name | None = Field(None, description="PersistentVolumeClaim that exists; jobs may share it.")
    volume_claim_template: ClaimTemplate | None = Field(None, description="Claim to be made as JOB-checkpoints.")
    retain: bool = Field(
        True, description="Keep a claim made from the template when the job is deleted. Default: true."
    )
    every_steps: int | None = Field(
        None,
        ge=1,
        le=10000000,
        description="Optimizer steps between checkpoints, beside each epoch's end. Default: off. With neither this nor "
        "everyMinutes: as often as the stall that was measured and the interruptions that were seen are worth "
        "(15 seconds to 30 minutes).",
    )
    every_minutes: float | None = Field(
        None, gt=0, le=10080, description="Minutes between checkpoints, beside each epoch's end. Default: off."
    )
    keep_last: int = Field(2, ge=1, le=1000, description="Newest checkpoints that are kept. Default: 2.")
    keep_best: int = Field(1, ge=0, le=1000, description="Best checkpoints that are kept beside them. Default: 1.")


class Resume(ApiModel):
    """Where the full state (weights, optimizer, EMA, counters, position) comes from."""

    source: Text = Field(
        "auto",
        alias="from",
        description="auto: this very job's newest checkpoint; never: start fresh; previous: the newest run of the same "
        "name and model; or a checkpoint path below the claim. Default: auto.",
    )
    allow_dataset_change: bool = Field(
        False,
        description="true: go on although the data set's annotations are not those of the checkpoint; the classes must "
        "be the same. Default: false, and the job fails with both fingerprints.",
    )


YEAR = 31_622_400  # seconds


class RunPolicy(ApiModel):
    """When the operator gives up, and what is left of a job that ended."""

    max_restarts: int = Field(
        10,
        ge=0,
        le=100000,
        description="Failures of pods that are mended by a restart; preemptions do not count. Default: 10.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=YEAR,
        description="Seconds after its start, or after it was resumed from a suspension, in which the job must end; then it "
        "fails. Default: no limit.",
    )
    startup_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=YEAR,
        description="Seconds in which every pod of an attempt must run; then the job fails and gives back what it holds. "
        "Default: no limit.",
    )
    hang_timeout_seconds: int | None = Field(
        None,
        ge=10,
        le=YEAR,
        description="Seconds in which no rank makes progress, in any phase, after which the run hangs: its stacks are logged and it "
        "goes on from its last checkpoint. Default: a limit for each phase, from what the run has needed so far.",
    )
    ttl_seconds_after_succeeded: int | None = Field(
        None, ge=0, le=YEAR, description="Seconds after which a job that succeeded is deleted. Default: never."
    )
    ttl_seconds_after_failed: int | None = Field(
        None, ge=0, le=YEAR, description="Seconds after which a job that failed is deleted. Default: never."
    )
    clean_pod_policy: Literal["Running", "All", "None"] = Field(
        "Running",
        description="Which pods are deleted when the job ends: those that still run, all of them, or none. Default: Running.",
    )
