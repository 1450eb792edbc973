"""Save, launcher's limit, grace period: the inequality, from saves that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.launcher_pods import build_run
from rfdetr_contract.run import LimitsRun
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.launch.settings import load_run
from rfdetr_trainer.launch.stop_limit import find_short_stop, measure_step
from rfdetr_trainer.messages import Pulse

LIMITS = LimitsRun(stop_seconds=110, grace_seconds=120)


@pytest.mark.parametrize(("save", "step"), [(0.0, 0.0), (3.0, 0.5), (50.0, 5.0)])
def test_a_step_and_a_save_that_fit_twice_are_no_news(save: float, step: float) -> None:
    """A signal may just have missed a step, and a volume may be slower on that day."""
    assert "" == find_short_stop(save, step, LIMITS)


@pytest.mark.parametrize(("save", "step"), [(76.0, 4.0), (5.0, 75.0)])
def test_what_may_not_end_in_time_is_warned_of_with_a_period_that_would_do(save: float, step: float) -> None:
    """The sentence names the field and a value under which the same step and save are fine."""
    words = (
        f"a checkpoint took {save:.0f} s, a step takes {step:.1f} s, and a pod that is told to stop has 110 s: "
        "set pod.terminationGracePeriodSeconds=170 or more"
    )

    assert words == find_short_stop(save, step, LIMITS)
    assert "" == find_short_stop(save, step, LimitsRun(stop_seconds=160, grace_seconds=170))


def test_a_few_steps_tell_nothing_of_their_length() -> None:
    """The first one chooses kernels."""
    pulses = Pulse(steps=9, step_seconds=90.0), Pulse(steps=20, step_seconds=50.0)

    assert [0.0, 2.5] == [measure_step(pulse) for pulse in pulses]


def test_a_run_whose_launcher_may_outlive_its_pod_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """The field, both values, and why."""
    run = json.loads(build_run().to_json())
    run["limits"] |= {"stop_seconds": 30, "grace_seconds": 30}
    (tmp_path / "run.json").write_text(json.dumps(run))

    with pytest.raises(ConfigError, match="limits: stop_seconds=30 must be below grace_seconds=30: the pod is killed"):
        load_run(tmp_path / "run.json")
