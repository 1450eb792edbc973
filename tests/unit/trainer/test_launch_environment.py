"""What a worker's environment is, and that its documentation says the same."""

from __future__ import annotations

from pathlib import Path

from rfdetr_contract.names import is_reserved_env
from rfdetr_contract.report import EXIT_CODES, ExitCode, FailureReason
from rfdetr_trainer.launch.environment import DEFAULTS, FORK_SERVER, build_defaults, build_worker_env
from rfdetr_trainer.launch.flags import Flags
from rfdetr_trainer.launch.watchdog import LIMITS
from rfdetr_trainer.launch.wire import Round

DOCUMENT = (Path(__file__).parents[3] / "docs" / "launcher.md").read_text()
ORDER = Round(generation=7, store_port=4000, resume=None)
ROUND_ENV = build_worker_env(Flags(2, 2, 1, "m", 29500), 0, ORDER, "u", "10.0.0.7")


def list_rows(heading: str) -> list[tuple[str, ...]]:
    """The rows of the table under a heading of the document."""
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines[2:]]


def test_a_default_gives_way_to_the_pods_own_value() -> None:
    """What a user sets is left as it is."""
    defaults = build_defaults({"OMP_NUM_THREADS": "4"})

    assert {setting.name for setting in DEFAULTS} - {"OMP_NUM_THREADS"} == defaults.keys()


def test_what_belongs_to_a_round_is_never_a_default() -> None:
    """Rank, world and store are the launcher's alone; a pod cannot set what is reserved."""
    assert set() == {setting.name for setting in DEFAULTS} & ROUND_ENV.keys()
    assert [] == [setting.name for setting in DEFAULTS if is_reserved_env(setting.name)]


def test_the_documented_defaults_are_those_of_the_code() -> None:
    """Name, value and why."""
    assert [(one.name, one.value, one.why) for one in DEFAULTS] == list_rows("Environment of a worker")
    assert [(one.name, one.value, one.why) for one in FORK_SERVER] == list_rows("Environment of the fork server")


def test_the_documented_limits_are_those_of_the_code() -> None:
    """Floor, factor and ceiling of every phase."""
    rows = [(phase, f"{one.floor:g}", f"{one.factor:g}", f"{one.ceiling:g}") for phase, one in LIMITS.items()]

    assert rows == [row[:4] for row in list_rows("When silence is a hang")]


def test_the_documented_exit_codes_are_those_of_the_contract() -> None:
    """Every code, and every reason that has one of its own."""
    rows = list_rows("Exit codes")

    assert [str(int(code)) for code in ExitCode] == [row[0] for row in rows]
    named = {FailureReason(word) for row in rows for word in row[1].replace("`", "").split(", ") if word in REASONS}
    assert set(EXIT_CODES) == named


REASONS = frozenset(FailureReason)
