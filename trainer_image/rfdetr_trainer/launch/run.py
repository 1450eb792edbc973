"""The launcher from its environment to its exit code: whatever happens, a report is left behind."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rfdetr_contract import names
from rfdetr_contract.report import ExitCode, RunReport, exit_code
from rfdetr_trainer.errors import ConfigError
from rfdetr_trainer.launch.agent import Agent
from rfdetr_trainer.launch.http import Look, serve_http
from rfdetr_trainer.launch.logs import say
from rfdetr_trainer.launch.settings import Settings, build_settings, load_run
from rfdetr_trainer.launch.spawn import Spawned
from rfdetr_trainer.launch.storage import build_crashed, build_failed, read_result
from rfdetr_trainer.manifest import RunFolder


async def launch(settings: Settings, first: Spawned, words: list[str]) -> RunReport:
    """The run, from its configuration to its end."""
    config = load_run(settings.run_config)
    result = read_result(RunFolder.of(settings.output_root, config))
    if result is not None:
        say("this run is already complete")
        return result
    with tempfile.TemporaryDirectory(prefix="rfdetr-") as folder:
        agent = Agent(settings, config, first, words, Path(folder))
        server = await open_http(settings.http_port, lambda: agent.board.look(time.time()))
        say(f"serving /metrics on port {server.sockets[0].getsockname()[1]}")
        try:
            return await agent.run()
        finally:
            server.close()


async def open_http(port: int, look: Look) -> asyncio.Server:
    """The server of ``/metrics`` and its like, or a sentence about its port."""
    try:
        return await serve_http(port, look)
    except OSError as error:
        raise ConfigError(f"{names.ENV_HTTP_PORT}={port}: {error.strerror}") from error


def write_report(path: Path, report: RunReport) -> None:
    """Leave the report where the kubelet reads it."""
    try:
        path.write_text(report.to_termination_message())
    except OSError as error:
        say(f"could not write the report to {path}: {error.strerror}")


def run_to_report(settings: Settings, first: Spawned, words: list[str]) -> RunReport:
    """The run's report, whatever happens."""
    try:
        return asyncio.run(launch(settings, first, words))
    except (ConfigError, OSError) as error:
        return build_failed(error)
    except Exception as error:  # noqa: BLE001 - the process's last line of defence: even a bug of ours leaves a report
        return build_crashed(error)


def run(environ: Mapping[str, str], first: Spawned, words: list[str]) -> int:
    """The exit code of the launcher whose first fork server is being warmed; its report is left in the log."""
    try:
        settings = build_settings(environ)
    except ConfigError as error:
        say(error.message)
        return ExitCode.CONFIG_ERROR
    report = run_to_report(settings, first, words)
    write_report(settings.termination_log, report)
    reason = f" ({report.reason})" if report.reason else ""
    say(f"{report.outcome}{reason}: {report.message}" if report.message else f"{report.outcome}{reason}")
    return exit_code(report.outcome, report.reason)
