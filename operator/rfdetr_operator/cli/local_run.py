"""``rfdetrctl local run``: train a manifest on this machine, and go on where an earlier run of it was left."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from rfdetr_operator.api.v1alpha1 import parse_job
from rfdetr_operator.cli.args import Commands, add_command, add_state
from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.cli.files import parse_claims, read_manifest
from rfdetr_operator.cli.summary import build_summary, choose_exit_code
from rfdetr_operator.cli.supervise import Wishes, supervise
from rfdetr_operator.cli.view import open_view
from rfdetr_operator.shell.cluster import Body
from rfdetr_operator.shell.local_admission import Mistakes
from rfdetr_operator.shell.local_checks import find_mistakes, without_effect
from rfdetr_operator.shell.local_harm import Harm, parse_harm
from rfdetr_operator.shell.local_run import is_finished
from rfdetr_operator.shell.local_session import Home, Session, job_key, missing_modules, open_session
from rfdetr_operator.shell.local_store import Busy, Store

KILLED = 130  # as a shell counts a second Ctrl-C


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for beside the manifest."""

    home: Home = field(default_factory=Home)
    preempt: tuple[str, ...] = ()
    kill: tuple[str, ...] = ()
    plain: bool = False
    timeout: float | None = None


def add(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands,
        "run",
        execute,
        "train a manifest on this machine; run it again to go on where it was left. "
        "Ctrl-C saves and suspends, a second Ctrl-C kills",
        "rfdetrctl local run examples/quickstart-cpu.yaml --claim digits=./digits --preempt 1@step:50",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML file with one RFDETRTrainingJob")
    parser.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder that stands for a PersistentVolumeClaim (default: claims/NAME in the state folder)",
    )
    add_state(parser)
    when = "WHEN is epoch:3 (finished epochs), step:50 (optimizer steps) or 30s"
    parser.add_argument(
        "--preempt",
        action="append",
        default=[],
        metavar="RANK@WHEN",
        help=f"delete a node rank's pod gracefully, as a spot reclaim does; {when}",
    )
    parser.add_argument(
        "--kill", action="append", default=[], metavar="RANK@WHEN", help="kill -9 every process of a node rank's pod"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="suspend with a save after this time")


def execute(args: argparse.Namespace) -> int:
    """Run the file; its exit code."""
    if missing := missing_modules():
        raise UserError(
            f"{', '.join(missing)} is not installed here; install it with: pip install 'rfdetr-operator[trainer]'"
        )
    home = Home(root=args.state, claims=parse_claims(args.claim))
    options = Options(home, tuple(args.preempt), tuple(args.kill), args.plain, args.timeout)
    return run_file(args.file, options, sys.stdout)


def run_file(path: Path, options: Options, out: IO[str]) -> int:
    """Run a manifest to its end, its suspension or its refusal; the exit code."""
    body = read_manifest(path)
    if found := find_mistakes(body):
        raise UserError(*(f"{path}: {sentence}" for sentence in found))
    store = Store(options.home.root, job_key(body))
    harms = parse_harms(options, body)
    try:
        with store.locked():
            session = open_session(store, body, options.home, now)
            if is_finished(session.job):
                return say_finished(session, out)
            return run_session(session, options, harms, out)
    except Busy as busy:
        raise UserError(str(busy)) from None
    except Mistakes as mistakes:
        raise UserError(*(f"{path}: {sentence}" for sentence in mistakes.sentences)) from None


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def parse_harms(options: Options, body: Body) -> tuple[Harm, ...]:
    """The harm that the command line asks for."""
    nodes = parse_job(body).spec.nodes
    try:
        preempted = [parse_harm("preempt", text, nodes) for text in options.preempt]
        return (*preempted, *(parse_harm("kill", text, nodes) for text in options.kill))
    except ValueError as error:
        raise UserError(str(error)) from None


def say_finished(session: Session, out: IO[str]) -> int:
    """A finished job is not run again."""
    name = session.job.metadata.name
    out.write(f"job {name} has already ended; start it afresh with: rfdetrctl local clean {name}\n")
    write_summary(session, None, out)
    return choose_exit_code(session.job)


def run_session(session: Session, options: Options, harms: tuple[Harm, ...], out: IO[str]) -> int:
    """Run until it is over, then say what came out."""
    if ignored := without_effect(session.job.spec):
        out.write(f"without effect on this machine: {', '.join(ignored)}\n")
    out.write(f"job {session.store.key}, checkpoints in {session.output}, logs in {session.store.logs}\n")
    out.flush()
    begun = now()
    view = open_view(out, plain=options.plain)
    killed = asyncio.run(supervise(session, view, Wishes(harms, options.timeout), now))
    write_summary(session, now() - begun, out)
    if killed:
        return KILLED
    code = choose_exit_code(session.job)
    if session.job.spec.suspend and not is_finished(session.job):
        out.write("saved and suspended; the same command goes on from there\n")
    return code


def write_summary(session: Session, wall: timedelta | None, out: IO[str]) -> None:
    """The closing lines, title by title."""
    lines = build_summary(session.job, session.output, wall)
    width = max(len(title) for title, _ in lines)
    for title, text in lines:
        out.write(f"{title:<{width}}  {text}\n")
    out.flush()
