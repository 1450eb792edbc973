"""Save, launcher's limit, grace period: the inequality, from saves that were measured."""

from __future__ import annotations

import pytest

from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.launch.stop_limit import find_short_stop

LIMITS = LimitsRun(stop_seconds=110, grace_seconds=120)


@pytest.mark.parametrize("seconds", [0.0, 3.0, 55.0])
def test_a_save_that_fits_twice_is_no_news(seconds: float) -> None:
    """A step has to end first, and a volume may be slower on that day."""
    assert "" == find_short_stop(seconds, LIMITS)


def test_a_save_that_may_not_end_in_time_is_warned_of_with_a_period_that_would_do() -> None:
    """The sentence names the field and a value under which the same save is fine."""
    words = (
        "a checkpoint took 80 s and a pod that is told to stop has 110 s: "
        "set pod.terminationGracePeriodSeconds=170 or more"
    )

    assert words == find_short_stop(80.0, LIMITS)
    assert "" == find_short_stop(80.0, LimitsRun(stop_seconds=160, grace_seconds=170))
