"""A launcher whose names are the records of a file: what they mean now, and what they still mean, is the test's to say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rfdetr_contract.report import exit_code
from rfdetr_trainer.launch.channel import Resolve
from rfdetr_trainer.launch.run import run_to_report, write_report
from rfdetr_trainer.launch.settings import build_settings
from rfdetr_trainer.launch.spawn import build_words, spawn

ENV_RECORDS = "TEST_RECORDS"
NAME = "rank-0.invalid"  # no resolver of this machine knows it


def build_resolver(records: Path) -> Resolve:
    """Answers what the file says at that moment; an address is its own answer."""
    return lambda host, _port: json.loads(records.read_text()).get(host, [host])


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """The launcher's own beginning and end, with that resolver in between."""
    words = build_words(environ, argv)
    first = spawn(words)
    settings = replace(build_settings(environ), resolve=build_resolver(Path(environ[ENV_RECORDS])))
    try:
        report = run_to_report(settings, first, words)
        write_report(settings.termination_log, report)
        return exit_code(report.outcome, report.reason)
    finally:
        first.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
