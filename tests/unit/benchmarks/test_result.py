"""How measurements become one line and an exit code."""

from __future__ import annotations

import json

import pytest

from benchmarks.result import Measured, Result, Verdict, build_result, choose_exit_code


def make_measured(*, ours: tuple[float, ...] = (1.0, 2.0, 1.5), faults: tuple[str, ...] = ()) -> Measured:
    return Measured(ours=ours, peer=(6.0, 9.0, 7.5), unit="s", goal=4.0, against="stock", faults=faults)


def test_a_result_compares_medians_and_says_how_noisy_ours_was() -> None:
    """The ratio is the peer's median over ours; noise is (max - min) / median of ours."""
    expected = Result(
        name="crash", ours=1.5, peer=7.5, unit="s", ratio=5.0, goal=4.0, met=True, runs=3, noise=0.67, load=0.5
    )

    assert expected == build_result("crash", make_measured(), load=0.5)


def test_a_fault_is_not_outweighed_by_speed() -> None:
    """A recovery that took two rounds fails the benchmark whatever its ratio."""
    assert not build_result("crash", make_measured(faults=("kill 1 took 2 rounds",)), load=0.0).met


def test_a_ratio_below_its_goal_is_not_met_by_rounding() -> None:
    """3.999 prints as 4.0 and is still below 4."""
    result = build_result("crash", make_measured(ours=(7.5 / 3.999,)), load=0.0)

    assert (4.0, False) == (result.ratio, result.met)


def test_nothing_lost_is_within_a_bound_of_nothing() -> None:
    """Steps lost: none of none is equal, and none against some has no ratio."""
    none = Measured(ours=(0.0,), peer=(0.0,), unit="steps", goal=1.0, against="bound")
    some = Measured(ours=(0.0,), peer=(40.0,), unit="steps", goal=1.0, against="stock", label="stock")

    results = [build_result("preemption", measured, load=0.0) for measured in (none, some)]

    assert [("preemption", 1.0, True), ("preemption stock", None, True)] == [
        (result.name, result.ratio, result.met) for result in results
    ]


def test_the_line_has_the_agreed_keys() -> None:
    """The keys of the JSON line, in their order."""
    expected = ["name", "ours", "peer", "unit", "ratio", "goal", "met", "runs", "noise", "load"]

    assert expected == list(json.loads(build_result("crash", make_measured(), load=0.1).to_json()))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), 0),
        (("met", "met"), 0),
        (("met", "cannot run"), 69),
        (("cannot run", "not met"), 1),
        (("not met", "went wrong", "cannot run"), 70),
    ],
)
def test_the_exit_code_is_that_of_the_worst_verdict(verdicts: tuple[Verdict, ...], expected: int) -> None:
    """What failed weighs more than what could not be measured (69)."""
    assert expected == choose_exit_code(verdicts)
