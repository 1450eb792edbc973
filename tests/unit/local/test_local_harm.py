"""When which rank is harmed."""

from __future__ import annotations

import pytest

from rfdetr_contract.report import Outcome, Progress, RunReport
from rfdetr_operator.shell.local_harm import Harm, is_due, parse_harm


def make_report(epoch: int, step: int) -> RunReport:
    """A live report at a place of the run."""
    return RunReport(outcome=Outcome.RUNNING, progress=Progress(epoch=epoch, epochs=9, step=step, steps_per_epoch=10))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1@epoch:3", Harm("preempt", 1, "epoch", 3)),
        ("0@step:50", Harm("preempt", 0, "step", 50)),
        ("1@30s", Harm("preempt", 1, "seconds", 30)),
        ("1@0.5s", Harm("preempt", 1, "seconds", 0.5)),
    ],
)
def test_a_harm_is_a_rank_and_a_moment(text: str, expected: Harm) -> None:
    """RANK@WHEN in its three forms."""
    assert expected == parse_harm("preempt", text, ranks=2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1", "--kill '1' is not RANK@WHEN; WHEN is epoch:3, step:50 or 30s"),
        ("1@epoch", "--kill '1@epoch' is not RANK@WHEN; WHEN is epoch:3, step:50 or 30s"),
        ("2@30s", "--kill '2@30s': node rank 2 does not exist; the job has ranks 0 to 1"),
    ],
)
def test_a_harm_that_cannot_be_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    """The sentence names the option, the value and what is allowed."""
    with pytest.raises(ValueError, match="--kill") as refused:
        parse_harm("kill", text, ranks=2)

    assert sentence == str(refused.value)


@pytest.mark.parametrize(
    ("harm", "report", "elapsed", "expected"),
    [
        (Harm("kill", 0, "seconds", 5), None, 4.9, False),
        (Harm("kill", 0, "seconds", 5), None, 5.0, True),
        (Harm("kill", 0, "step", 5), None, 99.0, False),
        (Harm("kill", 0, "step", 5), make_report(0, 4), 0.0, False),
        (Harm("kill", 0, "step", 5), make_report(0, 6), 0.0, True),
        (Harm("kill", 0, "epoch", 2), make_report(1, 19), 0.0, False),
        (Harm("kill", 0, "epoch", 2), make_report(2, 20), 0.0, True),
    ],
)
def test_a_harm_is_due_once_its_moment_is_reached(
    harm: Harm, report: RunReport | None, elapsed: float, expected: bool
) -> None:
    """A moment that was jumped over counts as reached; without a report no step is."""
    assert expected == is_due(harm, report, elapsed)
