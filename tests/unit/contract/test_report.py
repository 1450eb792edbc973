"""The report fits the kubelet's limit and stays valid JSON."""

from __future__ import annotations

import json
import math
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rfdetr_contract.names import TERMINATION_LIMIT
from rfdetr_contract.report import ExitCode, FailureReason, Outcome, Progress, RunReport, Scores, World, exit_code


def make_report(message: str, last_lines: str) -> RunReport:
    """A failed report."""
    return RunReport(
        outcome=Outcome.FAILED, reason=FailureReason.USER_CODE, message=message, node_rank=1, last_lines=last_lines
    )


WORDS = st.builds(lambda word, times: word * times, st.text(min_size=1, max_size=4), st.integers(0, 600))


def vary(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, long ones among them."""
    if kind is str:
        return WORDS
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {name: vary(field.annotation) for name, field in kind.model_fields.items()}
        return st.fixed_dictionaries(fields).map(kind.model_validate)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return st.floats()
    if origin in {Union, UnionType}:
        return st.one_of([vary(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(vary(arguments[0]), max_size=16).map(tuple)
    if origin is dict:
        return st.dictionaries(vary(arguments[0]), vary(arguments[1]), max_size=8)
    return st.from_type(kind)


def get_identity(report: RunReport) -> tuple[object, ...]:
    """Which pod, which round, how it ended and who did it."""
    pod = (report.node_rank, report.attempt, report.generation)
    return (*pod, report.outcome, report.reason, report.culprit_rank)


def test_a_loss_that_is_no_number_is_told_and_any_other_such_number_is_refused() -> None:
    """Valid JSON all the same; the alert is about what is told here."""
    progress = Progress(epoch=0, epochs=1, step=3, steps_per_epoch=5, losses={"box": math.inf, "class": math.nan})

    text = progress.model_dump_json(include={"losses"})
    read = Progress.model_validate_json(progress.model_dump_json())

    assert {"losses": {"box": "Infinity", "class": "NaN"}} == json.loads(text)
    assert (math.inf, True) == (read.losses["box"], math.isnan(read.losses["class"]))
    with pytest.raises(ValidationError, match="finite number"):
        Progress(epoch=0, epochs=1, step=3, steps_per_epoch=5, eta_seconds=math.inf)


@given(vary(RunReport))
def test_a_termination_message_fits_and_parses_whatever_is_in_the_report(report: RunReport) -> None:
    """At most 4096 bytes, however long any field is; the culprit, its last lines and the words before them survive."""
    text = report.to_termination_message()

    parsed = RunReport.model_validate_json(text)
    assert len(text.encode()) <= TERMINATION_LIMIT
    assert get_identity(report) == get_identity(parsed)
    assert (True, True) == (report.last_lines.endswith(parsed.last_lines), report.message.startswith(parsed.message))
    assert len(parsed.last_lines) >= min(300, len(report.last_lines))
    assert len(parsed.message) >= min(120, len(report.message))


def test_what_the_metrics_tell_as_well_goes_before_the_state_of_the_run() -> None:
    """A failed run with many devices still says where it stood, and its best."""
    progress = Progress(epoch=1, epochs=9, step=70, steps_per_epoch=60, losses={f"loss {n}": 0.5 for n in range(200)})
    world = World(expected=16, attested=16, devices=("a GPU with a name " * 8,) * 16)
    report = make_report("the loss is not a number", "line 1").model_copy(
        update={"progress": progress, "world": world, "best_checkpoint": "runs/a/best.pth", "culprit_rank": 3}
    )

    lean = {"progress": progress.model_copy(update={"losses": {}}), "world": world.model_copy(update={"devices": ()})}
    assert report.model_copy(update=lean) == RunReport.model_validate_json(report.to_termination_message())


def test_a_short_report_is_told_whole() -> None:
    """Nothing is cut when everything fits."""
    report = make_report("the loss is not a number", "line 1\nline 2")

    assert report == RunReport.model_validate_json(report.to_termination_message())


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        (Outcome.COMPLETED, None, ExitCode.OK),
        (Outcome.EARLY_STOPPED, None, ExitCode.OK),
        (Outcome.PREEMPTED, None, ExitCode.PREEMPTED),
        (Outcome.FAILED, None, ExitCode.FAILED),
        (Outcome.FAILED, FailureReason.DATA_ERROR, ExitCode.DATA_ERROR),
        (Outcome.FAILED, FailureReason.CONFIG_ERROR, ExitCode.CONFIG_ERROR),
        (Outcome.FAILED, FailureReason.CUDA_OOM, ExitCode.FAILED),
    ],
)
def test_each_outcome_has_its_exit_code(outcome: Outcome, reason: FailureReason | None, code: ExitCode) -> None:
    """People who run it by hand can tell the ends apart."""
    assert code == exit_code(outcome, reason)


def test_the_map_of_a_run_is_the_better_of_regular_and_ema() -> None:
    """EMA weights may lag behind early in a run."""
    regular, ema = Scores(map50_95=0.4, map50=0.6), Scores(map50_95=0.3, map50=0.7)

    progress = Progress(epoch=1, epochs=2, step=10, steps_per_epoch=10, regular=regular, ema=ema)

    assert regular == progress.scores
