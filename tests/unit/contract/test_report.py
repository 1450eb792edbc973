"""The report fits the kubelet's limit and stays valid JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfdetr_contract.names import TERMINATION_LIMIT
from rfdetr_contract.report import ExitCode, FailureReason, Outcome, Progress, RunReport, Scores, exit_code


def make_report(message: str, last_lines: str) -> RunReport:
    """A failed report."""
    return RunReport(
        outcome=Outcome.FAILED, reason=FailureReason.USER_CODE, message=message, node_rank=1, last_lines=last_lines
    )


@given(st.text(max_size=5000), st.text(max_size=20000))
def test_a_termination_message_fits_and_parses(message: str, last_lines: str) -> None:
    """However long the words, the message has at most 4096 bytes and is a report with the same outcome."""
    text = make_report(message, last_lines).to_termination_message()

    parsed = RunReport.model_validate_json(text)
    assert (True, Outcome.FAILED, FailureReason.USER_CODE) == (
        len(text.encode()) <= TERMINATION_LIMIT,
        parsed.outcome,
        parsed.reason,
    )


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
