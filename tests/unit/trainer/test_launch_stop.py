"""Save, launcher's limit, grace period: the inequality, from saves that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.launcher_pods import build_run
from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.launch.settings import load_run
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


def test_a_run_whose_launcher_may_outlive_its_pod_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """The field, both values, and why."""
    run = json.loads(build_run().to_json())
    run["limits"] |= {"stop_seconds": 30, "grace_seconds": 30}
    (tmp_path / "run.json").write_text(json.dumps(run))

    with pytest.raises(ConfigError, match="limits: stop_seconds=30 must be below grace_seconds=30: the pod is killed"):
        load_run(tmp_path / "run.json")
