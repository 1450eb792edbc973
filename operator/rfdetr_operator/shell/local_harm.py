"""Harm on request: which rank is preempted or killed, and when. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rfdetr_contract.report import RunReport

PATTERN = re.compile(r"(?P<rank>\d+)@(?:(?P<unit>epoch|step):(?P<count>\d+)|(?P<seconds>\d+(?:\.\d+)?)s)")


@dataclass(frozen=True, slots=True)
class Harm:
    """``preempt`` deletes the rank's pod gracefully, as a spot reclaim does; ``kill`` is kill -9 of its processes.

    ``unit`` says what ``at`` counts: finished epochs, optimizer steps, or seconds since the start of this run.
    """

    kind: Literal["preempt", "kill"]
    rank: int
    unit: Literal["epoch", "step", "seconds"]
    at: float

    def __str__(self) -> str:
        when = f"{self.at:g}s" if self.unit == "seconds" else f"{self.unit}:{self.at:g}"
        return f"--{self.kind} {self.rank}@{when}"


def parse_harm(kind: Literal["preempt", "kill"], text: str, ranks: int) -> Harm:
    """The harm that RANK@WHEN asks for.

    Raises:
        ValueError: it is not of that form, or there is no such rank.

    """
    found = PATTERN.fullmatch(text)
    if not found:
        raise ValueError(f"--{kind} {text!r} is not RANK@WHEN; WHEN is epoch:3, step:50 or 30s")
    rank = int(found["rank"])
    if rank >= ranks:
        raise ValueError(f"--{kind} {text!r}: node rank {rank} does not exist; the job has ranks 0 to {ranks - 1}")
    if found["seconds"]:
        return Harm(kind, rank, "seconds", float(found["seconds"]))
    unit: Literal["epoch", "step"] = "epoch" if found["unit"] == "epoch" else "step"
    return Harm(kind, rank, unit, int(found["count"]))


def is_due(harm: Harm, report: RunReport | None, elapsed: float) -> bool:
    """Whether the moment has come. ``report`` is rank 0's live one."""
    if harm.unit == "seconds":
        return elapsed >= harm.at
    progress = report.progress if report else None
    if progress is None:
        return False
    return (progress.epoch if harm.unit == "epoch" else progress.step) >= harm.at
