"""``rfdetrctl local run`` whose containers are toy trainers: ``python run_toy.py FILE ROOT [--preempt X] [--kill X]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rfdetr_operator.cli.errors import UserError
from rfdetr_operator.cli.local_run import Options, run_file
from rfdetr_operator.shell.local_container import Argv
from rfdetr_operator.shell.local_session import Home

TOY = Path(__file__).with_name("toy_trainer.py")


def toy_command(argv: Argv) -> Argv:
    """The launcher's command, with the toy in its place."""
    assert argv[:3] == ("python", "-m", "rfdetr_trainer.launch")
    return (sys.executable, str(TOY), *argv[3:])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--preempt", action="append", default=[])
    parser.add_argument("--kill", action="append", default=[])
    parser.add_argument("--timeout", type=float)
    args = parser.parse_args(argv)
    home = Home(root=args.root, command=toy_command)
    options = Options(home, tuple(args.preempt), tuple(args.kill), plain=True, timeout=args.timeout)
    try:
        return run_file(args.file, options, sys.stdout)
    except UserError as error:
        print(*error.sentences, sep="\n")
        return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
